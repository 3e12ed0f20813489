/**
 * Who is logged in. The access token lives in this module's memory only; the refresh token is a cookie that no script
 * can read. Whatever asks the API goes through `authorizedFetch`, which renews the token before it runs out and once
 * more when the API refuses it, and which ends the session here when the API says that it has ended.
 */

import { locale } from "../i18n";
import { Problem, problemOf, UNREACHABLE } from "./problem";

export type SessionState = "unknown" | "in" | "out" | "expired";

interface Token {
  value: string;
  goodUntil: number; // ms of performance.now()
}

const RENEW_BEFORE_MS = 20_000;

let token: Token | null = null;
let state: SessionState = "unknown";
let renewing: Promise<boolean> | null = null;
const listeners = new Set<() => void>();

export const session = {
  get: (): SessionState => state,
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

function become(next: SessionState): void {
  if (state === next) return;
  state = next;
  for (const listener of [...listeners]) listener();
}

function take(body: { access_token: string; expires_in: number }): void {
  const lifetime = body.expires_in * 1000;
  // a token that lives shorter than the margin is renewed half-way
  token = { value: body.access_token, goodUntil: performance.now() + Math.max(lifetime - RENEW_BEFORE_MS, lifetime / 2) };
  become("in");
}

async function send(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(input, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, UNREACHABLE, "");
  }
}

export async function logIn(email: string, password: string): Promise<void> {
  const response = await send("/v0/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Accept-Language": locale.get() },
    body: JSON.stringify({ email, password }),
  });
  if (!response.ok) throw await problemOf(response);
  take((await response.json()) as { access_token: string; expires_in: number });
}

export async function logOut(): Promise<void> {
  try {
    await authorizedFetch("/v0/auth/logout", { method: "POST" });
  } catch {
    // gone already, or nobody answers: here it ends in any case
  }
  token = null;
  become("out");
}

/** Tries the cookie; true when there is a session. One attempt at a time, over all tabs: a refresh token works once. */
export function renew(): Promise<boolean> {
  renewing ??= inTurn(renewOnce).finally(() => {
    renewing = null;
  });
  return renewing;
}

async function inTurn(work: () => Promise<boolean>): Promise<boolean> {
  // not there on pages without TLS, other than on this machine
  const locks = (navigator as { locks?: LockManager }).locks;
  return locks === undefined ? work() : ((await locks.request("flowweaver-refresh", work)) as boolean);
}

async function renewOnce(): Promise<boolean> {
  const before = state;
  const response = await send("/v0/auth/refresh", { method: "POST" });
  if (response.ok) {
    take((await response.json()) as { access_token: string; expires_in: number });
    return true;
  }
  if (response.status !== 401 && response.status !== 403) throw await problemOf(response);
  token = null;
  become(before === "in" || before === "expired" ? "expired" : "out");
  return false;
}

function ended(): Problem {
  return new Problem(401, "session_ended", "");
}

/** `fetch` as the person who is logged in. Throws Problem when nobody answers or the session has ended. */
export async function authorizedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  if (token === null || performance.now() > token.goodUntil) {
    if (!(await renew())) throw ended();
  }
  const first = await send(signed(request.clone()));
  if (first.status !== 401) return first;
  // the session may have been renewed elsewhere, or its rights changed
  if (!(await renew())) throw ended();
  return send(signed(request));
}

function signed(request: Request): Request {
  request.headers.set("Authorization", `Bearer ${token?.value ?? ""}`);
  request.headers.set("Accept-Language", locale.get());
  return request;
}
