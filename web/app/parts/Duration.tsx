import { useEffect, useState } from "react";
import { duration, elapsed } from "../format";
import { useText } from "../i18n";

/** The time of day, moving while `moving`. */
export function useNow(moving: boolean, everyMs = 500): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!moving) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [moving, everyMs]);
  return now;
}

/** How long something took, or has taken until now. */
export function Duration({ from, to, live = true }: { from: string | null; to: string | null; live?: boolean }) {
  useText();
  const now = useNow(live && from !== null && to === null);
  return <>{duration(elapsed(from, to, now))}</>;
}
