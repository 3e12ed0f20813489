import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { en } from "../../app/i18n/en";
import { fill } from "../../app/i18n";
import { ko } from "../../app/i18n/ko";

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string).sort();

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "i18n" ? [] : sources(path);
    return /\.tsx?$/.test(entry.name) && !entry.name.endsWith(".d.ts") ? [path] : [];
  });
}

describe("the message catalogues", () => {
  test("have the same keys", () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(ko).sort());
  });

  test.each(Object.keys(ko) as (keyof typeof ko)[])("%s has text and the same holes in both languages", (key) => {
    expect(ko[key].length).toBeGreaterThan(0);
    expect(en[key].length).toBeGreaterThan(0);
    expect(holes(en[key])).toEqual(holes(ko[key]));
  });

  test("have the word that goes with the number, where a language needs one", () => {
    expect(fill(en["logs.count"], { count: 1 })).toBe("1 line");
    expect(fill(en["workflow.counts"], { jobs: 2, tasks: 1 })).toBe("2 jobs · 1 task");
    expect(fill(ko["logs.count"], { count: 1 })).toBe("1줄");
  });

  test("hold every word that people read: no Hangul elsewhere in the sources", () => {
    const found = sources(new URL("../../app", import.meta.url).pathname).filter((path) =>
      /[가-힣]/.test(readFileSync(path, "utf8").replaceAll('"한국어"', "")),
    );
    expect(found).toEqual([]);
  });

  test("hold no key that nothing uses", () => {
    const all = sources(new URL("../../app", import.meta.url).pathname).map((path) => readFileSync(path, "utf8")).join("\n");
    const built = ["state.", "trigger.", "theme.", "connection.", "workflow.failure.", "workflow.overflow.", "error."];
    const unused = Object.keys(ko).filter((key) => !all.includes(`"${key}"`) && !built.some((prefix) => key.startsWith(prefix)));
    expect(unused.filter((key) => !["workflow.graph", "workflow.list"].includes(key))).toEqual([]);
  });
});
