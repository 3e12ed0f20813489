import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { useNavigate } from "react-router";
import { api, body, type WorkflowDetail } from "../../api/client";
import { Problem } from "../../api/problem";
import { useText } from "../../i18n";
import { Dialog } from "../../parts/Dialog";
import { ProblemNote } from "../../parts/Feedback";
import { isBeside, JsonForm, useFilling } from "../../parts/JsonForm";

/** Asks for the input that the workflow's schema names, and starts a run. */
export default function StartDialog({ workflow, onClose }: { workflow: WorkflowDetail; onClose: () => void }) {
  const t = useText();
  const form = useRef<HTMLFormElement>(null);
  const navigate = useNavigate();
  const client = useQueryClient();
  const filling = useFilling(workflow.input_schema);
  // pressed twice, or sent again by a shaky network, it is one run
  const [key, setKey] = useState(() => crypto.randomUUID());
  const start = useMutation({
    mutationFn: (input: Record<string, unknown>) =>
      body(
        api.POST("/v0/workflows/{workflow_id}/run", {
          params: { path: { workflow_id: workflow.workflow_id }, header: { "Idempotency-Key": key } },
          body: { input },
        }),
      ),
    onSuccess: (accepted) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      void navigate(`/runs/${accepted.run_id}`);
    },
    onError: () => setKey(crypto.randomUUID()),
  });

  function submit(event: FormEvent): void {
    event.preventDefault();
    const input = filling.read();
    if (input !== null) start.mutate(input);
  }

  // the first field that has to be mended
  useEffect(() => {
    if (filling.notJson !== null || start.error !== null) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [filling.notJson, start.error]);

  const problem = start.error instanceof Problem ? start.error : null;
  const beside = problem !== null && isBeside(problem, filling.all, "body.input");
  return (
    <Dialog title={t("start.title", { name: workflow.name })} onClose={onClose}>
      <form ref={form} className="dialog-form" onSubmit={submit}>
        {filling.all?.length === 0 ? <p className="quiet">{t("start.noInput")}</p> : <JsonForm filling={filling} root="body.input" problem={problem} />}
        {start.error !== null && !beside && <ProblemNote error={start.error} />}
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" className="button button-main" disabled={start.isPending}>
            {start.isPending ? t("start.busy") : t("start.submit")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
