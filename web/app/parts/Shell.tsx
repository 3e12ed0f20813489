/** The frame around every page for those who are logged in; who is not goes to log in, and comes back here. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Link, Navigate, NavLink, Outlet, ScrollRestoration, useLocation } from "react-router";
import { me } from "../api/queries";
import { logOut, session } from "../api/session";
import { useText } from "../i18n";
import { FlowIcon, LogOutIcon, Mark, RunsIcon } from "./icons";
import { LanguageSwitch, ThemeSwitch } from "./Switches";

const FirstPassword = lazy(() => import("./PasswordForm"));
const PasswordDialog = lazy(async () => ({ default: (await import("./PasswordForm")).PasswordDialog }));

export function Shell() {
  const t = useText();
  const state = useSyncExternalStore(session.subscribe, session.get);
  const location = useLocation();
  const client = useQueryClient();
  const { data: who } = useQuery({ ...me, enabled: state === "in" });
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);

  // a new page is read from its beginning, by eye and by ear
  useEffect(() => {
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true });
  }, [location.pathname]);

  if (state === "out" || state === "expired") {
    const next = location.pathname + location.search;
    return <Navigate to={next === "/" ? "/login" : `/login?next=${encodeURIComponent(next)}`} replace />;
  }
  return (
    <div className="frame">
      <ScrollRestoration />
      <a className="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        main.current?.focus();
      }}>
        {t("app.skip")}
      </a>
      <header className="side">
        <div className="side-top">
          <Link to="/workflows" className="brand">
            <Mark />
            {t("app.name")}
          </Link>
          <nav className="nav" aria-label={t("app.navigation")}>
            <NavLink to="/workflows">
              <FlowIcon />
              {t("app.workflows")}
            </NavLink>
            <NavLink to="/runs">
              <RunsIcon />
              {t("app.runs")}
            </NavLink>
          </nav>
        </div>
        <div className="foot">
          <ThemeSwitch />
          <LanguageSwitch />
          <Who
            who={who}
            onLogOut={async () => {
              await logOut();
              client.clear();
            }}
          />
        </div>
      </header>
      <div className="sheet">
        <main id="main" className="page" ref={main} tabIndex={-1}>
          {who?.must_change_password === true ? (
            <Suspense>
              <FirstPassword />
            </Suspense>
          ) : (
            <Outlet />
          )}
        </main>
      </div>
    </div>
  );
}

interface Person {
  name: string;
  email: string;
}

function Who({ who, onLogOut }: { who: Person | undefined; onLogOut: () => Promise<void> }) {
  const t = useText();
  const [changing, setChanging] = useState(false);
  return (
    <div className="who">
      <button type="button" className="who-button" title={who && `${who.email}\n${t("password.title")}`} disabled={who === undefined} onClick={() => setChanging(true)}>
        <span className="face" aria-hidden="true">
          {(who?.name ?? "·").slice(0, 1)}
        </span>
        <span className="who-text">
          <span className="who-name clip">{who?.name}</span>
          <span className="who-mail clip">{who?.email}</span>
        </span>
        <span className="hidden-text">{t("password.title")}</span>
      </button>
      {changing && (
        <Suspense>
          <PasswordDialog onClose={() => setChanging(false)} />
        </Suspense>
      )}
      <button type="button" className="button button-plain button-icon" aria-label={t("app.logOut")} title={t("app.logOut")} onClick={() => void onLogOut()}>
        <LogOutIcon />
      </button>
    </div>
  );
}
