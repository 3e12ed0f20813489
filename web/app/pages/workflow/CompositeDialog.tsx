import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { Link } from "react-router";
import { api, body, type Composite, type WorkflowDetail } from "../../api/client";
import { inside, Problem } from "../../api/problem";
import { useText } from "../../i18n";
import { Dialog } from "../../parts/Dialog";
import { ProblemNote } from "../../parts/Feedback";

/** Asks which tasks become one, how it is called and whether it takes their place; then tells what it is given. */
export default function CompositeDialog({ workflow, onClose }: { workflow: WorkflowDetail; onClose: () => void }) {
  const t = useText();
  const [made, setMade] = useState<Composite | null>(null);
  return (
    <Dialog title={made === null ? t("composite.title") : t("composite.done", { name: made.name })} onClose={onClose}>
      {made === null ? <Form workflow={workflow} onMade={setMade} onClose={onClose} /> : <Made made={made} onClose={onClose} />}
    </Dialog>
  );
}

function Form({ workflow, onMade, onClose }: { workflow: WorkflowDetail; onMade: (made: Composite) => void; onClose: () => void }) {
  const t = useText();
  const id = useId();
  const form = useRef<HTMLFormElement>(null);
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [keys, setKeys] = useState<ReadonlySet<string>>(new Set());
  const [inPlace, setInPlace] = useState(true);
  // pressed twice, or sent again by a shaky network, it is one task
  const [key, setKey] = useState(() => crypto.randomUUID());
  const save = useMutation({
    mutationFn: () =>
      body(
        api.POST("/v0/workflows/{workflow_id}/composite-tasks", {
          params: { path: { workflow_id: workflow.workflow_id }, header: { "idempotency-key": key, "if-match": `"${workflow.revision}"` } },
          body: { name, description: "", keys: chosen(), replace: inPlace },
        }),
      ),
    onSuccess: (made) => {
      void client.invalidateQueries({ queryKey: ["workflow", workflow.workflow_id] });
      void client.invalidateQueries({ queryKey: ["workflows"] });
      onMade(made);
    },
    onError: () => setKey(crypto.randomUUID()),
  });

  /** In the order in which the workflow has them. */
  function chosen(): string[] {
    return workflow.jobs.flatMap((job) => job.tasks.map((task) => task.key)).filter((one) => keys.has(one));
  }
  function choose(one: string, on: boolean): void {
    const next = new Set(keys);
    if (on) next.add(one);
    else next.delete(one);
    setKeys(next);
  }
  function submit(event: FormEvent): void {
    event.preventDefault();
    save.mutate();
  }
  useEffect(() => {
    if (save.error !== null) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [save.error]);

  const problem = save.error instanceof Problem ? save.error : null;
  const wrongName = problem?.reasonsFor("body.name") ?? [];
  const wrongKeys = problem?.errors.filter((one) => inside(one.field, "body.keys") !== null).map((one) => one.reason) ?? [];
  const beside = problem !== null && problem.errors.length > 0 && problem.errors.length === wrongName.length + wrongKeys.length;
  return (
    <form ref={form} className="dialog-form" onSubmit={submit}>
      <p className="quiet">{t("composite.lead")}</p>
      <div className="field">
        <label className="label" htmlFor={`${id}-name`}>
          {t("composite.name")}
        </label>
        <input id={`${id}-name`} className="input" required maxLength={200} value={name} aria-invalid={wrongName.length > 0} aria-describedby={`${id}-name-wrong`} onChange={(event) => setName(event.target.value)} />
        <p className="wrong" id={`${id}-name-wrong`} role={wrongName.length > 0 ? "alert" : undefined}>
          {wrongName.join(" ")}
        </p>
      </div>
      <fieldset className="composite-tasks" aria-invalid={wrongKeys.length > 0} aria-describedby={`${id}-keys-wrong`} tabIndex={-1}>
        <legend className="label">
          {t("composite.tasks")} <span className="hint">{t("composite.chosen", { count: keys.size })}</span>
        </legend>
        {workflow.jobs.map((job) => (
          <div key={job.key}>
            <p className="hint">{job.name}</p>
            {job.tasks.map((task) => (
              <label className="composite-task" key={task.key}>
                <input type="checkbox" checked={keys.has(task.key)} onChange={(event) => choose(task.key, event.target.checked)} />
                <span>{task.name}</span>
                <code className="hint">{task.key}</code>
              </label>
            ))}
          </div>
        ))}
      </fieldset>
      <p className="wrong" id={`${id}-keys-wrong`} role={wrongKeys.length > 0 ? "alert" : undefined}>
        {wrongKeys.join(" ")}
      </p>
      <div className="field">
        <label className="composite-task">
          <input type="checkbox" checked={inPlace} aria-describedby={`${id}-place`} onChange={(event) => setInPlace(event.target.checked)} />
          <span>{t("composite.replace")}</span>
        </label>
        <p className="hint" id={`${id}-place`}>
          {t(inPlace ? "composite.replaceLead" : "composite.keepLead")}
        </p>
      </div>
      {save.error !== null && !beside && <ProblemNote error={save.error} />}
      <div className="actions">
        <button type="button" className="button" onClick={onClose}>
          {t("app.cancel")}
        </button>
        <button type="submit" className="button button-main" disabled={save.isPending || keys.size === 0}>
          {t("composite.save")}
        </button>
      </div>
    </form>
  );
}

function Made({ made, onClose }: { made: Composite; onClose: () => void }) {
  const t = useText();
  const closing = useRef<HTMLButtonElement>(null);
  // the button that was pressed is gone
  useEffect(() => closing.current?.focus(), []);
  const inputs = Object.entries(made.inputs);
  return (
    <div className="dialog-form">
      <p role="status">{t(made.key === null ? "composite.kept" : "composite.placed")}</p>
      <section aria-labelledby="composite-inputs">
        <h3 id="composite-inputs">{t("composite.inputs")}</h3>
        {inputs.length === 0 ? (
          <p className="quiet">{t("composite.noInputs")}</p>
        ) : (
          <dl className="pairs">
            {inputs.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  <code>{String(value).replace(/^\$\{\{\s*|\s*\}\}$/g, "")}</code>
                </dd>
              </div>
            ))}
          </dl>
        )}
      </section>
      <div className="actions">
        <Link className="button" to={`/workflows/${made.workflow_id}`} onClick={onClose}>
          {t("composite.open")}
        </Link>
        <button ref={closing} type="button" className="button button-main" onClick={onClose}>
          {t("composite.close")}
        </button>
      </div>
    </div>
  );
}
