/** Times, durations and sizes as people read them, in their language and their time zone. */

import { locale, text } from "./i18n";

const INTL = { ko: "ko-KR", en: "en-GB" } as const;

/** 0.4 s, 12.3 s, 3 m 20 s, 2 h 5 m. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1000) return text("time.ms", { n: ms > 0 && ms < 1 ? "<1" : Math.max(0, Math.round(ms)) });
  const seconds = ms / 1000;
  if (seconds < 59.95) return text("time.s", { n: seconds.toFixed(1) });
  const whole = Math.round(seconds);
  if (whole < 3600) return text("time.ms_s", { m: Math.floor(whole / 60), s: whole % 60 });
  return text("time.h_m", { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}

function format(at: string, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(INTL[locale.get()], options).format(new Date(at));
}

/** Whole, for titles and detail. */
export function moment(at: string | null): string {
  return at === null ? "–" : format(at, { dateStyle: "medium", timeStyle: "medium" });
}

/** Short, for tables: the time today, the day otherwise. */
export function shortMoment(at: string | null, now: Date = new Date()): string {
  if (at === null) return "–";
  const day = new Date(at);
  if (day.toDateString() === now.toDateString()) {
    return format(at, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  }
  const sameYear = day.getFullYear() === now.getFullYear();
  return format(at, {
    ...(sameYear ? {} : { year: "numeric" }),
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
}

/** With its weekday, in a given zone: when a schedule fires. */
export function fireMoment(at: string, timeZone: string): string {
  const options: Intl.DateTimeFormatOptions = {
    month: "short",
    day: "numeric",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  };
  try {
    return format(at, { ...options, timeZone });
  } catch {
    return format(at, options); // a zone that this browser does not know
  }
}

/** Log lines: the time with milliseconds. */
export function clock(at: string): string {
  return format(at, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
  });
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

export function elapsed(from: string | null, to: string | null, now: number): number | null {
  if (from === null) return null;
  return Math.max(0, (to === null ? now : Date.parse(to)) - Date.parse(from));
}
