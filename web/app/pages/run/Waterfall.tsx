/**
 * The run as cloth: time is the warp, each task a thread across it. Dotted where it waited, drawn where it ran.
 * Only the rows in sight are in the document, so a thousand tasks are as light as ten.
 */

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { isTerminal, type ItemCounts, type Job, type Run, type Task } from "../../api/client";
import { duration } from "../../format";
import { useText } from "../../i18n";
import { useNow } from "../../parts/Duration";
import { ItemsIcon } from "../../parts/icons";
import { StateMark, useStateName } from "../../parts/StateMark";
import { makeScale, place, ticks, type Scale } from "./scale";
import { useRows } from "./useRows";
import { asksPerson, isWait } from "./waits";

type Row = { kind: "job"; job: Job } | { kind: "task"; task: Task };

const STILL: ReadonlySet<string> = new Set(["PENDING", "WAITING"]);
const JOB_HEIGHT = 42;
const TASK_HEIGHT = 40;
const NARROW_TASK_HEIGHT = 58;

export function Waterfall({ run, selected, onSelect }: { run: Run; selected: string | null; onSelect: (key: string) => void }) {
  const t = useText();
  const live = !isTerminal(run.state) && run.state !== "PAUSED";
  // a wait may take days: who leaves the page open needs no five frames a second
  const still = useMemo(() => run.jobs.every((job) => job.tasks.every((task) => isTerminal(task.state) || STILL.has(task.state))), [run]);
  const now = useNow(live, still ? 1_000 : 200);
  const narrow = useNarrow();
  const box = useRef<HTMLDivElement>(null);
  const rows = useMemo<Row[]>(
    () => run.jobs.flatMap((job) => [{ kind: "job" as const, job }, ...job.tasks.map((task) => ({ kind: "task" as const, task }))]),
    [run],
  );
  const scale = useMemo(() => {
    const from = Date.parse(run.started_at ?? run.created_at);
    const to = run.finished_at === null ? Math.max(now, lastMoment(run)) : Date.parse(run.finished_at);
    return makeScale(from, to + (to - from) * (live ? 0.04 : 0.01));
  }, [run, now, live]);

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => (rows[index]?.kind === "job" ? JOB_HEIGHT : narrow ? NARROW_TASK_HEIGHT : TASK_HEIGHT),
    overscan: 12,
  });
  useEffect(() => virtual.measure(), [narrow, virtual]);

  const taskIndexes = useMemo(() => rows.flatMap((row, index) => (row.kind === "task" ? [index] : [])), [rows]);
  const { current, setActive, move } = useRows(box, taskIndexes, virtual);

  return (
    <div className="waterfall">
      <div className="axis" aria-hidden="true">
        <div className="axis-line">
          {ticks(scale).map((at) => (
            <span key={at} style={{ left: `${(at / scale.span) * 100}%` }} >
              {at / scale.span < 0.92 && (at === 0 ? "0" : duration(at).replace(".0", ""))}
            </span>
          ))}
        </div>
      </div>
      <div className="rows" ref={box} onKeyDown={move}>
        <div role="list" aria-label={t("run.tasksLabel")} style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            return (
              <div
                key={item.key}
                role="listitem"
                aria-setsize={rows.length}
                aria-posinset={item.index + 1}
                data-index={item.index}
                className="row-place"
                style={{ height: item.size, transform: `translateY(${item.start}px)` }}
              >
                {row.kind === "job" ? (
                  <JobRow job={row.job} scale={scale} now={now} />
                ) : (
                  <TaskRow
                    task={row.task}
                    scale={scale}
                    now={isTerminal(row.task.state) || row.task.queued_at === null ? 0 : now}
                    selected={row.task.key === selected}
                    reachable={item.index === current}
                    onSelect={() => {
                      setActive(item.index);
                      onSelect(row.task.key);
                    }}
                  />
                )}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function ItemsTag({ items: { total, succeeded, failed }, ended }: { items: ItemCounts; ended: boolean }) {
  const t = useText();
  const done = succeeded + failed;
  return (
    <span className="tag tag-items" data-state={failed > 0 ? "FAILED" : undefined} title={t("items.done", { done, total, failed })}>
      <ItemsIcon />
      <span aria-hidden="true">
        {ended ? total : `${done}/${total}`}
      </span>
      <span className="hidden-text">{t("items.done", { done, total, failed })}</span>
    </span>
  );
}

function lastMoment(run: Run): number {
  let last = 0;
  for (const job of run.jobs) {
    for (const task of job.tasks) {
      const at = task.finished_at ?? task.started_at ?? task.queued_at;
      if (at !== null) last = Math.max(last, Date.parse(at));
    }
  }
  return last;
}

function useNarrow(): boolean {
  const query = useMemo(() => matchMedia("(max-width: 720px)"), []);
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const tell = (): void => setNarrow(query.matches);
    query.addEventListener("change", tell);
    return () => query.removeEventListener("change", tell);
  }, [query]);
  return narrow;
}

const warp = (scale: Scale): string => `${(scale.step / scale.span) * 100}%`;

function JobRow({ job, scale, now }: { job: Job; scale: Scale; now: number }) {
  const t = useText();
  const name = useStateName();
  const done = job.tasks.filter((task) => isTerminal(task.state)).length;
  const from = job.started_at === null ? null : Date.parse(job.started_at);
  const to = job.finished_at === null ? now : Date.parse(job.finished_at);
  return (
    <div className="job-row" data-state={job.state}>
      <span className="job-name">
        <StateMark state={job.state} size={14} />
        <span className="clip" title={job.name}>
          {job.name}
        </span>
        <span className="hidden-text">{name(job.state)}</span>
        <span className="job-count">{t("run.jobDone", { done, total: job.tasks.length })}</span>
      </span>
      <span className="threads" style={{ "--warp": warp(scale) } as React.CSSProperties} aria-hidden="true">
        {from !== null && <span className="bracket" style={span(scale, from, to)} />}
      </span>
      <span className="row-time">{from === null ? "" : duration(to - from)}</span>
    </div>
  );
}

function span(scale: Scale, from: number, to: number): React.CSSProperties {
  const left = place(scale, from);
  return { left: `${left}%`, width: `${Math.max(0, place(scale, to) - left)}%` };
}

interface TaskRowProps {
  task: Task;
  scale: Scale;
  /** 0 when the task does not move any more. */
  now: number;
  selected: boolean;
  reachable: boolean;
  onSelect: () => void;
}

const TaskRow = memo(
  function TaskRow({ task, scale, now, selected, reachable, onSelect }: TaskRowProps) {
    const t = useText();
    const name = useStateName();
    const queued = task.queued_at === null ? null : Date.parse(task.queued_at);
    const started = task.started_at === null ? null : Date.parse(task.started_at);
    const finished = task.finished_at === null ? (now === 0 ? null : now) : Date.parse(task.finished_at);
    const ran = task.ran_ms ?? (started === null || finished === null ? null : finished - started);
    const kind = isWait(task.type) ? "thread thread-wait" : task.state === "RUNNING" ? "thread thread-moving" : "thread";
    return (
      <button
        type="button"
        className="task-row"
        data-state={task.state}
        data-key={task.key}
        data-asks={asksPerson(task) || undefined}
        aria-current={selected || undefined}
        tabIndex={reachable ? 0 : -1}
        onClick={onSelect}
      >
        <span className="task-name">
          <StateMark state={task.state} />
          <span className="clip" title={task.name}>
            {task.name}
          </span>
          <span className="hidden-text">{name(task.state)}</span>
          {task.attempt > 1 && (
            <span className="tag" title={t("run.attempt", { attempt: task.attempt })}>
              <span aria-hidden="true">↻ {task.attempt}</span>
              <span className="hidden-text">{t("run.attempt", { attempt: task.attempt })}</span>
            </span>
          )}
          {task.items !== null && <ItemsTag items={task.items} ended={isTerminal(task.state)} />}
        </span>
        <span className="threads" style={{ "--warp": warp(scale) } as React.CSSProperties} aria-hidden="true">
          {queued !== null && (started ?? finished) !== null && (
            <span className="thread-waited" style={span(scale, queued, started ?? finished ?? queued)} />
          )}
          {started !== null && finished !== null && (
            <span className={kind} style={span(scale, started, finished)} />
          )}
        </span>
        <span className="row-time">{ran === null ? (task.state === "PENDING" ? "" : "–") : duration(ran)}</span>
      </button>
    );
  },
  (before, after) =>
    before.task === after.task && before.scale === after.scale && before.now === after.now && before.selected === after.selected && before.reachable === after.reachable,
);
