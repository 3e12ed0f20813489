import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import type { RunSummary, Workflow } from "../api/client";
import { nextFires, recentRuns, workflows } from "../api/queries";
import { moment, shortMoment } from "../format";
import { useText } from "../i18n";
import { Empty, ProblemNote, Skeleton, Stale } from "../parts/Feedback";
import { SearchIcon } from "../parts/icons";
import { State } from "../parts/StateMark";
import { useTitle } from "../parts/title";

const BEADS = 12;

export function Component() {
  const t = useText();
  useTitle(t("workflows.title"));
  const [search, setSearch] = useSearchParams();
  const text = search.get("q") ?? "";
  const asked = useDeferredValue(text.trim());
  const list = useInfiniteQuery({ ...workflows(asked), placeholderData: (before) => before });
  const recent = useQuery({ ...recentRuns, refetchInterval: 5_000 });
  const fires = useQuery(nextFires);
  const byWorkflow = useMemo(() => Map.groupBy(recent.data ?? [], (run) => run.workflow_id), [recent.data]);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];

  return (
    <>
      <div className="head">
        <div className="head-text">
          <h1>{t("workflows.title")}</h1>
          <p className="head-lead">{t("workflows.lead")}</p>
        </div>
        <div className="search">
          <SearchIcon />
          <input
            className="input"
            type="search"
            value={text}
            maxLength={100}
            aria-label={t("workflows.search")}
            placeholder={t("workflows.search")}
            onChange={(event) => setSearch(event.target.value ? { q: event.target.value } : {}, { replace: true })}
          />
        </div>
      </div>
      <Stale query={list} />
      {list.data === undefined && list.error !== null ? (
        <ProblemNote error={list.error} onRetry={list.refetch} />
      ) : list.isPending ? (
        <Skeleton rows={8} />
      ) : items.length === 0 ? (
        asked === "" ? (
          <Empty title={t("workflows.empty")} lead={t("workflows.emptyLead")} />
        ) : (
          <Empty title={t("workflows.noMatch", { text: asked })} lead={t("workflows.noMatchLead")} />
        )
      ) : (
        <div className="table-box">
          <table className="table table-rows table-cards table-pairs" aria-label={t("workflows.title")}>
            <thead>
              <tr>
                <th scope="col">{t("workflows.name")}</th>
                <th scope="col">{t("workflows.recent")}</th>
                <th scope="col">{t("workflows.lastRun")}</th>
                <th scope="col">{t("workflows.nextFire")}</th>
                <th scope="col">{t("workflows.status")}</th>
              </tr>
            </thead>
            <tbody>
              {items.map((item) => (
                <Row key={item.workflow_id} item={item} runs={byWorkflow.get(item.workflow_id) ?? []} next={fires.data?.get(item.workflow_id)} />
              ))}
            </tbody>
          </table>
        </div>
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

function Row({ item, runs, next }: { item: Workflow; runs: RunSummary[]; next: string | undefined }) {
  const t = useText();
  const last = runs[0];
  return (
    <tr>
      <td className="lead">
        <Link className="row-link" to={`/workflows/${item.workflow_id}`}>
          {item.name}
        </Link>
        {item.description && <span className="sub">{item.description}</span>}
      </td>
      <td className="fit cell-own" data-label={t("workflows.recent")}>
        <Beads runs={runs} />
      </td>
      <td className="fit cell-own cell-end" data-label={t("workflows.lastRun")}>
        {last === undefined ? (
          <span className="quiet">{t("workflows.noRuns")}</span>
        ) : (
          <span className="pair" title={moment(last.created_at)}>
            <State state={last.state} />
            <span className="quiet">{shortMoment(last.created_at)}</span>
          </span>
        )}
      </td>
      <td className="fit" data-label={t("workflows.nextFire")} title={next && moment(next)}>
        {next === undefined ? <span className="quiet">–</span> : shortMoment(next)}
      </td>
      <td className="fit cell-own cell-end" data-label={t("workflows.status")}>
        <span className="tag">
          {!item.runnable ? t("workflows.incomplete") : item.active ? t("workflows.active") : t("workflows.inactive")}
        </span>
      </td>
    </tr>
  );
}

/** The last runs, oldest first, as a string of beads. */
function Beads({ runs }: { runs: RunSummary[] }) {
  const t = useText();
  const shown = runs.slice(0, BEADS).reverse();
  const success = shown.filter((run) => run.state === "SUCCESS").length;
  return (
    <span className="beads" role="img" aria-label={t("workflows.recentLabel", { count: shown.length, success })}>
      {Array.from({ length: BEADS - shown.length }, (_, index) => (
        <span key={index} className="bead bead-none" />
      ))}
      {shown.map((run) => (
        <span key={run.run_id} className="bead" data-state={run.state} />
      ))}
    </span>
  );
}
