/** Log lines on their way from a run's event stream to whoever shows them. */

import type { LogLine } from "../../api/client";

type Listener = (lines: LogLine[]) => void;

const listeners = new Map<string, Set<Listener>>();

export function tellLines(runId: string, lines: LogLine[]): void {
  for (const listener of listeners.get(runId) ?? []) listener(lines);
}

export function hearLines(runId: string, listener: Listener): () => void {
  const heard = listeners.get(runId) ?? new Set();
  listeners.set(runId, heard.add(listener));
  return () => {
    heard.delete(listener);
    if (heard.size === 0) listeners.delete(runId);
  };
}
