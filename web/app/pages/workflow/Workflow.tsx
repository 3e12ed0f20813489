import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { Link, useParams } from "react-router";
import { isTerminal, type JobSpec, type Schedule, type WorkflowDetail } from "../../api/client";
import { me, runs, schedules, workflow as workflowQuery } from "../../api/queries";
import "../../design/workflow.css";
import { fireMoment } from "../../format";
import { isKey, useText } from "../../i18n";
import { Empty, PageProblem, ProblemNote, Skeleton, Stale } from "../../parts/Feedback";
import { LimitIcon, PlayIcon, WarnIcon } from "../../parts/icons";
import { Json } from "../../parts/Json";
import { RunTable } from "../../parts/RunTable";
import { useTitle } from "../../parts/title";
import { layOut } from "./layout";

const Graph = lazy(() => import("./Graph"));
const StartDialog = lazy(() => import("./StartDialog"));
const CompositeDialog = lazy(() => import("./CompositeDialog"));
const SHOWN_RUNS = 10;
const SHOWN_FIRES = 3;
const SHOWN_LIST = 120;

export function Component() {
  const t = useText();
  const { id = "" } = useParams();
  const query = useQuery(workflowQuery(id));
  useTitle(query.data?.name ?? t("workflows.title"));
  if (query.data === undefined) {
    return (
      <>
        <h1 className="hidden-text">{t("workflows.title")}</h1>
        {query.error === null ? <Skeleton rows={12} /> : <PageProblem error={query.error} onRetry={query.refetch} back={<Link className="button" to="/workflows">{t("runs.openWorkflows")}</Link>} />}
      </>
    );
  }
  return (
    <>
      <Stale query={query} />
      <WorkflowView workflow={query.data} />
    </>
  );
}

function WorkflowView({ workflow }: { workflow: WorkflowDetail }) {
  const t = useText();
  const { data: who } = useQuery(me);
  const [starting, setStarting] = useState(false);
  const [grouping, setGrouping] = useState(false);
  return (
    <>
      <nav className="crumbs">
        <Link to="/workflows">{t("workflows.title")}</Link>
      </nav>
      <div className="head">
        <div className="head-text">
          <h1>{workflow.name}</h1>
          {workflow.description && <p className="head-lead">{workflow.description}</p>}
          {workflow.concurrency !== null && <Limit {...workflow.concurrency} />}
        </div>
        <div className="actions">
          <span className="tag">{t("workflow.version", { version: workflow.version })}</span>
          <span className="tag">
            {!workflow.runnable ? t("workflows.incomplete") : workflow.active ? t("workflows.active") : t("workflows.inactive")}
          </span>
          {who?.permissions.has("workflow:run") && (
            <button type="button" className="button button-main" disabled={!workflow.runnable || !workflow.active} onClick={() => setStarting(true)}>
              <PlayIcon />
              {t("workflow.run")}
            </button>
          )}
        </div>
      </div>
      {workflow.problems.length > 0 && (
        <div className="problem problem-soft" data-state="RETRY_WAIT">
          <WarnIcon />
          <div className="problem-text">
            <h2>{t("workflow.problems")}</h2>
            <ul>
              {workflow.problems.map((one) => (
                <li key={`${one.field} ${one.reason}`}>
                  <code>{one.field}</code> {one.reason}
                </li>
              ))}
            </ul>
          </div>
        </div>
      )}
      <div className="workflow-grid">
        <div>
          <Flow jobs={workflow.jobs} onGroup={who?.permissions.has("workflow:write") && workflow.runnable ? () => setGrouping(true) : null} />
          <Recent workflowId={workflow.workflow_id} />
        </div>
        <div>
          <Schedules workflowId={workflow.workflow_id} />
          <Config values={workflow.default_config} />
        </div>
      </div>
      {grouping && (
        <Suspense>
          <CompositeDialog workflow={workflow} onClose={() => setGrouping(false)} />
        </Suspense>
      )}
      {starting && (
        <Suspense>
          <StartDialog workflow={workflow} onClose={() => setStarting(false)} />
        </Suspense>
      )}
    </>
  );
}

function Limit({ limit, overflow }: NonNullable<WorkflowDetail["concurrency"]>) {
  const t = useText();
  const beyond = `workflow.overflow.${overflow}`;
  return (
    <p className="limit">
      <LimitIcon />
      {t("workflow.limit", { count: limit })} · {isKey(beyond) ? t(beyond) : overflow}
    </p>
  );
}

type View = "graph" | "list";

function Flow({ jobs, onGroup }: { jobs: JobSpec[]; onGroup: (() => void) | null }) {
  const t = useText();
  const [view, setView] = useState<View>(() => (matchMedia("(max-width: 720px)").matches ? "list" : "graph"));
  const count = jobs.reduce((sum, job) => sum + job.tasks.length, 0);
  return (
    <section className="card" aria-labelledby="flow-title">
      <div className="card-head">
        <h2 id="flow-title">
          {t("workflow.flow")} <span className="quiet count">{t("workflow.counts", { jobs: jobs.length, tasks: count })}</span>
        </h2>
        <div className="actions">
          {onGroup !== null && (
            <button type="button" className="button" onClick={onGroup}>
              {t("composite.title")}
            </button>
          )}
          <div className="choice" role="group" aria-label={t("workflow.view")}>
            {(["graph", "list"] as const).map((one) => (
              <button key={one} type="button" aria-pressed={view === one} onClick={() => setView(one)}>
                {t(`workflow.${one}`)}
              </button>
            ))}
          </div>
        </div>
      </div>
      {count === 0 ? (
        <Empty title={t("workflow.noTasks")} lead={t("workflow.noTasksLead")} />
      ) : view === "graph" ? (
        <div className="graph" style={{ height: graphHeight(jobs) }}>
          <Suspense fallback={<Skeleton rows={6} />}>
            <Graph jobs={jobs} />
          </Suspense>
        </div>
      ) : (
        <FlowList jobs={jobs} />
      )}
    </section>
  );
}

/** As high as the drawing, within what a screen shows. */
function graphHeight(jobs: JobSpec[]): string {
  const boxes = [...layOut(jobs).jobs.values()];
  return `clamp(260px, ${Math.max(0, ...boxes.map((box) => box.y + box.height)) + 48}px, max(420px, 68vh))`;
}

/** What stands between `${{` and `}}`. */
function condition(when: string): string {
  return when.replace(/^\$\{\{\s*|\s*\}\}$/g, "");
}

/** Over what a task runs: the expression, or as much of a list as a line holds. */
function listText(list: unknown[] | string): string {
  const text = typeof list === "string" ? condition(list) : JSON.stringify(list);
  return text.length > SHOWN_LIST ? `${text.slice(0, SHOWN_LIST)}…` : text;
}

function FlowList({ jobs }: { jobs: JobSpec[] }) {
  const t = useText();
  let number = 0;
  return jobs.map((job) => (
    <section className="flow-job" key={job.key}>
      <h3>
        {job.name}
        {job.depends_on.length > 0 && (
          <span className="hint">{t("workflow.dependsOn", { keys: job.depends_on.map((key) => jobs.find((one) => one.key === key)?.name ?? key).join(", ") })}</span>
        )}
      </h3>
      <ol className="flow-tasks">
        {job.tasks.map((task) => {
          const policy = `workflow.failure.${task.failure_policy}`;
          number += 1;
          return (
            <li key={task.key}>
              <span className="flow-number">{number}</span>
              <div>
                <b>{task.name}</b>
                <div className="flow-meta">
                  <code>{task.type}</code>
                  <span>
                    {task.depends_on.length === 0
                      ? t("workflow.first")
                      : t("workflow.dependsOn", { keys: task.depends_on.map((key) => job.tasks.find((one) => one.key === key)?.name ?? key).join(", ") })}
                  </span>
                  {task.when !== null && (
                    <span>
                      {t("workflow.when")} <code className="flow-when">{condition(task.when)}</code>
                    </span>
                  )}
                  {task.for_each !== null && (
                    <span>
                      {t("workflow.each")} <code className="flow-when">{listText(task.for_each)}</code>
                      {Array.isArray(task.for_each) && ` ${t("workflow.items", { count: task.for_each.length })}`}
                      {task.max_parallel > 0 && ` · ${t("workflow.parallel", { count: task.max_parallel })}`}
                    </span>
                  )}
                  {task.concurrency_key !== null && (
                    <span>
                      {t("workflow.key")} <code className="flow-when">{task.concurrency_key}</code>
                      {` · ${t("workflow.parallel", { count: task.concurrency_limit ?? 1 })}`}
                    </span>
                  )}
                  {task.retry.max_attempts > 1 && <span>{t("workflow.retry", { count: task.retry.max_attempts })}</span>}
                  <span>{isKey(policy) ? t(policy) : task.failure_policy}</span>
                </div>
              </div>
            </li>
          );
        })}
      </ol>
    </section>
  ));
}

function Recent({ workflowId }: { workflowId: string }) {
  const t = useText();
  const list = useInfiniteQuery({
    ...runs({ workflow_id: workflowId }, SHOWN_RUNS),
    refetchInterval: (query) => (query.state.data?.pages[0]?.items.some((run) => !isTerminal(run.state)) ? 2_000 : 10_000),
  });
  const items = list.data?.pages[0]?.items ?? [];
  return (
    <section className="card" aria-labelledby="recent-title">
      <div className="card-head">
        <h2 id="recent-title">{t("workflow.recentRuns")}</h2>
        <Link className="card-link" to={`/runs?workflow=${encodeURIComponent(workflowId)}`}>
          {t("workflow.allRuns")}
        </Link>
      </div>
      {list.data === undefined && list.error !== null ? (
        <ProblemNote error={list.error} onRetry={list.refetch} />
      ) : list.isPending ? (
        <div className="card-body">
          <Skeleton rows={4} />
        </div>
      ) : items.length === 0 ? (
        <Empty title={t("workflow.noRuns")} lead={t("workflow.noRunsLead")} />
      ) : (
        <div className="card-table">
          <RunTable items={items} />
        </div>
      )}
    </section>
  );
}

function Schedules({ workflowId }: { workflowId: string }) {
  const t = useText();
  const query = useQuery(schedules(workflowId));
  return (
    <section className="card" aria-labelledby="schedules-title">
      <div className="card-head">
        <h2 id="schedules-title">{t("workflow.schedules")}</h2>
      </div>
      {query.data === undefined && query.error !== null ? (
        <ProblemNote error={query.error} onRetry={query.refetch} />
      ) : query.isPending ? (
        <div className="card-body">
          <Skeleton rows={3} />
        </div>
      ) : query.data.length === 0 ? (
        <p className="card-body quiet">{t("workflow.noSchedules")}</p>
      ) : (
        query.data.map((schedule) => <ScheduleItem key={schedule.schedule_id} schedule={schedule} />)
      )}
    </section>
  );
}

function ScheduleItem({ schedule }: { schedule: Schedule }) {
  const t = useText();
  const stopped = !schedule.active ? t("workflow.scheduleOff") : schedule.paused ? t("workflow.schedulePaused") : null;
  return (
    <div className="schedule">
      <div className="schedule-head">
        <span>{schedule.description}</span>
        {stopped && <span className="tag">{stopped}</span>}
      </div>
      <p className="hint">
        <code>{schedule.cron}</code> · {schedule.time_zone}
        {schedule.text && ` · ${schedule.text}`}
      </p>
      {schedule.next_fires.length > 0 && (
        <ol aria-label={t("workflow.nextFires")}>
          {schedule.next_fires.slice(0, SHOWN_FIRES).map((at) => (
            <li key={at}>
              <time dateTime={at}>{fireMoment(at, schedule.time_zone)}</time>
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}

function Config({ values }: { values: Record<string, unknown> }) {
  const t = useText();
  const entries = Object.entries(values);
  return (
    <section className="card" aria-labelledby="config-title">
      <div className="card-head">
        <h2 id="config-title">{t("workflow.config")}</h2>
      </div>
      <div className="card-body">
        {entries.length === 0 ? (
          <p className="quiet">{t("workflow.noConfig")}</p>
        ) : (
          <>
            <p className="hint config-lead">{t("workflow.configLead")}</p>
            {entries.map(([key, value]) => (
              <div className="config" key={key}>
                <h3>
                  <code>{key}</code>
                </h3>
                {isFlat(value) ? (
                  <dl className="pairs">
                    {Object.entries(value).map(([name, one]) => (
                      <div key={name}>
                        <dt>{name}</dt>
                        <dd>{String(one)}</dd>
                      </div>
                    ))}
                  </dl>
                ) : (
                  <Json value={value} name={key} />
                )}
              </div>
            ))}
          </>
        )}
      </div>
    </section>
  );
}

function isFlat(value: unknown): value is Record<string, string | number | boolean> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => ["string", "number", "boolean"].includes(typeof one) && String(one).length < 200)
  );
}
