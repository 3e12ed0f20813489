/** What pages ask for, each under one key. */

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, body, type ItemState, type RunState } from "./client";

export const RUNS_PER_PAGE = 50;
const ITEMS_PER_PAGE = 200;

export const me = queryOptions({
  queryKey: ["me"],
  queryFn: async () => {
    const [user, grants] = await Promise.all([body(api.GET("/v0/users/me")), body(api.GET("/v0/auth/permissions"))]);
    return { ...user, permissions: new Set(grants.permissions) };
  },
  staleTime: 5 * 60_000,
});

export const workflows = (text: string) =>
  infiniteQueryOptions({
    queryKey: ["workflows", text],
    queryFn: ({ pageParam }) =>
      body(
        api.GET("/v0/workflows", {
          params: { query: { limit: 50, ...(text && { text }), ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
  });

/** The workflows that a list of runs can be narrowed to. */
export const workflowNames = queryOptions({
  queryKey: ["workflow-names"],
  queryFn: async () => {
    const page = await body(api.GET("/v0/workflows", { params: { query: { limit: 200 } } }));
    return new Map(page.items.map((item) => [item.workflow_id, item.name]));
  },
  staleTime: 60_000,
});

export const workflow = (id: string) =>
  queryOptions({
    queryKey: ["workflow", id],
    queryFn: () => body(api.GET("/v0/workflows/{workflow_id}/detail", { params: { path: { workflow_id: id } } })),
  });

export const schedules = (id: string) =>
  queryOptions({
    queryKey: ["schedules", id],
    queryFn: async () =>
      (
        await body(
          api.GET("/v0/workflows/{workflow_id}/schedules", {
            params: { path: { workflow_id: id }, query: { limit: 200 } },
          }),
        )
      ).items,
  });

/** Every workflow's next fire, for the list. */
export const nextFires = queryOptions({
  queryKey: ["next-fires"],
  queryFn: async () => {
    const page = await body(api.GET("/v0/schedules", { params: { query: { limit: 200, active: true } } }));
    const next = new Map<string, string>();
    for (const item of page.items) {
      const known = next.get(item.workflow_id);
      if (item.next_fire_at !== null && (known === undefined || item.next_fire_at < known)) {
        next.set(item.workflow_id, item.next_fire_at);
      }
    }
    return next;
  },
});

export const taskTypes = queryOptions({
  queryKey: ["task-types"],
  queryFn: async () => (await body(api.GET("/v0/task-types", { params: { query: { limit: 200 } } }))).items,
  staleTime: 5 * 60_000,
});

export interface RunFilter {
  workflow_id?: string;
  state?: RunState;
}

export const runs = ({ state, ...filter }: RunFilter, perPage = RUNS_PER_PAGE) =>
  infiniteQueryOptions({
    queryKey: ["runs", { ...filter, ...(state && { state }) }, perPage],
    queryFn: ({ pageParam }) =>
      body(
        api.GET("/v0/workflow-runs", {
          params: {
            query: { limit: perPage, ...filter, ...(state && { state: [state] }), ...(pageParam && { cursor: pageParam }) },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
  });

export const recentRuns = queryOptions({
  queryKey: ["runs", "recent"],
  queryFn: async () => (await body(api.GET("/v0/workflow-runs", { params: { query: { limit: 200 } } }))).items,
});

export const run = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: () => body(api.GET("/v0/workflow-runs/{run_id}", { params: { path: { run_id: id } } })),
  });

/** The run that a task of type workflow.run waits for, once it was started; `since` is when the wait began. */
export const childRun = (taskRunId: string, workflowId: string, since: string) =>
  queryOptions({
    queryKey: ["child-run", taskRunId, since],
    queryFn: async () => {
      const query = { workflow_id: workflowId, trigger: "parent_run" as const, created_from: since, text: taskRunId, limit: 20 };
      const page = await body(api.GET("/v0/workflow-runs", { params: { query } }));
      return page.items.find((item) => item.cause === taskRunId) ?? null;
    },
  });

/** The page on which an item stands, by its first: items begin in order, so that none is left out between them. */
export const pageOfItem = (item: number): number => item - (item % ITEMS_PER_PAGE);

/** The items of a task that runs over a list, in order, beginning at page `from` and going on both ways; those of one state. */
export const items = (runId: string, taskRunId: string, state: ItemState | null, from: number) =>
  infiniteQueryOptions({
    queryKey: ["items", taskRunId, state, from],
    queryFn: ({ pageParam }) =>
      body(
        api.GET("/v0/workflow-runs/{run_id}/tasks/{task_run_id}/items", {
          params: {
            path: { run_id: runId, task_run_id: taskRunId },
            query: { limit: ITEMS_PER_PAGE, from_item: pageParam, ...(state && { state }) },
          },
        }),
      ),
    initialPageParam: from,
    getNextPageParam: (page) => (page.next_cursor === null ? null : (page.items.at(-1)?.item ?? 0) + 1),
    getPreviousPageParam: (_page, _pages, first) => (first > 0 ? Math.max(0, first - ITEMS_PER_PAGE) : null),
  });

export type Direction = "input" | "output";

/** A task run's input or output as the JSON document that it is, however large. */
export const ioContent = (taskRunId: string, direction: Direction): Promise<Blob> =>
  body(api.GET("/v0/tasks/io-data/content", { params: { query: { task_run_id: taskRunId, direction } }, parseAs: "blob" }));

/** A task run's input and output, without what is too large; `stamp` changes when there is something new to read. */
export const ioData = (taskRunId: string, stamp: string) =>
  queryOptions({
    queryKey: ["io", taskRunId, stamp],
    queryFn: () => body(api.GET("/v0/tasks/io-data", { params: { query: { task_run_id: taskRunId } } })),
    staleTime: Infinity,
  });
