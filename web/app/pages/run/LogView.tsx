import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useLayoutEffect, useRef, useState } from "react";
import type { Item, LogLine, Task } from "../../api/client";
import { clock } from "../../format";
import { useText } from "../../i18n";
import { ProblemNote, Skeleton } from "../../parts/Feedback";
import { useLog } from "./useLog";

interface Props {
  runId: string;
  tasks: ReadonlyMap<string, Task>;
  /** The task whose lines alone are shown, when the reader wants it so. */
  task: Task | null;
  /** The same of one item of the task. */
  item: Item | null;
  live: boolean;
}

export function LogView({ runId, tasks, task, item, live }: Props) {
  const t = useText();
  const [only, setOnly] = useState(true);
  const [follow, setFollow] = useState(true);
  // a task that ran over a list wrote nothing itself
  const one = item ?? (task?.items == null ? task : null);
  const scope = one !== null && only ? one.task_run_id : null;
  const { lines, error, loaded } = useLog(runId, scope, live);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => 26,
    getItemKey: (index) => lines[index]?.id ?? index,
    overscan: 20,
  });

  // who scrolls back reads; who comes to the end again follows
  const seen = useRef(0);
  function look(): void {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    const fromEnd = scrollHeight - clientHeight - scrollTop;
    if (scrollTop < seen.current && fromEnd > 40) setFollow(false);
    else if (scrollTop > seen.current && fromEnd < 4) setFollow(true);
    seen.current = scrollTop;
  }

  // at once, before what made the list longer could take the place from a reader who moves it
  const height = virtual.getTotalSize();
  useLayoutEffect(() => {
    if (follow && live && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [height, follow, live]);

  function letGo(back: boolean): void {
    if (back) setFollow(false);
  }

  return (
    <section className="card" aria-labelledby="log-title">
      <div className="card-head">
        <h2 id="log-title">
          {t("logs.title")} <span className="quiet count">{t("logs.count", { count: lines.length })}</span>
        </h2>
        <div className="actions">
          {one !== null && (
            <div className="choice" role="group" aria-label={t("logs.scope")}>
              <button type="button" aria-pressed={!only} onClick={() => setOnly(false)}>
                {t("logs.all")}
              </button>
              <button type="button" aria-pressed={only} onClick={() => setOnly(true)}>
                <span className="clip log-scope">{item === null ? one.name : t("item.title", { item: item.item })}</span>
              </button>
            </div>
          )}
          {live && (
            <label className="check">
              <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} />
              {t("logs.follow")}
            </label>
          )}
        </div>
      </div>
      {error !== null && <ProblemNote error={error} />}
      <div
        className="log"
        ref={box}
        tabIndex={0}
        role="region"
        aria-label={t("logs.label")}
        onScroll={look}
        onKeyDown={({ key }) => letGo(key === "Home" || key === "PageUp" || key === "ArrowUp")}
        onWheel={({ deltaY }) => letGo(deltaY < 0)}
      >
        {lines.length === 0 ? (
          loaded ? (
            <p className="log-empty">{t(live ? "logs.empty" : "logs.emptyDone")}</p>
          ) : (
            <Skeleton rows={3} />
          )
        ) : (
          <div style={{ height, position: "relative" }}>
            {virtual.getVirtualItems().map((item) => {
              const line = lines[item.index];
              return (
                line && (
                  <div key={item.key} data-index={item.index} ref={virtual.measureElement} className="row-place" style={{ transform: `translateY(${item.start}px)` }}>
                    <Line line={line} task={scope === null ? nameOf(tasks, line) : null} />
                  </div>
                )
              );
            })}
          </div>
        )}
      </div>
    </section>
  );
}

/** The name of the line's task; of an item with its position. */
function nameOf(tasks: ReadonlyMap<string, Task>, line: LogLine): string | null {
  const task = tasks.get(line.parent_task_run_id ?? line.task_run_id ?? "");
  if (task === undefined) return null;
  return line.item === null ? task.name : `[${line.item}] ${task.name}`;
}

const LEVELS: Record<string, string> = { warning: "RETRY_WAIT", error: "FAILED", critical: "FAILED" };

const Line = memo(function Line({ line, task }: { line: LogLine; task: string | null }) {
  const state = LEVELS[line.level];
  return (
    <div className="line" data-state={state}>
      <time dateTime={line.at}>{clock(line.at)}</time>
      <span className="line-level">{line.level}</span>
      {task !== null && <span className="line-task clip">{task}</span>}
      <span className="line-text">
        <b>{line.event}</b>
        {Object.entries(line.fields).map(([name, value]) => (
          <span key={name}>
            {" "}
            <i>{name}=</i>
            {typeof value === "string" ? value : JSON.stringify(value)}
          </span>
        ))}
      </span>
    </div>
  );
});
