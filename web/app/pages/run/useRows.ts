/** One stop for the keyboard in a list of which only a part is drawn: arrows, Page Up and Down, Home and End move in it. */

import type { Virtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type KeyboardEvent, type RefObject } from "react";

const KEYS: Record<string, (at: number, last: number) => number> = {
  ArrowDown: (at) => at + 1,
  ArrowUp: (at) => at - 1,
  PageDown: (at) => at + 10,
  PageUp: (at) => at - 10,
  Home: () => 0,
  End: (_, last) => last,
};

interface Rows {
  /** The row that Tab reaches, -1 without any. */
  current: number;
  setActive: (index: number) => void;
  move: (event: KeyboardEvent) => void;
  /** Takes the keyboard to a row, once it is drawn. */
  focus: (index: number) => void;
}

/** `indexes`: the rows that can be reached, each a button in an element with its `data-index`. */
export function useRows(box: RefObject<HTMLElement | null>, indexes: readonly number[], virtual: Virtualizer<HTMLDivElement, Element>): Rows {
  const [active, setActive] = useState<number | null>(null);
  const wanted = useRef<number | null>(null);
  const current = active !== null && indexes.includes(active) ? active : (indexes[0] ?? -1);

  useEffect(() => {
    if (wanted.current === null) return;
    // a row far away is drawn only after the list has scrolled there
    const row = box.current?.querySelector<HTMLElement>(`[data-index="${wanted.current}"] button`);
    if (row == null) return;
    wanted.current = null;
    row.focus({ preventScroll: true });
  });

  function move(event: KeyboardEvent): void {
    const last = indexes.length - 1;
    const to = KEYS[event.key]?.(indexes.indexOf(current), last);
    if (to === undefined) return;
    event.preventDefault();
    const index = indexes[Math.min(last, Math.max(0, to))];
    if (index === undefined) return;
    focus(index);
    virtual.scrollToIndex(index);
  }

  function focus(index: number): void {
    wanted.current = index;
    setActive(index);
  }

  return { current, setActive, move, focus };
}
