// What a browser fetches before a page can be used, gzipped, page by page. Ends with 1 when one is beyond the budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET = 200 * 1024;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
const size = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 6 }).length;

function files(key, found = new Set()) {
  const chunk = manifest[key];
  if (found.has(chunk.file)) return found;
  found.add(chunk.file);
  for (const css of chunk.css ?? []) found.add(css);
  for (const inner of chunk.imports ?? []) files(inner, found);
  return found;
}

let worst = 0;
const shell = files("index.html");
for (const key of manifest["index.html"].dynamicImports) {
  const all = new Set([...shell, ...files(key), "index.html"]);
  const total = [...all].reduce((sum, file) => sum + size(file), 0);
  worst = Math.max(worst, total);
  console.log(`${(total / 1024).toFixed(1).padStart(7)} KiB  ${key.replace(/^app\/pages\//, "")}`);
}
if (worst > BUDGET) {
  console.error(`First load is ${(worst / 1024).toFixed(1)} KiB, the budget ${BUDGET / 1024} KiB.`);
  process.exit(1);
}
