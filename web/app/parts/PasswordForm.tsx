/** A new password: asked of everyone who came with a mailed one, open to all others from their name. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type FormEvent } from "react";
import { api, body } from "../api/client";
import { Problem } from "../api/problem";
import { renew } from "../api/session";
import { useText, type Key } from "../i18n";
import { Dialog } from "./Dialog";
import { ProblemNote } from "./Feedback";

const FIELDS: readonly { name: "current_password" | "new_password"; label: Key; autoComplete: string }[] = [
  { name: "current_password", label: "password.current", autoComplete: "current-password" },
  { name: "new_password", label: "password.new", autoComplete: "new-password" },
];

export function PasswordForm({ onDone, onClose }: { onDone: () => void; onClose?: () => void }) {
  const t = useText();
  const client = useQueryClient();
  const form = useRef<HTMLFormElement>(null);
  const [lacking, setLacking] = useState<readonly string[]>([]);
  const change = useMutation({
    mutationFn: async (wanted: { current_password: string; new_password: string }) => {
      await body(api.PATCH("/v0/users/me", { body: wanted }));
      // the token in hand still says what it may not do
      await renew();
      await client.invalidateQueries();
    },
    onSuccess: onDone,
  });
  const problem = change.error instanceof Problem ? change.error : null;
  const besideFields = problem !== null && problem.errors.length > 0;

  useEffect(() => {
    if (change.error !== null || lacking.length > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [change.error, lacking]);

  function submit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const [current_password = "", new_password = ""] = FIELDS.map(({ name }) => String(data.get(name)));
    const empty = FIELDS.filter(({ name }) => data.get(name) === "").map(({ name }) => name);
    setLacking(empty);
    if (empty.length === 0) change.mutate({ current_password, new_password });
  }

  return (
    <form ref={form} className="dialog-form" noValidate onSubmit={submit}>
      {FIELDS.map(({ name, label, autoComplete }) => {
        const reasons = [...(lacking.includes(name) ? [t("login.required")] : (problem?.reasonsFor(`body.${name}`) ?? []))];
        return (
          <div className="field" key={name}>
            <label className="label" htmlFor={name}>
              {t(label)}
            </label>
            <input
              id={name}
              name={name}
              className="input"
              type="password"
              autoComplete={autoComplete}
              required
              aria-invalid={reasons.length > 0}
              aria-describedby={`${name}-hint ${name}-wrong`}
            />
            {name === "new_password" && (
              <p className="hint" id={`${name}-hint`}>
                {t("password.hint")}
              </p>
            )}
            <p className="wrong" id={`${name}-wrong`} role={reasons.length > 0 ? "alert" : undefined}>
              {reasons.join(" ")}
            </p>
          </div>
        );
      })}
      {change.error !== null && !besideFields && <ProblemNote error={change.error} />}
      <div className="actions">
        {onClose !== undefined && (
          <button type="button" className="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
        )}
        <button type="submit" className="button button-main" disabled={change.isPending}>
          {t("password.submit")}
        </button>
      </div>
    </form>
  );
}

/** Instead of any page, until it is done: nothing else is permitted. */
export default function FirstPassword() {
  const t = useText();
  return (
    <section className="first-password card" aria-labelledby="first-password">
      <h1 id="first-password">{t("password.firstTitle")}</h1>
      <p className="quiet">{t("password.firstLead")}</p>
      <PasswordForm onDone={() => undefined} />
    </section>
  );
}

export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const t = useText();
  return (
    <Dialog title={t("password.title")} onClose={onClose}>
      <PasswordForm onDone={onClose} onClose={onClose} />
    </Dialog>
  );
}
