import type { Run } from "../../api/client";

/** What a stream tells of a large run: only the tasks that changed, in their jobs. */
export type Changes = Omit<Run, "input" | "log_position">;

/** The run as it is after its changes. */
export function withChanges(run: Run, changes: Changes): Run {
  const changed = new Map(changes.jobs.map((job) => [job.key, job]));
  const jobs = run.jobs.map((job) => {
    const fresh = changed.get(job.key);
    if (fresh === undefined) return job;
    const tasks = new Map(fresh.tasks.map((task) => [task.task_run_id, task]));
    return { ...fresh, tasks: job.tasks.map((task) => tasks.get(task.task_run_id) ?? task) };
  });
  return { ...run, ...changes, jobs };
}
