import { expect, test } from "vitest";
import type { JobSpec, TaskSpec } from "../../app/api/client";
import { layOut, ranks } from "../../app/pages/workflow/layout";
import { makeScale, place, ticks } from "../../app/pages/run/scale";

const task = (key: string, ...depends_on: string[]): TaskSpec => ({ key, depends_on }) as unknown as TaskSpec;
const job = (key: string, depends_on: string[], ...tasks: TaskSpec[]): JobSpec => ({ key, depends_on, tasks, name: key, job_id: key });

test("a task stands below everything that it waits for", () => {
  const layout = layOut([job("j", [], task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))]);
  const y = (key: string) => layout.tasks.get(`j/${key}`)?.y ?? NaN;
  expect(y("b")).toBeGreaterThan(y("a"));
  expect(y("c")).toBe(y("b"));
  expect(y("d")).toBeGreaterThan(y("c"));
  expect(layout.edges.filter((edge) => edge.between === "tasks")).toHaveLength(4);
});

test("no two boxes of a level lie over each other, and each lies within its job", () => {
  const layout = layOut([job("j", [], ...Array.from({ length: 9 }, (_, index) => task(`t${index}`)))]);
  const box = layout.jobs.get("j");
  const all = [...layout.tasks.values()];
  all.forEach((one, index) => {
    for (const other of all.slice(index + 1)) {
      const apart = one.x + one.width < other.x || other.x + other.width < one.x || one.y + one.height < other.y || other.y + other.height < one.y;
      expect(apart).toBe(true);
    }
    expect(one.x).toBeGreaterThan(0);
    expect(one.x + one.width).toBeLessThan(box?.width ?? 0);
    expect(one.y + one.height).toBeLessThan(box?.height ?? 0);
  });
});

test("two hundred tasks side by side grow down, not wide, and those after them stand below them all", () => {
  const many = Array.from({ length: 200 }, (_, index) => task(`t${index}`));
  const layout = layOut([job("j", [], ...many, task("last", ...many.map((one) => one.key)))]);
  expect(layout.jobs.get("j")?.width).toBeLessThan(1_000);
  const last = layout.tasks.get("j/last");
  for (const one of many) expect(layout.tasks.get(`j/${one.key}`)?.y ?? NaN).toBeLessThan(last?.y ?? NaN);
});

test("jobs that follow one another stand from left to right, side jobs below", () => {
  const layout = layOut([job("a", [], task("x")), job("b", ["a"], task("x")), job("c", ["a"], task("x"))]);
  const at = (key: string) => layout.jobs.get(key) ?? { x: NaN, y: NaN };
  expect(at("b").x).toBeGreaterThan(at("a").x);
  expect(at("c").x).toBe(at("b").x);
  expect(at("c").y).toBeGreaterThan(at("b").y);
});

test("a circle, which the API refuses, is drawn all the same", () => {
  expect([...ranks([task("a", "b"), task("b", "a"), task("c", "missing")]).keys()].sort()).toEqual(["a", "b", "c"]);
});

test("the line of time has two to seven marks, whatever the run's length", () => {
  for (const span of [20, 137, 999, 4_200, 61_000, 3_700_000, 90_000_000, 3e9]) {
    const scale = makeScale(1000, 1000 + span);
    expect(ticks(scale).length).toBeGreaterThanOrEqual(2);
    expect(ticks(scale).length).toBeLessThanOrEqual(7);
    expect(place(scale, 1000)).toBe(0);
    expect(place(scale, 1000 + span)).toBe(100);
    expect(place(scale, 0)).toBe(0);
  }
});
