import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, type RefObject } from "react";
import { useNavigate } from "react-router";
import { api, body, isTerminal, type Item, type ItemCounts, type Run, type Task, type TaskError } from "../../api/client";
import { ioData, me } from "../../api/queries";
import { bytes, clock, duration, elapsed, moment } from "../../format";
import { useText } from "../../i18n";
import { useNow } from "../../parts/Duration";
import { useErrorText } from "../../parts/errorText";
import { ProblemNote, Skeleton } from "../../parts/Feedback";
import { AgainIcon, CloseIcon, LimitIcon } from "../../parts/icons";
import { Json } from "../../parts/Json";
import { State, StateMark } from "../../parts/StateMark";
import { Apart } from "./Apart";
import { Items } from "./Items";
import { stamp } from "./useArticles";
import { Wait } from "./Wait";
import { isWait } from "./waits";

interface Chosen {
  run: Run;
  task: Task;
  /** Of a task that ran over a list the position of the item whose details are shown; null: the task's own. */
  item: number | null;
  onItem: (position: number | null) => void;
  /** That item's task run: undefined when there is none, null while it is not known. */
  found: Item | null | undefined;
  onFound: (item: Item | null | undefined) => void;
  /** Set by whoever sends the reader here rather than to the list. */
  land: RefObject<boolean>;
  onClose: () => void;
}

export function TaskPanel({ run, task, item, onItem, found, onFound, land, onClose }: Chosen) {
  const t = useText();
  const heading = useRef<HTMLHeadingElement>(null);
  // where it covers the list, the reader must land in it
  useEffect(() => {
    if (matchMedia("(max-width: 1180px)").matches) heading.current?.focus();
  }, [task.key]);
  useEffect(() => {
    if (!land.current) return;
    land.current = false;
    heading.current?.focus();
  });
  const panel = useRef<HTMLElement>(null);

  function back(): void {
    const row = panel.current?.querySelector<HTMLElement>(".item-row[aria-current]");
    onItem(null);
    (row ?? heading.current)?.focus();
  }

  return (
    <section
      ref={panel}
      className="panel panel-task card"
      aria-labelledby="task-title"
      onKeyDown={(event) => event.key === "Escape" && (item === null ? onClose() : back())}
    >
      <div className="panel-head">
        <div className="panel-title">
          <h2 id="task-title" ref={heading} tabIndex={-1}>
            {task.name}
          </h2>
          <p className="quiet">
            <code>{task.key}</code> · <code>{task.type}</code>
          </p>
          <Key task={task} />
        </div>
        <button type="button" className="button button-plain button-icon" aria-label={t("task.close")} onClick={onClose}>
          <CloseIcon />
        </button>
      </div>
      {task.items === null ? (
        <Details runId={run.run_id} task={task} onAnswered={() => heading.current?.focus()} />
      ) : (
        <WithItems key={task.task_run_id} {...{ run, task, item, onItem, found, onFound }} counts={task.items} onBack={back} />
      )}
    </section>
  );
}

/** Under which key the task shares its places, as its run's version has it. */
function Key({ task }: { task: Task }) {
  const t = useText();
  if (task.concurrency_key === null) return null;
  return (
    <p className="limit">
      <LimitIcon />
      <span>
        {t("workflow.key")} <code>{task.concurrency_key}</code> · {t("workflow.parallel", { count: task.concurrency_limit ?? 1 })}
      </span>
    </p>
  );
}

type Listed = Pick<Chosen, "run" | "task" | "item" | "onItem" | "found" | "onFound"> & { counts: ItemCounts; onBack: () => void };

/** The list of a task's items, and below it the chosen one, or what is to be said of them all. */
function WithItems({ run, task, counts, item, onItem, found, onFound, onBack }: Listed) {
  const t = useText();
  const heading = useRef<HTMLHeadingElement>(null);

  const wantsFocus = useRef(false);
  useEffect(() => {
    if (!wantsFocus.current || heading.current === null) return;
    wantsFocus.current = false;
    heading.current.focus();
  }, [item]);

  function choose(position: number): void {
    wantsFocus.current = position !== item;
    onItem(position);
    if (position === item) heading.current?.focus();
  }

  return (
    <>
      <Items runId={run.run_id} task={task} counts={counts} chosen={item} onChoose={choose} onFound={onFound} />
      {item === null ? (
        <Details runId={run.run_id} task={task} onAnswered={() => {}} />
      ) : (
        <section className="item" aria-labelledby="item-title">
          <div className="panel-head">
            <h3 id="item-title" ref={heading} tabIndex={-1}>
              {t("item.title", { item })}
            </h3>
            {found != null && isTerminal(run.state) && <RunItem runId={run.run_id} item={found} />}
            <button type="button" className="button button-plain button-icon" aria-label={t("item.close")} onClick={onBack}>
              <CloseIcon />
            </button>
          </div>
          {found != null ? (
            <Details key={found.task_run_id} runId={run.run_id} task={found} onAnswered={() => heading.current?.focus()} />
          ) : found === undefined ? (
            <p className="quiet">{t(isTerminal(task.state) ? "item.never" : "item.notYet")}</p>
          ) : (
            <Skeleton rows={4} />
          )}
        </section>
      )}
    </>
  );
}

/** Runs one item again, alone: a new run, in which the others keep their outputs. */
function RunItem({ runId, item }: { runId: string; item: Item }) {
  const t = useText();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { data: who } = useQuery(me);
  const again = useMutation({
    mutationFn: () =>
      body(
        api.POST("/v0/workflow-runs/{run_id}/rerun", {
          params: { path: { run_id: runId }, header: { "Idempotency-Key": crypto.randomUUID() } },
          body: { mode: "item", task: item.key, item: item.item, version: "same" },
        }),
      ),
    onSuccess: (accepted) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      void navigate(`/runs/${accepted.run_id}?task=${item.key}&item=${item.item}`);
    },
  });
  if (who === undefined || !who.permissions.has("run:write")) return null;
  return (
    <>
      <button type="button" className="button" disabled={again.isPending} onClick={() => again.mutate()}>
        <AgainIcon />
        {t("item.rerun")}
      </button>
      {again.error !== null && <ProblemNote error={again.error} />}
    </>
  );
}

/** What there is to know of one task run, be it a task's or an item's. */
function Details({ runId, task, onAnswered }: { runId: string; task: Task; onAnswered: () => void }) {
  const t = useText();
  const moving = !isTerminal(task.state) && task.queued_at !== null;
  const now = useNow(moving);
  const io = useQuery({ ...ioData(task.task_run_id, stamp(task)), enabled: task.queued_at !== null || isTerminal(task.state), retry: false });
  const waits = isWait(task.type);
  const waited = waits ? task.ran_ms ?? (moving ? elapsed(task.started_at, task.finished_at, now) : null) : task.waited_ms ?? (moving ? elapsed(task.queued_at, task.started_at, now) : null);

  return (
    <>
      {waits && task.items === null && (
        <Wait key={`${task.task_run_id} ${task.attempt}`} runId={runId} task={task} io={io.data} onAnswered={onAnswered} />
      )}
      <dl className="grid-facts">
        <div>
          <dt>{t("task.state")}</dt>
          <dd>
            <State state={task.state} />
          </dd>
        </div>
        <div>
          <dt>{t("task.attempts")}</dt>
          <dd>{task.attempt}</dd>
        </div>
        <div>
          <dt>{t("task.waited")}</dt>
          <dd>{duration(waited)}</dd>
        </div>
        <div>
          <dt>{t("task.ran")}</dt>
          <dd>{duration(waits ? null : task.ran_ms ?? (moving ? elapsed(task.started_at, task.finished_at, now) : null))}</dd>
        </div>
        <div>
          <dt>{t("task.started")}</dt>
          <dd title={moment(task.started_at)}>{task.started_at === null ? "–" : clock(task.started_at)}</dd>
        </div>
        <div>
          <dt>{t("task.finished")}</dt>
          <dd title={moment(task.finished_at)}>{task.finished_at === null ? "–" : clock(task.finished_at)}</dd>
        </div>
        <div className="wide">
          <dt>{t("task.worker")}</dt>
          <dd className="clip" title={task.worker ?? undefined}>
            {task.worker ?? "–"}
          </dd>
        </div>
      </dl>
      {task.error !== null && <Failure error={task.error} state={task.state} />}
      {io.error !== null ? (
        <ProblemNote error={io.error} onRetry={io.refetch} />
      ) : io.isLoading ? (
        <Skeleton rows={4} />
      ) : (
        <>
          <h3>
            {t("task.output")} {io.data?.output_size != null && <span className="quiet">{bytes(io.data.output_size)}</span>}
          </h3>
          {io.data?.output_url != null ? (
            <Apart key={`out ${task.task_run_id}`} taskRunId={task.task_run_id} direction="output" name={t("task.output")} />
          ) : io.data?.output != null ? (
            <Json key={`out ${task.task_run_id}`} value={io.data.output} name={t("task.output")} />
          ) : (
            <p className="quiet">
              {t(task.state === "SKIPPED" ? "task.skipped" : isTerminal(task.state) ? "task.noOutput" : "task.notYet")}
            </p>
          )}
          <h3>
            {t("task.input")} {io.data?.input_size != null && <span className="quiet">{bytes(io.data.input_size)}</span>}
          </h3>
          {io.data?.input_url != null ? (
            <Apart key={`in ${task.task_run_id}`} taskRunId={task.task_run_id} direction="input" name={t("task.input")} />
          ) : io.data?.input != null ? (
            <Json key={`in ${task.task_run_id}`} value={io.data.input} name={t("task.input")} />
          ) : (
            <p className="quiet">{t(isTerminal(task.state) ? "task.neverInput" : "task.noInput")}</p>
          )}
          {io.data !== undefined && io.data.failed_attempts.length > 0 && (
            <>
              <h3>{t("task.attempts")}</h3>
              <p className="quiet">{t("task.attemptsLead", { count: io.data.failed_attempts.length })}</p>
              <ol className="attempts">
                {io.data.failed_attempts.map((attempt) => (
                  <li key={attempt.attempt}>
                    <StateMark state="FAILED" size={14} />
                    <div>
                      <b>{t("task.attempt", { attempt: attempt.attempt })}</b>{" "}
                      <span className="quiet">{duration(elapsed(attempt.started_at, attempt.finished_at, Date.now()))}</span>
                      {attempt.error !== null && (
                        <p>
                          <code>{attempt.error.code}</code> {attempt.error.message}
                        </p>
                      )}
                    </div>
                  </li>
                ))}
              </ol>
            </>
          )}
        </>
      )}
    </>
  );
}

export function Failure({ error, state }: { error: TaskError; state: string }) {
  const t = useText();
  const errorText = useErrorText();
  return (
    <div className="failure" data-state={state}>
      <StateMark state={state} />
      <div>
        <h3>{t(state === "CANCELLED" ? "task.whyCancelled" : "task.error")}</h3>
        <p className="failure-message">{errorText(error)}</p>
        <p className="failure-meta">
          <code>{error.code}</code>
          {state !== "CANCELLED" && ` · ${t(error.retryable ? "task.retryable" : "task.fatal")}`}
        </p>
        {error.details != null && <Json value={error.details} name={t("task.details")} />}
      </div>
    </div>
  );
}
