/**
 * Follows an event stream: resumed where it broke off, with a new token when the old one ends. An ended session ends its
 * streams within seconds, and the next request finds out why. While nobody looks at the page there is no stream, for a
 * browser holds few connections to one place.
 */

import { readEvents, type ServerEvent } from "./events";
import { Problem, problemOf } from "./problem";
import { authorizedFetch } from "./session";

export type Connection = "live" | "reconnecting" | "lost" | "closed";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;
/** A stream that ended sooner did not end because its token or session did. */
const SHORT_MS = 1_000;
const UNSEEN_MS = 10_000;

interface Followed {
  path: string;
  /** The id to begin behind, of what is known already. */
  last: string | null;
  take: (event: ServerEvent) => void;
  /** Whether the stream that has just ended had no more to tell. */
  done: () => boolean;
  tell: (connection: Connection) => void;
  signal: AbortSignal;
}

/** Until all is told, the signal says so, or asking again would change nothing. */
export async function follow({ path, last, take, done, tell, signal }: Followed): Promise<void> {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    await seen(signal);
    const unseen = whenUnseen();
    const began = performance.now();
    try {
      const response = await authorizedFetch(path, {
        headers: { Accept: "text/event-stream", ...(last !== null && { "Last-Event-ID": last }) },
        signal: AbortSignal.any([signal, unseen.signal]),
      });
      if (!response.ok) throw await problemOf(response);
      tell("live");
      await readEvents(response, (event) => {
        pause = FIRST_PAUSE_MS;
        last = event.id ?? last;
        take(event);
      });
      if (done()) return;
      if (performance.now() - began > SHORT_MS) continue;
    } catch (error) {
      if (signal.aborted) return;
      if (unseen.signal.aborted) continue;
      // gone, or not ours any more: asking again changes nothing
      if (error instanceof Problem && [401, 403, 404].includes(error.status)) {
        tell("lost");
        return;
      }
    } finally {
      unseen.forget();
    }
    tell("reconnecting");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Resolves when the page is in sight. */
function seen(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (document.visibilityState === "hidden" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** Aborts when the page was out of sight for a while. */
function whenUnseen(): { signal: AbortSignal; forget: () => void } {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") timer = setTimeout(() => abort.abort(), UNSEEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  return {
    signal: abort.signal,
    forget: () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    },
  };
}
