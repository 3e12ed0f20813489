/** Steps that wait (docs/interfaces.md): what their parameters and outputs say, as far as they say it. */

import type { Schema } from "../../parts/JsonForm";

const WAITS: ReadonlySet<string> = new Set(["wait.time", "wait.event", "human.approval", "human.form", "workflow.run"]);
const PEOPLES: ReadonlySet<string> = new Set(["human.approval", "human.form"]);

export function isWait(type: string): boolean {
  return WAITS.has(type);
}

export function isPeoples(type: string): boolean {
  return PEOPLES.has(type);
}

/** Whether somebody has to answer before it goes on, be it only for one of its items. */
export function asksPerson(task: { type: string; state: string; items?: { open: number } | null }): boolean {
  return isPeoples(task.type) && (task.state === "WAITING" || (task.items?.open ?? 0) > 0);
}

export interface Question {
  title: string | null;
  description: string | null;
  /** undefined: nothing. */
  shown: unknown;
  /** What a form's values must fit. */
  schema: Schema;
  /** Whether a no fails the task; else the run goes on with it. */
  rejectFails: boolean;
}

/** What a person is asked, from a task's resolved parameters. */
export function questionOf(input: unknown): Question {
  const given = record(input);
  return {
    title: textOf(given["title"]),
    description: textOf(given["description"]),
    shown: given["shown"] ?? undefined,
    schema: record(given["schema"]),
    rejectFails: given["on_reject"] !== "continue",
  };
}

/** When a wait.time is over, ISO 8601; null as long as that is unknown. */
export function endOf(input: unknown, startedAt: string | null): string | null {
  const given = record(input);
  return textOf(given["until"]) ?? after(startedAt, given["seconds"]);
}

/** When the attempt fails because nothing came, ISO 8601; null when it waits for as long as it takes. */
export function deadlineOf(input: unknown, startedAt: string | null): string | null {
  return after(startedAt, record(input)["timeout_s"]);
}

export interface Child {
  run_id: string;
  number: number | null;
}

/** The run that a workflow.run started, from its output or from the details of its failure. */
export function childOf(said: unknown): Child | null {
  const { run_id, number } = record(said);
  return typeof run_id === "string" && run_id !== "" ? { run_id, number: typeof number === "number" ? number : null } : null;
}

function after(at: string | null, seconds: unknown): string | null {
  return at === null || typeof seconds !== "number" ? null : new Date(Date.parse(at) + seconds * 1000).toISOString();
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

export function textOf(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}
