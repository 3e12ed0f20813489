/** What a run published: outputs that carry a `post_url`. Task types say in their output schema whether they do. */

import { useQueries, useQuery } from "@tanstack/react-query";
import type { Run } from "../../api/client";
import { ioData, taskTypes } from "../../api/queries";

export interface Article {
  url: string;
  title: string | null;
}

export function useArticles(run: Run | undefined): Article[] {
  const types = useQuery(taskTypes);
  const publishing = new Set(
    (types.data ?? [])
      .filter((type) => "post_url" in ((type.output_schema["properties"] as object | undefined) ?? {}))
      .map((type) => type.type),
  );
  const done = (run?.jobs ?? []).flatMap((job) => job.tasks).filter((task) => task.state === "SUCCESS" && publishing.has(task.type));
  return useQueries({
    queries: done.slice(0, 20).map((task) => ioData(task.task_run_id, stamp(task))),
    combine: (results) => results.flatMap((result) => articleOf(result.data) ?? []),
  });
}

/** Changes when a task run has something new to read. */
export function stamp(task: { state: string; attempt: number }): string {
  return `${task.state} ${task.attempt}`;
}

function articleOf(io: { input: unknown; output: unknown } | undefined): Article | null {
  const url = field(io?.output, "post_url");
  // an address from data: only what a browser opens as a page
  if (url === null || !/^https?:\/\//i.test(url)) return null;
  return { url, title: field(io?.input, "title") };
}

function field(value: unknown, name: string): string | null {
  const found = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  return typeof found === "string" ? found : null;
}
