/** What a step that waits waits for: a person, who can answer here, a time, an event, or another workflow's run. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { IoData, Task } from "../../api/client";
import { childRun } from "../../api/queries";
import { moment } from "../../format";
import { useText } from "../../i18n";
import { StateMark } from "../../parts/StateMark";
import { Answer } from "./Answer";
import { childOf, deadlineOf, endOf, isPeoples, record, textOf } from "./waits";

interface Told {
  runId: string;
  task: Task;
  /** Not there until it was read. */
  io: IoData | undefined;
}

export function Wait({ runId, task, io, onAnswered }: Told & { onAnswered: () => void }) {
  if (isPeoples(task.type)) return <Answer runId={runId} task={task} input={io?.input} onAnswered={onAnswered} />;
  if (task.type === "workflow.run") return <Child task={task} io={io} />;
  return task.state === "WAITING" && io !== undefined ? <For task={task} input={io.input} /> : null;
}

function For({ task, input }: { task: Task; input: unknown }) {
  const t = useText();
  const end = endOf(input, task.started_at);
  const event = textOf(record(input)["event"]);
  return (
    <div className="wait" data-state="WAITING">
      <StateMark state="WAITING" />
      <p>
        {task.type === "wait.time" ? end !== null && t("wait.time", { at: moment(end) }) : event !== null && t("wait.event", { event })}{" "}
        <Deadline task={task} input={input} />
      </p>
    </div>
  );
}

/** Until when at the latest; nothing when there is no such time. */
export function Deadline({ task, input }: { task: Task; input: unknown }) {
  const t = useText();
  const at = deadlineOf(input, task.started_at);
  return at === null ? null : t("wait.deadline", { at: moment(at) });
}

function Child({ task, io }: { task: Task; io: IoData | undefined }) {
  const t = useText();
  const waiting = task.state === "WAITING";
  const input = record(io?.input);
  const workflowId = textOf(input["workflow_id"]);
  const ended = childOf(io?.output) ?? childOf(task.error?.details);
  // it would be in the output, which did not come because it is too large
  const untold = io?.output_url != null;
  const found = useQuery({
    ...childRun(task.task_run_id, workflowId ?? "", task.started_at ?? ""),
    enabled: (waiting || untold) && ended === null && workflowId !== null && task.started_at !== null,
    // it is started right after the wait began, unless nobody is there to do so
    refetchInterval: (query) => (query.state.data == null ? Math.min(30_000, 500 * 2 ** query.state.dataUpdateCount) : false),
  });
  const child = ended ?? found.data ?? null;
  if (!waiting && child === null) return null;
  return (
    <div className="wait" data-state={waiting ? "WAITING" : undefined}>
      {waiting && <StateMark state="WAITING" />}
      <p>
        {waiting && t("wait.child")} {waiting && <Deadline task={task} input={input} />}{" "}
        {child !== null && <Link to={`/runs/${child.run_id}`}>{child.number === null ? t("wait.childOpen") : t("wait.childOpenNumber", { number: `#${child.number}` })}</Link>}
      </p>
    </div>
  );
}
