/** What the API answers when it refuses (RFC 9457), and what we make of a network that does not answer at all. */

export interface FieldReason {
  field: string;
  reason: string;
}

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: readonly FieldReason[] = [],
    readonly traceId: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(detail);
    this.name = "Problem";
  }

  /** The reasons given for one field, or for what lies inside it. */
  reasonsFor(field: string): string[] {
    return this.errors.flatMap((error) => {
      const place = inside(error.field, field);
      return place === null ? [] : [place === "" ? error.reason : `${place}: ${error.reason}`];
    });
  }
}

/** Where a reason stands, seen from a field: "" at the field itself, such as `[0].name` inside it, null elsewhere. */
export function inside(place: string, field: string): string | null {
  if (place === field) return "";
  if (!place.startsWith(`${field}.`) && !place.startsWith(`${field}[`)) return null;
  return place.slice(field.length).replace(/^\./, "");
}

/** Nobody answered: status 0. */
export const UNREACHABLE = "unreachable";

/** `known` is the body when somebody has read it already. */
export async function problemOf(response: Response, known?: unknown): Promise<Problem> {
  let body: Record<string, unknown> = {};
  try {
    const found: unknown = known ?? (await response.json());
    if (typeof found === "object" && found !== null) body = found as Record<string, unknown>;
  } catch {
    // a proxy's page, not ours: the status alone has to do
  }
  const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);
  const retry = Number(response.headers.get("Retry-After"));
  return new Problem(
    response.status,
    text(body["code"]) ?? `http_${response.status}`,
    text(body["detail"]) ?? text(body["title"]) ?? `HTTP ${response.status}`,
    Array.isArray(body["errors"]) ? (body["errors"] as FieldReason[]) : [],
    text(body["trace_id"]),
    Number.isFinite(retry) && retry > 0 ? retry : null,
  );
}
