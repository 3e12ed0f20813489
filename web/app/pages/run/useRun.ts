/** A run as it is now: read once, then followed over server-sent events until it is terminal and its log is told. */

import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, body, isTerminal, type LogLine, type Run } from "../../api/client";
import type { ServerEvent } from "../../api/events";
import { follow, type Connection } from "../../api/follow";
import { Problem } from "../../api/problem";
import { run as runQuery } from "../../api/queries";
import { withChanges, type Changes } from "./changes";
import { tellLines } from "./lines";

export type { Connection };

/** For so long after its end a run's last log lines may still come. */
const AFTER_END_MS = 10_000;

export function useRun(id: string): { run: Run | undefined; error: Error | null; retry: () => unknown; connection: Connection } {
  const client = useQueryClient();
  const query = useQuery({ ...runQuery(id), staleTime: Infinity });
  const [connection, setConnection] = useState<Connection>("live");
  const known = query.data !== undefined;
  const open = known && !isTerminal(query.data.state);

  useEffect(() => {
    const latest = (): Run | undefined => client.getQueryData<Run>(runQuery(id).queryKey);
    const first = latest();
    if (!known || first === undefined || isOver(first)) return;
    const stop = new AbortController();
    const take = ({ event, data }: ServerEvent): void => {
      const before = latest();
      if (event === "run") keepNewest(client, JSON.parse(data) as Run);
      else if (event === "tasks" && before !== undefined) keepNewest(client, withChanges(before, JSON.parse(data) as Changes));
      else if (event === "log") tellLines(id, (JSON.parse(data) as { items: LogLine[] }).items);
    };
    void follow({
      path: `/v0/workflow-runs/${encodeURIComponent(id)}/events`,
      last: `${first.version}.${first.log_position}`,
      take,
      done: () => isTerminal(latest()?.state ?? ""),
      tell: setConnection,
      signal: stop.signal,
    });
    return () => stop.abort();
  }, [id, known, client]);

  return { run: query.data, error: query.error, retry: query.refetch, connection: open ? connection : "closed" };
}

function isOver(run: Run): boolean {
  return run.finished_at !== null && Date.now() - Date.parse(run.finished_at) > AFTER_END_MS;
}

/** The events and an answer may overtake each other. */
function keepNewest(client: QueryClient, next: Run): void {
  client.setQueryData<Run>(runQuery(next.run_id).queryKey, (known) => (known && known.version > next.version ? known : next));
}

/** Reads a run again beside its events. What comes of it is shown; that nothing came is told by whoever follows it. */
export async function refreshRun(client: QueryClient, id: string): Promise<void> {
  try {
    keepNewest(client, await body(api.GET("/v0/workflow-runs/{run_id}", { params: { path: { run_id: id } } })));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}
