/** Light, dark, or as the system is. The style sheet does the rest through `color-scheme`. */

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const STORED = "flowweaver.theme";
const listeners = new Set<() => void>();

function stored(): Theme {
  try {
    const value = localStorage.getItem(STORED);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

let current: Theme = stored();

export function applyTheme(): void {
  document.documentElement.dataset["theme"] = current;
}

export function setTheme(next: Theme): void {
  current = next;
  try {
    localStorage.setItem(STORED, next);
  } catch {
    // then it holds until the page is left
  }
  applyTheme();
  for (const listener of [...listeners]) listener();
}

export function useTheme(): Theme {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}
