import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { api, body, isTerminal, type Item, type Run, type Task } from "../../api/client";
import { me, workflow } from "../../api/queries";
import "../../design/run.css";
import { duration, moment } from "../../format";
import { useText } from "../../i18n";
import { Dialog } from "../../parts/Dialog";
import { Duration } from "../../parts/Duration";
import { Empty, PageProblem, ProblemNote, Skeleton } from "../../parts/Feedback";
import { AgainIcon, LimitIcon, OpenIcon, PauseIcon, PlayIcon, StopIcon } from "../../parts/icons";
import { Json } from "../../parts/Json";
import { TriggerName } from "../../parts/RunTable";
import { State, StateMark, useStateName } from "../../parts/StateMark";
import { useTitle } from "../../parts/title";
import { LogView } from "./LogView";
import { Failure, TaskPanel } from "./TaskPanel";
import { useArticles, type Article } from "./useArticles";
import { useRun, type Connection } from "./useRun";
import { asksPerson } from "./waits";
import { Waterfall } from "./Waterfall";

export function Component() {
  const t = useText();
  const { id = "" } = useParams();
  const { run, error, retry, connection } = useRun(id);
  useTitle(run ? `#${run.number} ${run.workflow_name}` : t("runs.title"));
  if (run === undefined) {
    return (
      <>
        <h1 className="hidden-text">{t("runs.title")}</h1>
        {error === null ? <Skeleton rows={12} /> : <PageProblem error={error} onRetry={retry} back={<Link className="button" to="/runs">{t("runs.openRuns")}</Link>} />}
      </>
    );
  }
  return <RunView run={run} connection={connection} />;
}

function RunView({ run, connection }: { run: Run; connection: Connection }) {
  const t = useText();
  const [search, setSearch] = useSearchParams();
  const tasks = useMemo(() => run.jobs.flatMap((job) => job.tasks), [run]);
  const byId = useMemo(() => new Map(tasks.map((task) => [task.task_run_id, task])), [tasks]);
  const selected = tasks.find((task) => task.key === search.get("task")) ?? null;
  const item = selected?.items != null && /^\d{1,6}$/.test(search.get("item") ?? "") ? Number(search.get("item")) : null;
  const [listed, setListed] = useState<Item | null | undefined>(null);
  // what the list said of another item says nothing of this one
  const found = listed != null && (listed.item !== item || listed.key !== selected?.key) ? null : listed;
  const articles = useArticles(run);
  const live = !isTerminal(run.state);
  const opener = useRef<HTMLElement | null>(null);

  function select(key: string | null): void {
    if (key !== null) opener.current = document.activeElement as HTMLElement | null;
    setSearch(key === null ? {} : { task: key }, { replace: true, preventScrollReset: true });
    // what led here may be gone, as a question that was answered is
    if (key === null) (opener.current?.isConnected ? opener.current : document.querySelector<HTMLElement>(".task-row[aria-current]"))?.focus();
  }
  function selectItem(position: number | null): void {
    if (selected !== null) setSearch({ task: selected.key, ...(position !== null && { item: String(position) }) }, { replace: true, preventScrollReset: true });
  }
  const land = useRef(false);
  function show(key: string): void {
    land.current = true;
    select(key);
  }

  return (
    <>
      <Head run={run} tasks={tasks} connection={connection} onAsked={show} />
      {articles.map((article) => (
        <ArticleNote key={article.url} article={article} />
      ))}
      {tasks.length === 0 ? (
        <Empty title={t("run.noTasks")} lead={t("run.noTasksLead")} />
      ) : (
        <div className="run-grid">
          <div className="run-main">
            <section className="card" aria-labelledby="tasks-title">
              <div className="card-head">
                <h2 id="tasks-title">{t("run.tasks")}</h2>
                <Legend />
              </div>
              <Waterfall run={run} selected={selected?.key ?? null} onSelect={select} />
            </section>
            <LogView runId={run.run_id} tasks={byId} task={selected} item={item === null ? null : (found ?? null)} live={live} />
          </div>
          {selected === null ? <RunPanel run={run} tasks={tasks} onSelect={show} /> : <TaskPanel run={run} task={selected} item={item} onItem={selectItem} found={found} onFound={setListed} land={land} onClose={() => select(null)} />}
        </div>
      )}
    </>
  );
}

function Head({ run, tasks, connection, onAsked }: { run: Run; tasks: Task[]; connection: Connection; onAsked: (key: string) => void }) {
  const t = useText();
  const name = useStateName();
  const done = tasks.filter((task) => isTerminal(task.state)).length;
  const asking = tasks.filter(asksPerson);
  return (
    <header className="run-head">
      <nav className="crumbs">
        <Link to="/runs">{t("runs.title")}</Link>
        <span aria-hidden="true">/</span>
        <Link className="clip" to={`/workflows/${run.workflow_id}`}>
          {run.workflow_name}
        </Link>
      </nav>
      <div className="head">
        <div className="head-text">
          <h1>
            {run.workflow_name} <span className="number">#{run.number}</span>
          </h1>
          <div className="run-line">
            <State state={run.state} badge />
            {asking[0] !== undefined && <Asking first={asking[0]} count={asking.length} onAsked={onAsked} />}
            {connection !== "closed" && (
              <span className="pulse" data-connection={connection}>
                {t(`connection.${connection}`)}
              </span>
            )}
            <dl className="facts">
              <div>
                <dt>{t(isTerminal(run.state) ? "run.took" : "run.elapsed")}</dt>
                <dd className="strong">
                  <Duration from={run.started_at} to={run.finished_at} live={!isTerminal(run.state)} />
                </dd>
              </div>
              <div>
                <dt>{t("run.started")}</dt>
                <dd>{moment(run.started_at ?? run.created_at)}</dd>
              </div>
              <div>
                <dt>{t("run.trigger")}</dt>
                <dd>
                  <TriggerName trigger={run.trigger} />
                </dd>
              </div>
              <div>
                <dt>{t("run.version")}</dt>
                <dd>{run.workflow_version}</dd>
              </div>
            </dl>
          </div>
          {run.state === "PENDING" && <Place workflowId={run.workflow_id} />}
        </div>
        <Actions run={run} failed={tasks.some((task) => task.state === "FAILED")} />
      </div>
      <Progress tasks={tasks} />
      <p className="progress-text">
        <span role="status">
          <span className="hidden-text">
            {t("run.announce", { name: run.workflow_name, state: name(run.state) })} {asking.length > 0 && t("wait.people", { count: asking.length })}
          </span>
        </span>
        {t("run.done", { done, total: tasks.length })}
      </p>
    </header>
  );
}

/** Why a run that was accepted has not begun, where its workflow has a limit. */
function Place({ workflowId }: { workflowId: string }) {
  const t = useText();
  const { data } = useQuery({ ...workflow(workflowId), retry: false });
  if (data?.concurrency == null) return null;
  return (
    <p className="limit">
      <LimitIcon />
      {t("run.waitsForPlace", { count: data.concurrency.limit })}
    </p>
  );
}

/** Stands out beside the run's state and leads to the task that asks. */
function Asking({ first, count, onAsked }: { first: Task; count: number; onAsked: (key: string) => void }) {
  const t = useText();
  return (
    <button type="button" className="state state-badge asking" data-state="WAITING" onClick={() => onAsked(first.key)}>
      <StateMark state="WAITING" />
      {t("wait.people", { count })}
    </button>
  );
}

const EACH_ITS_OWN = 60;
const ORDER = ["SUCCESS", "FAILED", "UPSTREAM_FAILED", "SKIPPED", "CANCELLED", "WAITING", "RETRY_WAIT", "RUNNING", "QUEUED", "PENDING"];

/** One stitch per task; of many tasks, one stretch per state. */
function Progress({ tasks }: { tasks: Task[] }) {
  if (tasks.length <= EACH_ITS_OWN) {
    return (
      <div className="progress" aria-hidden="true">
        {tasks.map((task) => (
          <span key={task.task_run_id} data-state={task.state} />
        ))}
      </div>
    );
  }
  const counts = Map.groupBy(tasks, (task) => task.state);
  return (
    <div className="progress" aria-hidden="true">
      {ORDER.map((state) => {
        const count = counts.get(state)?.length ?? 0;
        return count > 0 && <span key={state} data-state={state} style={{ flexGrow: count }} />;
      })}
    </div>
  );
}

function Legend() {
  const t = useText();
  return (
    <p className="legend">
      <span className="legend-waited" aria-hidden="true" />
      {t("run.waited")}
      <span className="legend-ran" aria-hidden="true" />
      {t("run.ran")}
    </p>
  );
}

function ArticleNote({ article }: { article: Article }) {
  const t = useText();
  return (
    <aside className="article" aria-label={t("run.article")}>
      <div className="article-text">
        <p className="article-kicker">{t("run.articleReady")}</p>
        <p className="article-title">{article.title ?? article.url}</p>
      </div>
      <a className="button button-main" href={article.url} target="_blank" rel="noopener noreferrer">
        {t("run.articleOpen")}
        <OpenIcon />
      </a>
    </aside>
  );
}

const SHOWN_FAILURES = 20;
const SHOWN_LONGEST = 5;

/** What is said of the run as a whole while no task is chosen. */
function RunPanel({ run, tasks, onSelect }: { run: Run; tasks: Task[]; onSelect: (key: string) => void }) {
  const t = useText();
  const failed = tasks.filter((task) => task.state === "FAILED");
  const asking = tasks.filter(asksPerson);
  const longest = useMemo(
    () =>
      tasks
        .flatMap((task) => (task.ran_ms === null ? [] : [{ task, ran: task.ran_ms }]))
        .sort((one, other) => other.ran - one.ran)
        .slice(0, SHOWN_LONGEST),
    [tasks],
  );
  const empty = run.input === null || (typeof run.input === "object" && Object.keys(run.input as object).length === 0);
  return (
    <section className="panel card" aria-label={t("run.title", { number: `#${run.number}` })}>
      {run.error !== null && failed.length === 0 && <Failure error={run.error} state={run.state} />}
      {asking.length > 0 && (
        <>
          <h2>{t("wait.tasks")}</h2>
          <ul className="asked-list" data-state="WAITING">
            {asking.slice(0, SHOWN_FAILURES).map((task) => (
              <li key={task.task_run_id}>
                <button type="button" onClick={() => onSelect(task.key)}>
                  <StateMark state="WAITING" />
                  <span>
                    <b>{task.name}</b>
                    <span className="failed-why">{t(task.type === "human.form" ? "wait.form" : "wait.approval")}</span>
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
      {failed.length > 0 && (
        <>
          <h2>{t("run.failedTasks")}</h2>
          <ul className="failed-list" data-state="FAILED">
            {failed.slice(0, SHOWN_FAILURES).map((task) => (
              <li key={task.task_run_id}>
                <button type="button" onClick={() => onSelect(task.key)}>
                  <StateMark state="FAILED" />
                  <span>
                    <b>{task.name}</b>
                    <span className="failed-why">{task.error?.message}</span>
                    {task.error && <code className="quiet">{task.error.code}</code>}
                  </span>
                </button>
              </li>
            ))}
          </ul>
          {failed.length > SHOWN_FAILURES && <p className="hint">{t("run.moreFailed", { count: failed.length - SHOWN_FAILURES })}</p>}
        </>
      )}
      {longest.length > 1 && (
        <>
          <h2>{t("run.longest")}</h2>
          <ol className="longest">
            {longest.map(({ task, ran }) => (
              <li key={task.task_run_id}>
                <button type="button" onClick={() => onSelect(task.key)}>
                  <span className="clip" title={task.name}>
                    {task.name}
                  </span>
                  <span className="longest-time">{duration(ran)}</span>
                  <span className="longest-bar" data-state={task.state} aria-hidden="true">
                    <span style={{ width: `${Math.max(1, (ran / (longest[0]?.ran || 1)) * 100)}%` }} />
                  </span>
                </button>
              </li>
            ))}
          </ol>
        </>
      )}
      <h2>{t("run.input")}</h2>
      {empty ? <p className="quiet">{t("app.none")}</p> : <Json value={run.input} name={t("run.input")} />}
      <dl className="stack-facts">
        <dt>{t("run.trace")}</dt>
        <dd>
          <code>{run.trace_id}</code>
        </dd>
        {run.rerun_of !== null && (
          <>
            <dt>{t("run.rerunOf")}</dt>
            <dd>
              <Link to={`/runs/${run.rerun_of}`}>{t("run.open")}</Link>
            </dd>
          </>
        )}
      </dl>
      <p className="hint">{t("run.narrow")}</p>
    </section>
  );
}

type Command = "cancel" | "pause" | "resume";

function Actions({ run, failed }: { run: Run; failed: boolean }) {
  const t = useText();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { data: who } = useQuery(me);
  const [asking, setAsking] = useState(false);
  const command = useMutation({
    mutationFn: (what: Command) => {
      const params = { params: { path: { run_id: run.run_id } } };
      if (what === "cancel") return body(api.POST("/v0/workflow-runs/{run_id}/cancel", params));
      if (what === "pause") return body(api.POST("/v0/workflow-runs/{run_id}/pause", params));
      return body(api.POST("/v0/workflow-runs/{run_id}/resume", params));
    },
    onSettled: () => setAsking(false),
  });
  const again = useMutation({
    mutationFn: (mode: "start" | "failed") =>
      body(
        api.POST("/v0/workflow-runs/{run_id}/rerun", {
          params: { path: { run_id: run.run_id }, header: { "Idempotency-Key": crypto.randomUUID() } },
          body: { mode, version: "same" },
        }),
      ),
    onSuccess: (accepted) => {
      void client.invalidateQueries({ queryKey: ["runs"] });
      void navigate(`/runs/${accepted.run_id}`);
    },
  });
  // what was refused belongs to the state that it was asked in
  const { reset } = command;
  useEffect(() => reset(), [run.state, reset]);
  if (who === undefined || !who.permissions.has("run:write")) return null;
  const busy = command.isPending || again.isPending;
  const problem = command.error ?? again.error;
  return (
    <div className="run-actions">
      <div className="actions">
        {isTerminal(run.state) ? (
          <>
            {failed && (
              <button type="button" className="button" disabled={busy} onClick={() => again.mutate("failed")}>
                <AgainIcon />
                {t("run.rerunFailed")}
              </button>
            )}
            <button type="button" className="button" disabled={busy} onClick={() => again.mutate("start")}>
              <AgainIcon />
              {t("run.rerun")}
            </button>
          </>
        ) : (
          <>
            {run.state === "PAUSED" ? (
              <button type="button" className="button" disabled={busy} onClick={() => command.mutate("resume")}>
                <PlayIcon />
                {t("run.resume")}
              </button>
            ) : (
              run.state === "RUNNING" && (
                <button type="button" className="button" disabled={busy} onClick={() => command.mutate("pause")}>
                  <PauseIcon />
                  {t("run.pause")}
                </button>
              )
            )}
            <button type="button" className="button button-danger" disabled={busy || run.state === "CANCELLING"} onClick={() => setAsking(true)}>
              <StopIcon />
              {t("run.cancel")}
            </button>
          </>
        )}
      </div>
      {problem !== null && <ProblemNote error={problem} />}
      {asking && (
        <Dialog title={t("run.cancelTitle")} onClose={() => setAsking(false)}>
          <p>{t("run.cancelLead")}</p>
          <div className="actions">
            <button type="button" className="button" onClick={() => setAsking(false)}>
              {t("run.cancelNo")}
            </button>
            <button type="button" className="button button-stop" disabled={busy} onClick={() => command.mutate("cancel")}>
              {t("run.cancelYes")}
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
