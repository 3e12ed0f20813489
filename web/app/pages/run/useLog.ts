/** Log lines in the order in which they were saved: those that are there are read, what comes is told by the run's stream. */

import { useEffect, useRef, useState } from "react";
import { api, body, type LogLine } from "../../api/client";
import { hearLines } from "./lines";

const AGAIN_MS = 2_000;
const PAGE = 200;
/** What a browser can hold with ease; older lines make room. */
const KEPT = 20_000;

export function useLog(runId: string, taskRunId: string | null, live: boolean): { lines: LogLine[]; error: unknown; loaded: boolean } {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [loaded, setLoaded] = useState(false);
  // a run that ends changes nothing of what was read, and not the reader's place in it
  const going = useRef(live);
  useEffect(() => {
    going.current = live;
  }, [live]);

  useEffect(() => {
    let stopped = false;
    let wake: ReturnType<typeof setTimeout> | undefined;
    let cursor: string | null = null;
    // what is told while older lines are still being read waits for its turn
    let told: LogLine[] | null = [];
    const known = new Set<string>();
    setLines([]);
    setLoaded(false);

    function add(more: LogLine[]): void {
      const fresh = more.filter((line) => !known.has(line.id));
      for (const line of fresh) known.add(line.id);
      if (fresh.length > 0) setLines((before) => [...before, ...fresh].slice(-KEPT));
    }

    async function read(): Promise<void> {
      try {
        do {
          const page = await body(
            api.GET("/v0/workflow-runs/{run_id}/logs", {
              params: {
                path: { run_id: runId },
                query: { limit: PAGE, ...(taskRunId !== null && { task_run_id: taskRunId }), ...(cursor !== null && { cursor }) },
              },
            }),
          );
          if (stopped) return;
          add(page.items);
          cursor = page.next_cursor;
        } while (cursor !== null);
        setError(null);
        add(told ?? []);
        told = null;
      } catch (problem) {
        if (stopped) return;
        setError(problem);
        if (going.current) wake = setTimeout(() => void read(), AGAIN_MS);
      }
      setLoaded(true);
    }

    const deaf = hearLines(runId, (more) => {
      const own = more.filter((line) => taskRunId === null || line.task_run_id === taskRunId);
      if (told === null) add(own);
      else told = [...told, ...own].slice(-KEPT);
    });
    void read();
    return () => {
      stopped = true;
      clearTimeout(wake);
      deaf();
    };
  }, [runId, taskRunId]);

  return { lines, error, loaded };
}
