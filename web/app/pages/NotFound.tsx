import { Link } from "react-router";
import { useText } from "../i18n";
import { Empty } from "../parts/Feedback";
import { useTitle } from "../parts/title";

export function Component() {
  const t = useText();
  useTitle(t("notFound.title"));
  return (
    <>
      <h1 className="hidden-text">{t("notFound.title")}</h1>
      <Empty title={t("notFound.title")} lead={t("notFound.lead")}>
        <Link className="button" to="/workflows">
          {t("runs.openWorkflows")}
        </Link>
      </Empty>
    </>
  );
}
