/** Keeps a list of runs as it is now: what changed is told over server-sent events and put in its place. */

import { replaceEqualDeep, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { RunSummary } from "../api/client";
import { follow, type Connection } from "../api/follow";
import { runs, type RunFilter } from "../api/queries";
import { inPlace, withRuns, type RunPages } from "./runList";

/** Who has not scrolled farther than this sees new runs come in on top. */
const TOP_PX = 40;
/** Told runs that are kept in mind: an answer that was under way when they were told is older than they are. */
const REMEMBERED = 500;

interface LiveRuns {
  connection: Connection;
  /** How many runs are not shown yet because the reader is farther down. */
  held: number;
  /** The list was read anew. */
  settle: () => void;
  /** For the list's query: what a list read anew becomes, so that nothing moves under who reads farther down. */
  merge: (before: unknown, after: unknown) => unknown;
}

export function useLiveRuns({ state, workflow_id }: RunFilter): LiveRuns {
  const client = useQueryClient();
  const [connection, setConnection] = useState<Connection>("live");
  const [held, setHeld] = useState(0);
  const told = useRef(new Map<string, RunSummary>());
  const filter = useMemo<RunFilter>(() => ({ ...(state && { state }), ...(workflow_id !== undefined && { workflow_id }) }), [state, workflow_id]);

  const note = useCallback((items: RunSummary[]): void => {
    for (const run of items) {
      const known = told.current.get(run.run_id);
      if (known !== undefined && known.version > run.version) continue;
      told.current.delete(run.run_id);
      told.current.set(run.run_id, run);
    }
    for (const id of told.current.keys()) {
      if (told.current.size <= REMEMBERED) break;
      told.current.delete(id);
    }
  }, []);

  const merge = useCallback(
    (before: unknown, after: unknown): unknown => {
      if (before === undefined || window.scrollY < TOP_PX) return replaceEqualDeep(before, after);
      const { pages, news } = inPlace(before as RunPages, after as RunPages);
      note(news);
      return replaceEqualDeep(before, pages);
    },
    [note],
  );

  const apply = useCallback((): void => {
    const key = runs(filter).queryKey;
    const before = client.getQueryData<RunPages>(key);
    if (before === undefined) return;
    const after = withRuns(before, told.current.values(), filter, window.scrollY < TOP_PX);
    if (after.pages !== before) client.setQueryData<RunPages>(key, after.pages);
    setHeld(after.held.length);
  }, [client, filter]);

  useEffect(() => {
    const stop = new AbortController();
    let broken = false;
    told.current.clear();
    void follow({
      path: `/v0/workflow-runs/events${workflow_id === undefined ? "" : `?workflow_id=${encodeURIComponent(workflow_id)}`}`,
      last: null,
      take: ({ event, data }) => {
        if (event === "reset") void client.invalidateQueries({ queryKey: runs(filter).queryKey });
        if (event !== "runs") return;
        note((JSON.parse(data) as { items: RunSummary[] }).items);
        apply();
      },
      done: () => false,
      tell: (now) => {
        // at a break this says whether anybody answers; after it, what was asked meanwhile may have been refused
        if (broken === (now === "live")) void client.invalidateQueries({ queryKey: runs(filter).queryKey });
        broken = now !== "live";
        setConnection(now);
      },
      signal: stop.signal,
    });
    window.addEventListener("scroll", apply, { passive: true, signal: stop.signal });
    return () => stop.abort();
  }, [client, filter, workflow_id, apply, note]);

  return { connection, held, settle: apply, merge };
}
