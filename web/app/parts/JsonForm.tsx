/**
 * A form from a JSON Schema. Texts, numbers, switches and choices get their own controls; what is deeper is written as
 * JSON. The server checks the whole against the schema; its reasons are shown beside the fields they name.
 * (Libraries that validate here compile schemas with `new Function`, which our Content-Security-Policy refuses.)
 */

import { useId, useMemo, useState } from "react";
import { inside, type Problem } from "../api/problem";
import { useText } from "../i18n";
import { useKept } from "./kept";

export type Schema = Record<string, unknown>;
export type Draft = Record<string, string | boolean>;

interface Property {
  name: string;
  schema: Schema;
  required: boolean;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "json";
}

export class NotJson extends Error {
  constructor(
    readonly field: string,
    readonly fault: "number" | SyntaxFault,
  ) {
    super(field);
  }
}

/** Where a text stops being JSON, as far as the browser tells. */
export type SyntaxFault = { line: number; column: number } | null;

export function readJson(field: string, source: string): unknown {
  try {
    return JSON.parse(source);
  } catch (error) {
    const [, line, column] = /line (\d+) column (\d+)/.exec(String(error)) ?? [];
    throw new NotJson(field, line === undefined ? null : { line: Number(line), column: Number(column) });
  }
}

export function useFault(): (notJson: NotJson) => string {
  const t = useText();
  return ({ fault }) => (fault === "number" ? t("start.numberInvalid") : fault === null ? t("start.jsonInvalid") : t("start.jsonInvalidAt", { ...fault }));
}

/** The properties of an object schema; null when it does not list any. */
export function properties(schema: Schema | null): Property[] | null {
  if (schema === null) return [];
  const found = schema["properties"];
  if (typeof found !== "object" || found === null) return Object.keys(schema).length === 0 ? null : schema["additionalProperties"] === false ? [] : null;
  const required = new Set(Array.isArray(schema["required"]) ? (schema["required"] as string[]) : []);
  return Object.entries(found as Record<string, Schema>).map(([name, property]) => ({
    name,
    schema: property,
    required: required.has(name),
    kind: kindOf(property),
  }));
}

function kindOf(schema: Schema): Property["kind"] {
  if (Array.isArray(schema["enum"])) return "choice";
  const type = Array.isArray(schema["type"]) ? schema["type"].find((one) => one !== "null") : schema["type"];
  switch (type) {
    case "string":
      return "text";
    case "number":
    case "integer":
    case "boolean":
      return type;
    default:
      return "json";
  }
}

export function firstDraft(all: Property[]): Draft {
  const draft: Draft = {};
  for (const { name, schema, kind } of all) {
    const start = schema["default"];
    if (start === undefined || start === null) continue;
    if (kind === "boolean") draft[name] = start === true;
    else if (kind === "json" || kind === "choice") draft[name] = JSON.stringify(start);
    else draft[name] = String(start);
  }
  return draft;
}

/** The input object. Fields left empty are left out. Throws NotJson. */
export function toInput(all: Property[], draft: Draft): Record<string, unknown> {
  const input: Record<string, unknown> = {};
  for (const { name, kind } of all) {
    const value = draft[name];
    if (value === undefined || value === "") continue;
    if (kind === "boolean" || kind === "text") input[name] = value;
    else if (kind === "number" || kind === "integer") {
      const number = Number(value);
      if (!Number.isFinite(number)) throw new NotJson(name, "number");
      input[name] = number;
    } else {
      input[name] = readJson(name, String(value));
    }
  }
  return input;
}

/** A form that is being filled in. */
export interface Filling {
  /** null: the schema names no properties, so the whole is written as JSON. */
  all: Property[] | null;
  draft: Draft;
  whole: string;
  notJson: NotJson | null;
  setDraft: (draft: Draft) => void;
  setWhole: (whole: string) => void;
  /** What was filled in; null when some of it cannot be read, which then stands beside its field. */
  read: () => Record<string, unknown> | null;
}

/** `kept`: the name under which it is kept for the next form of the same. */
export function useFilling(schema: Schema | null, kept: string | null = null): Filling {
  const all = useMemo(() => properties(schema), [schema]);
  const [draft, setDraft] = useKept<Draft>(kept && `${kept} draft`, () => firstDraft(all ?? []));
  const [whole, setWhole] = useKept(kept && `${kept} whole`, () => "{}");
  const [notJson, setNotJson] = useState<NotJson | null>(null);
  function read(): Record<string, unknown> | null {
    setNotJson(null);
    try {
      return all === null ? (readJson("", whole || "{}") as Record<string, unknown>) : toInput(all, draft);
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      setNotJson(error);
      return null;
    }
  }
  return { all, draft, whole, notJson, setDraft, setWhole, read };
}

/** Whether every reason of a refusal stands at a field of the form, or at one of `others` beside it. */
export function isBeside(problem: Problem, all: Property[] | null, root: string, others: string[] = []): boolean {
  const fields = [...(all ?? []).map((property) => `${root}.${property.name}`), ...others];
  return problem.errors.length > 0 && problem.errors.every((one) => fields.some((field) => inside(one.field, field) !== null));
}

/** `root` is where the server reads what is filled in, such as `body.input`. */
export function JsonForm({ filling, root, problem }: { filling: Filling; root: string; problem: Problem | null }) {
  const t = useText();
  const told = useFault();
  const id = useId();
  const { all, draft, whole, notJson } = filling;
  if (all === null) {
    return (
      <div className="field">
        <label className="label" htmlFor={id}>
          {t("start.whole")}
        </label>
        <textarea id={id} className="input" aria-invalid={notJson !== null} aria-describedby={`${id}-wrong`} value={whole} spellCheck={false} onChange={(event) => filling.setWhole(event.target.value)} />
        {notJson && (
          <p className="wrong" id={`${id}-wrong`} role="alert">
            {told(notJson)}
          </p>
        )}
      </div>
    );
  }
  return all.map((property) => {
    const reasons = problem?.reasonsFor(`${root}.${property.name}`) ?? [];
    if (notJson?.field === property.name) {
      reasons.push(told(notJson));
    }
    return (
      <Field
        key={property.name}
        property={property}
        value={draft[property.name]}
        reasons={reasons}
        onChange={(value) => filling.setDraft({ ...draft, [property.name]: value })}
      />
    );
  });
}

function Field({
  property: { name, schema, required, kind },
  value,
  reasons,
  onChange,
}: {
  property: Property;
  value: string | boolean | undefined;
  reasons: string[];
  onChange: (value: string | boolean) => void;
}) {
  const t = useText();
  const id = useId();
  const title = typeof schema["title"] === "string" ? schema["title"] : name;
  const description = typeof schema["description"] === "string" ? schema["description"] : null;
  const shared = {
    id,
    required,
    "aria-invalid": reasons.length > 0,
    "aria-describedby": `${id}-hint ${id}-wrong`,
  };
  const text = typeof value === "string" ? value : "";
  const limit = (key: string) => (typeof schema[key] === "number" ? schema[key] : undefined);
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {kind === "boolean" && (
          <input {...shared} type="checkbox" required={false} checked={value === true} onChange={(event) => onChange(event.target.checked)} />
        )}
        {title}
        {!required && <span className="hint">{t("start.optional")}</span>}
      </label>
      {kind === "text" && (
        <input
          {...shared}
          className="input"
          type={schema["format"] === "email" ? "email" : schema["format"] === "date" ? "date" : "text"}
          value={text}
          minLength={limit("minLength")}
          maxLength={limit("maxLength")}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      {(kind === "number" || kind === "integer") && (
        <input
          {...shared}
          className="input"
          type="number"
          step={kind === "integer" ? 1 : "any"}
          min={limit("minimum")}
          max={limit("maximum")}
          value={text}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      {kind === "choice" && (
        <span className="select">
          <select {...shared} value={text} onChange={(event) => onChange(event.target.value)}>
            <option value="">{t("start.choose")}</option>
            {(schema["enum"] as unknown[]).map((one) => (
              <option key={JSON.stringify(one)} value={JSON.stringify(one)}>
                {typeof one === "string" ? one : JSON.stringify(one)}
              </option>
            ))}
          </select>
        </span>
      )}
      {kind === "json" && (
        <textarea {...shared} className="input" value={text} spellCheck={false} onChange={(event) => onChange(event.target.value)} />
      )}
      <p className="hint" id={`${id}-hint`}>
        {[description, kind === "json" ? t("start.json") : null].filter(Boolean).join(" · ")}
      </p>
      <p className="wrong" id={`${id}-wrong`} role={reasons.length > 0 ? "alert" : undefined}>
        {reasons.join(" ")}
      </p>
    </div>
  );
}
