/** A value as indented JSON, coloured by kind. Long ones are cut until asked for. */

import { useMemo, useState, type ReactNode } from "react";
import { bytes } from "../format";
import { useText } from "../i18n";

const SHOWN = 12_000;
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

function paint(source: string): ReactNode[] {
  const out: ReactNode[] = [];
  let last = 0;
  for (const match of source.matchAll(TOKEN)) {
    const [whole, string, colon, number] = match;
    if (match.index > last) out.push(source.slice(last, match.index));
    const kind = string === undefined ? (number === undefined ? "word" : "number") : colon === undefined ? "text" : "key";
    out.push(
      <span key={match.index} className={`json-${kind}`}>
        {string ?? whole}
      </span>,
    );
    if (colon !== undefined) out.push(colon);
    last = match.index + whole.length;
  }
  out.push(source.slice(last));
  return out;
}

export function Json({ value, name }: { value: unknown; name: string }) {
  const t = useText();
  const [whole, setWhole] = useState(false);
  const [copied, setCopied] = useState(false);
  const source = useMemo(() => JSON.stringify(value, null, 2) ?? "null", [value]);
  const cut = !whole && source.length > SHOWN;
  const shown = cut ? source.slice(0, SHOWN) : source;
  const painted = useMemo(() => (shown.length > 200_000 ? shown : paint(shown)), [shown]);
  return (
    <div className="json">
      {/* it scrolls, so the keyboard must reach it */}
      <pre tabIndex={0} role="region" aria-label={t("json.label", { name })}>
        {painted}
        {cut && "…"}
      </pre>
      {cut && (
        <button type="button" className="button button-plain" onClick={() => setWhole(true)}>
          {t("json.showAll", { size: bytes(new Blob([source]).size) })}
        </button>
      )}
      {"clipboard" in navigator && (
        <button
          type="button"
          className="button json-copy"
          aria-label={`${t("app.copy")}: ${name}`}
          onClick={() => void navigator.clipboard.writeText(source).then(() => setCopied(true))}
        >
          {copied ? t("app.copied") : t("app.copy")}
        </button>
      )}
    </div>
  );
}
