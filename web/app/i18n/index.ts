/** The language of everything that people read: chosen, else the browser's, else Korean. */

import { useSyncExternalStore } from "react";
import { en } from "./en";
import { ko, type Messages } from "./ko";

export type Locale = "ko" | "en";
export type Key = keyof Messages;

const CATALOGUES: Record<Locale, Messages> = { ko, en };
const STORED = "flowweaver.language";
const listeners = new Set<() => void>();

function first(): Locale {
  const stored = read();
  if (stored === "ko" || stored === "en") return stored;
  return navigator.language.toLowerCase().startsWith("en") ? "en" : "ko";
}

function read(): string | null {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // storage is switched off
  }
}

let current: Locale = typeof navigator === "undefined" ? "ko" : first();

export const locale = {
  get: (): Locale => current,
  set(next: Locale): void {
    current = next;
    try {
      localStorage.setItem(STORED, next);
    } catch {
      // then it holds until the page is left
    }
    document.documentElement.lang = next;
    for (const listener of [...listeners]) listener();
  },
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

type Params = Record<string, string | number>;

/** `{name}` becomes its value, `{name:one|many}` the word that goes with that number. */
export function fill(template: string, params: Params): string {
  return template.replace(/\{(\w+)(?::(.*?)\|(.*?))?\}/g, (whole, name: string, one?: string, many?: string) => {
    const value = params[name];
    return one === undefined ? String(value ?? whole) : ((value === 1 ? one : many) as string);
  });
}

export function text(key: Key, params: Params = {}): string {
  return fill(CATALOGUES[current][key], params);
}

/** `text`, and drawn again when the language changes. */
export function useText(): typeof text {
  useSyncExternalStore(locale.subscribe, locale.get);
  return text;
}

export function useLocale(): Locale {
  return useSyncExternalStore(locale.subscribe, locale.get);
}

/** Whether a key that was put together exists, e.g. for a state that the API added since. */
export function isKey(key: string): key is Key {
  return key in ko;
}
