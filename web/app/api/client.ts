/** The API, typed by its own OpenAPI document (`npm run api:types`). Answers or throws Problem, nothing in between. */

import createClient, { type FetchResponse } from "openapi-fetch";
import type { components, paths } from "./schema";
import { problemOf } from "./problem";
import { authorizedFetch } from "./session";

type Schemas = components["schemas"];
export type Run = Schemas["RunDetail"];
export type RunSummary = Schemas["RunSummary"];
export type RunState = Schemas["RunState"];
export type Job = Schemas["JobAnswer"];
export type Task = Schemas["TaskAnswer"];
export type Item = Schemas["ItemAnswer"];
export type ItemState = Schemas["TaskState"];
export type ItemCounts = Schemas["ItemCounts"];
export type TaskError = Schemas["ErrorAnswer"];
export type LogLine = Schemas["LogLine"];
export type IoData = Schemas["IoData"];
export type Workflow = Schemas["WorkflowOut"];
export type WorkflowDetail = Schemas["DetailOut"];
export type Composite = Schemas["CompositeOut"];
export type TaskSpec = Schemas["TaskSpecOut"];
export type JobSpec = Schemas["JobSpecOut"];
export type Schedule = Schemas["ScheduleView"];
export type TaskType = Schemas["TaskTypeOut"];

export const api = createClient<paths>({ baseUrl: location.origin, fetch: (request) => authorizedFetch(request) });

/** The body of a successful answer. */
export async function body<T extends Record<string | number, unknown>, O, M extends `${string}/${string}`>(
  call: Promise<FetchResponse<T, O, M>>,
): Promise<NonNullable<FetchResponse<T, O, M>["data"]>> {
  const { data, error, response } = await call;
  if (!response.ok) throw await problemOf(response, error ?? {});
  return data as NonNullable<FetchResponse<T, O, M>["data"]>;
}

export const TERMINAL: ReadonlySet<string> = new Set(["SUCCESS", "FAILED", "CANCELLED", "SKIPPED", "UPSTREAM_FAILED"]);

export function isTerminal(state: string): boolean {
  return TERMINAL.has(state);
}
