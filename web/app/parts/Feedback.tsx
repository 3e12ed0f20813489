/** What a page shows instead of its content: nothing yet, still coming, or why not. */

import type { ReactNode } from "react";
import { Problem, UNREACHABLE } from "../api/problem";
import { useText } from "../i18n";
import { WarnIcon } from "./icons";
import { StateMark } from "./StateMark";

export function Empty({ title, lead, children }: { title: string; lead: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <svg width="120" height="56" viewBox="0 0 120 56" fill="none" strokeLinecap="round" aria-hidden="true">
        <g stroke="var(--line)" strokeWidth="1.500">
          <path d="M24 4v48M48 4v48M72 4v48M96 4v48" />
        </g>
        <path d="M8 16h22M54 16h58" stroke="var(--jjok)" strokeWidth="4" />
        <path d="M8 29h52M84 29h28" stroke="var(--line-strong)" strokeWidth="4" strokeDasharray="1 8" />
        <path d="M8 42h10M36 42h46" stroke="var(--chija)" strokeWidth="4" />
      </svg>
      <h2>{title}</h2>
      <p>{lead}</p>
      {children}
    </div>
  );
}

export function Skeleton({ rows = 6 }: { rows?: number }) {
  const t = useText();
  return (
    <div className="skeleton" role="status">
      <span className="hidden-text">{t("app.loading")}</span>
      {Array.from({ length: rows }, (_, index) => (
        <div className="bone" key={index} />
      ))}
    </div>
  );
}

function useWords(): (error: unknown) => string {
  const t = useText();
  return (error) => {
    if (!(error instanceof Problem)) return t("problem.unexpected");
    if (error.code === UNREACHABLE) return t("problem.unreachable");
    return error.code === "session_ended" ? t("problem.sessionEnded") : error.message;
  };
}

/**
 * What stands where a page would be that could not be read. What is not there, or not for this person, is no fault:
 * it is told calmly, with the way back; everything else as a refusal that can be tried again.
 */
export function PageProblem({ error, onRetry, back }: { error: unknown; onRetry: () => unknown; back: ReactNode }) {
  const t = useText();
  const words = useWords();
  if (!(error instanceof Problem) || ![403, 404].includes(error.status)) return <ProblemNote error={error} onRetry={onRetry} />;
  return (
    <div role="alert">
      <Empty title={words(error)} lead={t(error.status === 404 ? "notFound.lead" : "problem.forbidden")}>
        {back}
        {error.traceId && (
          <p className="problem-trace">
            {t("problem.trace")} <code>{error.traceId}</code>
          </p>
        )}
      </Empty>
    </div>
  );
}

/** Over something that is shown but could not be read again: it may be old by now. */
export function Stale({ query }: { query: { data: unknown; error: unknown; isFetching: boolean; refetch: () => unknown } }) {
  const t = useText();
  const words = useWords();
  if (query.data === undefined || query.error === null) return null;
  return (
    <div className="stale" role="status">
      <WarnIcon />
      <p>
        {words(query.error)} {t("problem.stale")}
      </p>
      <button type="button" className="button" disabled={query.isFetching} onClick={() => query.refetch()}>
        {t("app.retry")}
      </button>
    </div>
  );
}

/** A refusal with its reasons field by field, and the number under which the servers' logs know it. */
export function ProblemNote({ error, onRetry }: { error: unknown; onRetry?: (() => unknown) | undefined }) {
  const t = useText();
  const problem = error instanceof Problem ? error : null;
  const detail = useWords()(error);
  return (
    <div className="problem" role="alert">
      <StateMark state="FAILED" />
      <div className="problem-text">
        <h2>{t("problem.title")}</h2>
        <p>{detail}</p>
        {problem !== null && problem.retryAfterS !== null && <p>{t("problem.wait", { seconds: problem.retryAfterS })}</p>}
        {problem !== null && problem.errors.length > 0 && (
          <ul>
            {problem.errors.map((one) => (
              <li key={`${one.field} ${one.reason}`}>
                <code>{one.field}</code> {one.reason}
              </li>
            ))}
          </ul>
        )}
        {problem?.traceId && (
          <p className="problem-trace">
            {t("problem.trace")} <code>{problem.traceId}</code>
          </p>
        )}
        {onRetry !== undefined && (
          <button type="button" className="button" onClick={() => onRetry()}>
            {t("app.retry")}
          </button>
        )}
      </div>
    </div>
  );
}
