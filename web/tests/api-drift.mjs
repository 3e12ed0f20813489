// `npm run api:check -- http://127.0.0.1:9000`: whether openapi.json is what the gateway serves, and whether the types
// were generated from it. `--write` brings both up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const DOCUMENT = new URL("../openapi.json", import.meta.url);
const TYPES = new URL("../app/api/schema.d.ts", import.meta.url);
const HEAD = "/** Generated from openapi.json by `npm run api:write`. Do not edit. */\n\n";
const write = process.argv.includes("--write");
const base = process.argv.slice(2).find((one) => !one.startsWith("-")) ?? process.env.FLOWWEAVER_BASE_URL;

const sorted = (value) =>
  Array.isArray(value)
    ? value.map(sorted)
    : value !== null && typeof value === "object"
      ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
      : value;
const text = (value) => `${JSON.stringify(sorted(value), null, 1)}\n`;

let drift = false;
function hold(url, fresh, name) {
  let known = "";
  try {
    known = readFileSync(url, "utf8");
  } catch {
    // not there yet
  }
  if (known === fresh) return;
  if (write) {
    writeFileSync(url, fresh);
    console.log(`${name} written.`);
    return;
  }
  drift = true;
  const ours = known.split("\n");
  const line = fresh.split("\n").findIndex((one, index) => one !== ours[index]);
  console.error(`${name} is out of date, first at line ${line + 1}:\n- ${ours[line] ?? ""}\n+ ${fresh.split("\n")[line] ?? ""}`);
}

if (base) {
  const response = await fetch(new URL("/openapi.json", base));
  if (!response.ok) throw new Error(`${base}/openapi.json: ${response.status}`);
  hold(DOCUMENT, text(await response.json()), "openapi.json");
} else if (!write) {
  console.log("No address given: only the types are compared.");
}
hold(TYPES, HEAD + astToString(await openapiTS(pathToFileURL(DOCUMENT.pathname))), "app/api/schema.d.ts");
if (drift) {
  console.error("npm run api:write -- <address of a running platform>");
  process.exit(1);
}
console.log("The client's types are those of the API.");
