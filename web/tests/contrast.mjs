// Measures the contrast of every pair of colours that the design uses (docs/design.md), in both themes.
// Prints the table of the document; ends with 1 when one is too low, or when the document says otherwise.
import { readFileSync } from "node:fs";

const css = readFileSync(new URL("../app/design/tokens.css", import.meta.url), "utf8");
const tokens = new Map();
for (const [, name, light, dark] of css.matchAll(/--([\w-]+):\s*light-dark\((#\w+),\s*(#\w+)\)/g)) tokens.set(name, [light, dark]);
tokens.set("on-solid", ["#ffffff", "#ffffff"]);

const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const luminance = (hex) => {
  const [r, g, b] = [1, 3, 5].map((at) => channel(parseInt(hex.slice(at, at + 2), 16) / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
export const contrast = (one, other) => {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
};

const TEXT = 4.5;
const SHAPE = 3;
const STATES = ["success", "running", "failed", "retry", "upstream", "idle"];
const pairs = [
  ...["paper", "sheet", "sunken", "hover"].flatMap((ground) => ["ink", "ink-2", "ink-3"].map((ink) => [ink, ground, TEXT])),
  ["ink-2", "idle-soft", TEXT],
  ["ink-2", "failed-soft", TEXT],
  ["ink-2", "retry-soft", TEXT],
  ["ink-2", "jjok-soft", TEXT],
  ["ink-3", "jjok-soft", TEXT],
  ["jjok", "sheet", TEXT],
  ["jjok", "sunken", TEXT],
  ["jjok", "paper", TEXT],
  ["jjok", "jjok-soft", TEXT],
  ["jjok", "retry-soft", TEXT],
  ["on-solid", "jjok-solid", TEXT],
  ["on-solid", "jjok-solid-hover", TEXT],
  ["on-solid", "stop-solid", TEXT],
  ["on-solid", "stop-solid-hover", TEXT],
  ["line-strong", "sheet", SHAPE],
  ...STATES.flatMap((state) => [
    [state, "sheet", TEXT],
    [state, "sunken", TEXT],
    [state, `${state}-soft`, TEXT],
  ]),
  ...STATES.filter((state) => state !== "idle").map((state) => [`${state}-thread`, "sheet", SHAPE]),
];

const document = readFileSync(new URL("../../docs/design.md", import.meta.url), "utf8");
let bad = 0;
console.log("| text or shape | on | light | dark | at least |\n|---|---|---|---|---|");
for (const [fore, ground, least] of pairs) {
  const [light, dark] = [0, 1].map((theme) => contrast(tokens.get(fore)[theme], tokens.get(ground)[theme]));
  const low = Math.min(light, dark) < least;
  bad += low;
  const row = `| \`${fore}\` | \`${ground}\` | ${light.toFixed(1)} | ${dark.toFixed(1)} | ${least}${low ? " **too low**" : ""} |`;
  console.log(row);
  if (!document.includes(row)) {
    bad += 1;
    console.error(`docs/design.md says otherwise of ${fore} on ${ground}.`);
  }
}
process.exit(bad > 0 ? 1 : 0);
