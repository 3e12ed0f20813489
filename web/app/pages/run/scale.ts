/** Where a moment lies on the run's line of time. */

export interface Scale {
  from: number; // ms since epoch
  span: number; // ms
  step: number; // ms between two warp threads
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
const MOST_STEPS = 6;

export function makeScale(from: number, to: number): Scale {
  const span = Math.max(to - from, 20);
  const step = STEPS.find((one) => span / one <= MOST_STEPS) ?? Math.ceil(span / MOST_STEPS / 864e5) * 864e5;
  return { from, span, step };
}

/** Between 0 and 100. */
export function place(scale: Scale, at: number): number {
  return Math.min(100, Math.max(0, ((at - scale.from) / scale.span) * 100));
}

export function ticks(scale: Scale): number[] {
  const all: number[] = [];
  for (let at = 0; at <= scale.span; at += scale.step) all.push(at);
  return all;
}
