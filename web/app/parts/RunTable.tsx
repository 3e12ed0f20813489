/** Runs as rows; of one workflow or of many. */

import { Link } from "react-router";
import { isTerminal, type RunSummary } from "../api/client";
import { moment, shortMoment } from "../format";
import { isKey, useText } from "../i18n";
import { Duration } from "./Duration";
import { useErrorText } from "./errorText";
import { State } from "./StateMark";

export function RunTable({ items, ofMany = false }: { items: RunSummary[]; ofMany?: boolean }) {
  const t = useText();
  const errorText = useErrorText();
  return (
    <div className="table-box">
      <table className="table table-rows table-cards" aria-label={t("runs.title")}>
        <thead>
          <tr>
            {ofMany && <th scope="col">{t("runs.workflow")}</th>}
            <th scope="col">{t("runs.number")}</th>
            <th scope="col">{t("runs.state")}</th>
            <th scope="col">{t("runs.trigger")}</th>
            <th scope="col">{t("runs.started")}</th>
            <th scope="col" className="right">
              {t("runs.duration")}
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((run) => (
            <tr key={run.run_id}>
              {ofMany && (
                <td className="lead">
                  <Link className="row-link" to={`/runs/${run.run_id}`}>
                    {run.workflow_name}
                  </Link>
                  {run.error !== null && <span className="sub">{errorText(run.error)}</span>}
                </td>
              )}
              <td className="fit cell-own cell-short" data-label={t("runs.number")}>
                {ofMany ? (
                  <span className="quiet">#{run.number}</span>
                ) : (
                  <Link className="row-link" to={`/runs/${run.run_id}`}>
                    #{run.number}
                  </Link>
                )}
              </td>
              <td className="fit cell-own cell-state" data-label={t("runs.state")}>
                <State state={run.state} />
              </td>
              <td className="fit cell-own cell-short" data-label={t("runs.trigger")}>
                <TriggerName trigger={run.trigger} />
              </td>
              <td className="fit cell-own cell-end" data-label={t("runs.started")} title={moment(run.created_at)}>
                {shortMoment(run.created_at)}
              </td>
              <td className="fit right cell-own cell-end cell-time" data-label={t("runs.duration")}>
                <Duration from={run.started_at} to={run.finished_at} live={!isTerminal(run.state)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function TriggerName({ trigger }: { trigger: string }) {
  const t = useText();
  const key = `trigger.${trigger}`;
  return <>{isKey(key) ? t(key) : trigger}</>;
}
