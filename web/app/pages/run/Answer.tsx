/** A task's question to a person: what it is about, and, for whoever may, the answer. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, type FormEvent, type KeyboardEvent } from "react";
import { api, body, type Task } from "../../api/client";
import { Problem } from "../../api/problem";
import { me } from "../../api/queries";
import { useText } from "../../i18n";
import { ProblemNote } from "../../parts/Feedback";
import { Json } from "../../parts/Json";
import { isBeside, JsonForm, useFilling } from "../../parts/JsonForm";
import { forget, useKept } from "../../parts/kept";
import { StateMark } from "../../parts/StateMark";
import { refreshRun } from "./useRun";
import { Deadline } from "./Wait";
import { questionOf, type Question } from "./waits";

const LONGEST_COMMENT = 4_000;

interface Said {
  approved?: boolean;
  values?: Record<string, unknown>;
  comment: string;
}

export function Answer({ runId, task, input, onAnswered }: { runId: string; task: Task; input: unknown; onAnswered: () => void }) {
  const t = useText();
  const client = useQueryClient();
  const { data: who } = useQuery(me);
  const question = useMemo(() => questionOf(input), [input]);
  const kept = `answer ${task.task_run_id} ${task.attempt}`;
  const answer = useMutation({
    mutationFn: (said: Said) =>
      body(
        api.POST("/v0/workflow-runs/{run_id}/tasks/{task_run_id}/answer", {
          params: { path: { run_id: runId, task_run_id: task.task_run_id } },
          body: said,
        }),
      ),
    onSettled: (_, error) => {
      // what was pressed is gone now
      if (error === null || isLate(error)) {
        forget(client, kept);
        onAnswered();
      }
      // the events tell it as well, unless they are being mended
      return refreshRun(client, runId);
    },
  });
  const late = isLate(answer.error);
  const waiting = task.state === "WAITING" && !answer.isSuccess && !late;
  const told = answer.isSuccess ? t("answer.sent") : late ? t("answer.late") : null;
  if (!waiting && told === null) return null;
  return (
    <>
      {/* there before it has something to say: else nobody hears it */}
      <p className="answer-told" role="status">
        {told}
      </p>
      {waiting && (
        <section className="answer" data-state="WAITING" aria-labelledby="answer-title">
          <h3 id="answer-title">
            <StateMark state="WAITING" />
            {question.title ?? t(task.type === "human.form" ? "wait.form" : "wait.approval")}
          </h3>
          {question.description !== null && <p className="answer-text">{question.description}</p>}
          {question.shown !== undefined && <Shown value={question.shown} />}
          <p className="hint">
            <Deadline task={task} input={input} />
          </p>
          {who !== undefined &&
            input !== undefined &&
            (who.permissions.has("run:write") ? (
              <AnswerForm kept={kept} type={task.type} question={question} busy={answer.isPending} error={answer.error} onSay={answer.mutate} />
            ) : (
              <p className="hint">{t("answer.notYours")}</p>
            ))}
        </section>
      )}
    </>
  );
}

/** Somebody else was quicker, or the time was up: nobody's fault. */
function isLate(error: unknown): boolean {
  return error instanceof Problem && error.code === "task_not_waiting";
}

function Shown({ value }: { value: unknown }) {
  const t = useText();
  if (typeof value !== "string") return <Json value={value} name={t("answer.shown")} />;
  return (
    // it scrolls, so the keyboard must reach it
    <div className="answer-text answer-shown" tabIndex={0} role="region" aria-label={t("answer.shown")}>
      {value}
    </div>
  );
}

interface Asked {
  kept: string;
  type: string;
  question: Question;
  busy: boolean;
  error: unknown;
  onSay: (said: Said) => void;
}

function AnswerForm({ kept, type, question, busy, error, onSay }: Asked) {
  const t = useText();
  const form = useRef<HTMLFormElement>(null);
  const pressed = useRef<HTMLElement | null>(null);
  const filling = useFilling(question.schema, kept);
  const [comment, setComment] = useKept(`${kept} comment`, () => "");
  const asksValues = type === "human.form";
  const problem = error instanceof Problem ? error : null;

  function say(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    const button = (event.nativeEvent as SubmitEvent).submitter;
    pressed.current = button;
    if (!asksValues) return onSay({ approved: button?.getAttribute("value") === "yes", comment });
    const values = filling.read();
    if (values !== null) onSay({ values, comment });
  }

  // the first field that has to be mended; else where the person was
  useEffect(() => {
    if (filling.notJson === null && error === null) return;
    (form.current?.querySelector<HTMLElement>('[aria-invalid="true"]') ?? pressed.current)?.focus();
  }, [filling.notJson, error]);

  /** Escape ends what an input method has begun; it must not close the panel with all that was written. */
  function keep(event: KeyboardEvent): void {
    if (event.key === "Escape" && (event.target as Element).matches("input, textarea, select")) event.stopPropagation();
  }

  const reasons = problem?.reasonsFor("body.comment") ?? [];
  const beside = problem !== null && isBeside(problem, filling.all, "body.values", ["body.comment"]);
  return (
    <form ref={form} className="answer-form" onSubmit={say} onKeyDown={keep}>
      {asksValues && <JsonForm filling={filling} root="body.values" problem={problem} />}
      <div className="field">
        <label className="label" htmlFor="answer-comment">
          {t("answer.comment")}
          <span className="hint">{t("start.optional")}</span>
        </label>
        <textarea
          id="answer-comment"
          className="input answer-comment"
          rows={2}
          maxLength={LONGEST_COMMENT}
          value={comment}
          aria-invalid={reasons.length > 0}
          aria-describedby="answer-comment-wrong"
          onChange={(event) => setComment(event.target.value)}
        />
        <p className="wrong" id="answer-comment-wrong" role={reasons.length > 0 ? "alert" : undefined}>
          {reasons.join(" ")}
        </p>
      </div>
      {error !== null && !beside && <ProblemNote error={error} />}
      {!asksValues && <p className="hint">{t(question.rejectFails ? "answer.rejectFails" : "answer.rejectGoesOn")}</p>}
      <div className="actions">
        {asksValues ? (
          <button type="submit" className="button button-main" disabled={busy}>
            {busy ? t("answer.busy") : t("answer.submit")}
          </button>
        ) : (
          <>
            <button type="submit" value="no" className="button button-danger" disabled={busy}>
              {t("answer.reject")}
            </button>
            <button type="submit" value="yes" className="button button-main" disabled={busy}>
              {busy ? t("answer.busy") : t("answer.approve")}
            </button>
          </>
        )}
      </div>
    </form>
  );
}
