import { expect, test } from "vitest";
import type { Run, RunSummary } from "../../app/api/client";
import { withChanges } from "../../app/pages/run/changes";
import { inPlace, withRuns, type RunPages } from "../../app/pages/runList";

function run(id: number, state: RunSummary["state"] = "RUNNING", version = 1): RunSummary {
  return { run_id: `r${id}`, created_at: `2026-11-21T00:00:${String(id).padStart(2, "0")}.000Z`, state, version, workflow_id: "w" } as RunSummary;
}

function pages(...items: RunSummary[][]): RunPages {
  return {
    pages: items.map((page, at) => ({ items: page, next_cursor: at < items.length - 1 || items.length > 1 ? `c${at}` : null })),
    pageParams: items.map(() => ""),
  };
}

const shown = (list: RunPages): string[][] => list.pages.map((page) => page.items.map((item) => `${item.run_id} ${item.state}`));

test("what changed changes in its place, and what is older than what is known does not", () => {
  const before = pages([run(3), run(2, "PAUSED", 5)]);
  const { pages: after } = withRuns(before, [run(3, "SUCCESS", 2), run(2, "RUNNING", 4)], {}, false);
  expect(shown(after)).toEqual([["r3 SUCCESS", "r2 PAUSED"]]);
  expect(withRuns(after, [run(3, "SUCCESS", 2)], {}, true).pages).toBe(after);
});

test("a new run comes in its order, unless the reader is in the middle of the list", () => {
  const before = pages([run(5), run(3)]);
  expect(shown(withRuns(before, [run(4), run(6)], {}, true).pages)).toEqual([["r6 RUNNING", "r5 RUNNING", "r4 RUNNING", "r3 RUNNING"]]);
  const { pages: same, held } = withRuns(before, [run(6), run(5, "FAILED", 2)], {}, false);
  expect(shown(same)).toEqual([["r5 FAILED", "r3 RUNNING"]]);
  expect(held).toEqual([run(6)]);
});

test("what belongs to a page that is not read yet waits for that page", () => {
  const before = pages([run(9)], [run(5)]);
  expect(withRuns(before, [run(1)], {}, true)).toEqual({ pages: before, held: [] });
  expect(shown(withRuns(before, [run(7)], {}, true).pages)).toEqual([["r9 RUNNING"], ["r7 RUNNING", "r5 RUNNING"]]);
});

test("a list that is read anew under who reads it keeps its rows, and tells what is new", () => {
  const before = pages([run(9), run(7)], [run(5), run(4)]);
  const { pages: after, news } = inPlace(before, pages([run(11), run(10)], [run(9, "SUCCESS", 2), run(7)]));
  expect(shown(after)).toEqual([["r9 SUCCESS", "r7 RUNNING"], ["r5 RUNNING", "r4 RUNNING"]]);
  expect(news).toEqual([run(11), run(10)]);
  // a page that the reader asked for is no news
  const more = inPlace(before, { ...pages([run(9), run(7)], [run(5), run(4)], [run(3)]) });
  expect(shown(more.pages)).toEqual([["r9 RUNNING", "r7 RUNNING"], ["r5 RUNNING", "r4 RUNNING"], ["r3 RUNNING"]]);
  expect(more.news).toEqual([]);
});

test("a narrowed list takes what fits, and lets go of what does not any more when nothing jumps for it", () => {
  const before = pages([run(5), run(3)]);
  const filter = { state: "RUNNING" as const, workflow_id: "w" };
  const ended = run(5, "SUCCESS", 2);
  expect(shown(withRuns(before, [ended, run(7, "FAILED"), { ...run(8), workflow_id: "x" }], filter, true).pages)).toEqual([["r3 RUNNING"]]);
  expect(shown(withRuns(before, [ended], filter, false).pages)).toEqual([["r5 SUCCESS", "r3 RUNNING"]]);
});

test("a run with its changes has the tasks that changed, all others, and its input", () => {
  const task = (id: string, state: string) => ({ task_run_id: id, state });
  const before = {
    version: 1, state: "RUNNING", input: { a: 1 }, log_position: 4,
    jobs: [
      { key: "one", state: "RUNNING", tasks: [task("t0", "RUNNING"), task("t1", "PENDING")] },
      { key: "two", state: "PENDING", tasks: [task("t2", "PENDING")] },
    ],
  } as unknown as Run;
  const changes = { version: 2, state: "RUNNING", jobs: [{ key: "one", state: "RUNNING", tasks: [task("t1", "QUEUED")] }] } as unknown as Run;
  expect(withChanges(before, changes)).toEqual({
    version: 2, state: "RUNNING", input: { a: 1 }, log_position: 4,
    jobs: [
      { key: "one", state: "RUNNING", tasks: [task("t0", "RUNNING"), task("t1", "QUEUED")] },
      { key: "two", state: "PENDING", tasks: [task("t2", "PENDING")] },
    ],
  });
});
