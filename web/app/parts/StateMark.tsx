/** A state is told by its shape first, its colour second, its word third: no two of them share a shape. */

import type { ReactNode } from "react";
import { isKey, useText } from "../i18n";

const SHAPES: Record<string, ReactNode> = {
  // a full disc, ticked
  SUCCESS: (
    <>
      <circle cx="8" cy="8" r="7" fill="currentColor" />
      <path d="m4.900 8.200 2.200 2.200 4.100-4.500" stroke="var(--sheet)" strokeWidth="1.800" fill="none" />
    </>
  ),
  // an open ring that turns
  RUNNING: (
    <>
      <circle cx="8" cy="8" r="6" stroke="currentColor" strokeOpacity=".25" strokeWidth="2.200" fill="none" />
      <path className="turn" d="M8 2a6 6 0 0 1 6 6" stroke="currentColor" strokeWidth="2.200" fill="none" />
    </>
  ),
  // a diamond with a cross
  FAILED: (
    <>
      <path d="M8 .5 15.500 8 8 15.500.5 8z" fill="currentColor" />
      <path d="m5.900 5.900 4.200 4.200m0-4.200-4.200 4.200" stroke="var(--sheet)" strokeWidth="1.600" fill="none" />
    </>
  ),
  // a hollow diamond: what came before it failed
  UPSTREAM_FAILED: (
    <>
      <path d="M8 1.700 14.300 8 8 14.300 1.700 8z" stroke="currentColor" strokeWidth="1.600" fill="none" />
      <path d="M5.600 8h4.800" stroke="currentColor" strokeWidth="1.600" fill="none" />
    </>
  ),
  // two arrow heads: passed over
  SKIPPED: <path d="m3.500 4 4 4-4 4M8.700 4l4 4-4 4" stroke="currentColor" strokeWidth="1.800" fill="none" />,
  // a triangle that waits
  RETRY_WAIT: (
    <>
      <path d="M8 1.600 15 14H1z" fill="currentColor" strokeLinejoin="round" />
      <path d="M8 6.200v3.600M8 11.800v.1" stroke="var(--sheet)" strokeWidth="1.600" fill="none" />
    </>
  ),
  // an hourglass
  WAITING: (
    <>
      <path d="M3.300 1.800h9.400M3.300 14.200h9.400" stroke="currentColor" strokeWidth="1.800" fill="none" />
      <path d="M4.600 2.200h6.800C11.400 5.400 8.800 6.400 8.800 8s2.600 2.600 2.600 5.800H4.600C4.600 10.600 7.200 9.600 7.200 8S4.600 5.400 4.600 2.200z" fill="currentColor" />
    </>
  ),
  // a ring with a dot
  QUEUED: (
    <>
      <circle cx="8" cy="8" r="6" stroke="currentColor" strokeWidth="1.600" fill="none" />
      <circle cx="8" cy="8" r="2.300" fill="currentColor" />
    </>
  ),
  // a broken ring
  PENDING: (
    <circle cx="8" cy="8" r="6" stroke="currentColor" strokeWidth="1.600" strokeDasharray="2.300 2.400" fill="none" />
  ),
  // two bars
  PAUSED: <path d="M5.300 3v10M10.700 3v10" stroke="currentColor" strokeWidth="2.800" fill="none" />,
  // a hollow square
  CANCELLING: (
    <rect x="2.500" y="2.500" width="11" height="11" rx="2" stroke="currentColor" strokeWidth="1.600" strokeDasharray="3 2" fill="none" />
  ),
  // a full square, struck through
  CANCELLED: (
    <>
      <rect x="1.800" y="1.800" width="12.400" height="12.400" rx="2.500" fill="currentColor" />
      <path d="M4.800 8h6.400" stroke="var(--sheet)" strokeWidth="1.800" fill="none" />
    </>
  ),
};

export function StateMark({ state, size = 16 }: { state: string; size?: number }) {
  return (
    <svg className="mark" data-state={state} width={size} height={size} viewBox="0 0 16 16" strokeLinecap="round" aria-hidden="true">
      {SHAPES[state] ?? SHAPES["PENDING"]}
    </svg>
  );
}

export function useStateName(): (state: string) => string {
  const t = useText();
  return (state) => {
    const key = `state.${state}`;
    return isKey(key) ? t(key) : t("state.other", { state });
  };
}

export function State({ state, badge = false }: { state: string; badge?: boolean }) {
  const name = useStateName();
  return (
    <span className={badge ? "state state-badge" : "state"} data-state={state}>
      <StateMark state={state} />
      {name(state)}
    </span>
  );
}
