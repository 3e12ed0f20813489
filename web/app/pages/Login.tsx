import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState, useSyncExternalStore, type FormEvent } from "react";
import { Navigate, useSearchParams } from "react-router";
import { logIn, session } from "../api/session";
import "../design/login.css";
import { useText } from "../i18n";
import { ProblemNote } from "../parts/Feedback";
import { Mark } from "../parts/icons";
import { LanguageSwitch, ThemeSwitch } from "../parts/Switches";
import { useTitle } from "../parts/title";

/** Only a page of ours: an address elsewhere would send people who just typed their password to somebody else. */
export function safeNext(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) && !next.startsWith("/login") ? next : "/workflows";
}

export function Component() {
  const t = useText();
  const client = useQueryClient();
  const state = useSyncExternalStore(session.subscribe, session.get);
  const [search] = useSearchParams();
  const [error, setError] = useState<unknown>(null);
  const [missing, setMissing] = useState({ email: false, password: false });
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useTitle(t("login.title"));

  if (state === "in") return <Navigate to={safeNext(search.get("next"))} replace />;

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const email = String(data.get("email")).trim();
    const password = String(data.get("password"));
    const lacking = { email: email === "", password: password === "" };
    setMissing(lacking);
    if (lacking.email || lacking.password) {
      form.current?.querySelector<HTMLInputElement>(lacking.email ? "[name=email]" : "[name=password]")?.focus();
      return;
    }
    setBusy(true);
    setError(null);
    try {
      client.clear(); // what another person may have seen
      await logIn(email, password);
    } catch (problem) {
      setError(problem);
      form.current?.querySelector<HTMLInputElement>("[name=password]")?.select();
    } finally {
      setBusy(false);
    }
  }

  return (
    <div className="login">
      <aside className="login-cloth" aria-label={t("app.name")}>
        <Cloth />
        <div>
          <p className="login-pitch">{t("login.pitch")}</p>
          <p>{t("login.pitchMore")}</p>
        </div>
      </aside>
      <main className="login-form">
        <div className="login-switches">
          <LanguageSwitch />
          <ThemeSwitch />
        </div>
        <form ref={form} noValidate onSubmit={(event) => void submit(event)}>
          <div>
            <div className="brand">
              <Mark />
              {t("app.name")}
            </div>
          </div>
          <h1>{t("login.title")}</h1>
          {state === "expired" && (
            <p className="login-note" role="status">
              {t("login.expired")}
            </p>
          )}
          <div className="field">
            <label className="label" htmlFor="email">
              {t("login.email")}
            </label>
            <input id="email" name="email" className="input" type="email" autoComplete="username" autoFocus required aria-invalid={missing.email} aria-describedby="email-wrong" />
            {missing.email && (
              <p className="wrong" id="email-wrong">
                {t("login.required")}
              </p>
            )}
          </div>
          <div className="field">
            <label className="label" htmlFor="password">
              {t("login.password")}
            </label>
            <input id="password" name="password" className="input" type="password" autoComplete="current-password" required aria-invalid={missing.password} aria-describedby="password-wrong" />
            {missing.password && (
              <p className="wrong" id="password-wrong">
                {t("login.required")}
              </p>
            )}
          </div>
          {error !== null && <ProblemNote error={error} />}
          <button type="submit" className="button button-main" disabled={busy}>
            {busy ? t("login.busy") : t("login.submit")}
          </button>
        </form>
      </main>
    </div>
  );
}

const STEP = 20;
const WEFT = Array.from({ length: 24 }, (_, row) => row);
const WARP = Array.from({ length: 30 }, (_, column) => column);

/** Threads over and under the warp; some end early, as work does. Always the same cloth. */
function Cloth() {
  return (
    <svg viewBox="0 0 560 460" preserveAspectRatio="xMidYMin slice" fill="none" strokeLinecap="round" aria-hidden="true">
      <g className="cloth-warp">
        {WARP.map((column) => (
          <path key={column} d={`M${column * STEP + 10} 0V460`} />
        ))}
      </g>
      {WEFT.map((row) => {
        const y = row * STEP + 10;
        const from = ((row * 97) % 11) * STEP - 40;
        const length = 80 + ((row * 53) % 9) * 36;
        const gold = row % 8 === 3;
        return (
          <path
            key={row}
            className={gold ? "cloth-gold" : row % 3 === 1 ? "cloth-sky" : "cloth-white"}
            opacity={gold ? 1 : 0.35 + ((row * 31) % 5) * 0.13}
            d={`M${from} ${y}h${length}M${from + length + 36} ${y}h${30 + ((row * 41) % 150)}`}
          />
        );
      })}
      <g className="cloth-over">
        {WEFT.flatMap((row) =>
          WARP.filter((column) => (row + column) % 2 === 0).map((column) => (
            <path key={`${row} ${column}`} d={`M${column * STEP + 10} ${row * STEP + 4}v12`} />
          )),
        )}
      </g>
    </svg>
  );
}
