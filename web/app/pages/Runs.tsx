import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link, useSearchParams } from "react-router";
import { isTerminal, type RunState } from "../api/client";
import { runs, workflowNames, type RunFilter } from "../api/queries";
import { useText } from "../i18n";
import { Empty, ProblemNote, Skeleton, Stale } from "../parts/Feedback";
import { Picker } from "../parts/Picker";
import { RunTable } from "../parts/RunTable";
import { useStateName } from "../parts/StateMark";
import { useTitle } from "../parts/title";
import { useLiveRuns } from "./useLiveRuns";

const STATES: readonly RunState[] = ["PENDING", "RUNNING", "PAUSED", "CANCELLING", "SUCCESS", "FAILED", "CANCELLED"];

export function Component() {
  const t = useText();
  const stateName = useStateName();
  useTitle(t("runs.title"));
  const [search, setSearch] = useSearchParams();
  const state = STATES.find((one) => one === search.get("state"));
  const workflowId = search.get("workflow");
  const filter: RunFilter = { ...(state && { state }), ...(workflowId && { workflow_id: workflowId }) };
  const names = useQuery(workflowNames);
  const { connection, held, settle, merge } = useLiveRuns(filter);
  const list = useInfiniteQuery({
    ...runs(filter),
    placeholderData: (before) => before,
    structuralSharing: merge,
    // only while nothing is told; further pages are history and are read once
    refetchInterval: (query) => {
      const pages = query.state.data?.pages ?? [];
      if (connection === "live" || pages.length > 2) return false;
      return pages.some((page) => page.items.some((run) => !isTerminal(run.state))) ? 2_000 : 8_000;
    },
  });
  // an answer that was under way may be older than what was told meanwhile
  useEffect(settle, [settle, list.dataUpdatedAt]);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  // a workflow that was archived is in no list, but its runs tell its name
  const known = new Map(names.data);
  if (workflowId !== null && !known.has(workflowId)) known.set(workflowId, items.find((run) => run.workflow_id === workflowId)?.workflow_name ?? workflowId);
  const filtered = state !== undefined || workflowId !== null;

  function choose(name: string, value: string): void {
    setSearch((before) => {
      const after = new URLSearchParams(before);
      if (value === "") after.delete(name);
      else after.set(name, value);
      return after;
    }, { preventScrollReset: true });
  }

  return (
    <>
      <div className="head">
        <div className="head-text">
          <h1>{t("runs.title")}</h1>
          <p className="head-lead">{t("runs.lead")}</p>
        </div>
        <div className="actions">
          <Picker name={t("runs.filterState")} value={state ?? ""} options={STATES.map((one) => [one, stateName(one)])} onChoose={(value) => choose("state", value)} />
          <Picker name={t("runs.filterWorkflow")} value={workflowId ?? ""} options={[...known]} onChoose={(value) => choose("workflow", value)} />
        </div>
      </div>
      <Stale query={list} />
      {list.data === undefined && list.error !== null ? (
        <ProblemNote error={list.error} onRetry={list.refetch} />
      ) : list.isPending ? (
        <Skeleton rows={10} />
      ) : items.length === 0 ? (
        filtered ? (
          <Empty title={t("runs.noMatch")} lead={t("runs.noMatchLead")}>
            <button type="button" className="button" onClick={() => setSearch({})}>
              {t("runs.clear")}
            </button>
          </Empty>
        ) : (
          <Empty title={t("runs.empty")} lead={t("runs.emptyLead")}>
            <Link className="button" to="/workflows">
              {t("runs.openWorkflows")}
            </Link>
          </Empty>
        )
      ) : (
        <>
          <div className="fresh" role="status">
            {held > 0 && (
              <button type="button" className="button button-main" onClick={() => window.scrollTo({ top: 0 })}>
                {t("runs.fresh", { count: held })}
              </button>
            )}
          </div>
          <RunTable items={items} ofMany />
        </>
      )}
      {list.hasNextPage && (
        <div className="more">
          <button type="button" className="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            {list.isFetchingNextPage ? t("app.loadingMore") : t("app.more")}
          </button>
        </div>
      )}
    </>
  );
}
