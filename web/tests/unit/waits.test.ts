import { expect, test } from "vitest";
import { inside, Problem } from "../../app/api/problem";
import { asksPerson, childOf, deadlineOf, endOf, questionOf } from "../../app/pages/run/waits";
import { isBeside, properties } from "../../app/parts/JsonForm";

test("a task asks a person only while it waits, and only when it waits for one", () => {
  expect(asksPerson({ type: "human.approval", state: "WAITING" })).toBe(true);
  expect(asksPerson({ type: "human.form", state: "WAITING" })).toBe(true);
  expect(asksPerson({ type: "human.form", state: "SUCCESS" })).toBe(false);
  expect(asksPerson({ type: "wait.event", state: "WAITING" })).toBe(false);
  // items of it wait, and it runs as long as they do
  expect(asksPerson({ type: "human.form", state: "RUNNING", items: { open: 2 } })).toBe(true);
  expect(asksPerson({ type: "human.form", state: "RUNNING", items: { open: 0 } })).toBe(false);
  expect(asksPerson({ type: "test.sleep", state: "RUNNING", items: { open: 2 } })).toBe(false);
});

test("a question is what the parameters say, whatever is missing or odd", () => {
  const schema = { type: "object", properties: { n: { type: "integer" } } };
  expect(questionOf({ title: "발행할까요?", description: "보세요", shown: [1], on_reject: "continue", schema })).toEqual({
    title: "발행할까요?",
    description: "보세요",
    shown: [1],
    schema,
    rejectFails: false,
  });
  const nothing = { title: null, description: null, shown: undefined, schema: {}, rejectFails: true };
  for (const odd of [undefined, null, {}, [], "x", { title: " ", description: 5, shown: null, schema: [] }]) expect(questionOf(odd)).toEqual(nothing);
  // nothing that can be shown is taken for nothing
  expect([0, false, ""].map((shown) => questionOf({ shown }).shown)).toEqual([0, false, ""]);
});

test("a wait for a time ends at its instant, or some seconds after it began", () => {
  const began = "2026-11-21T08:00:00.500Z";
  expect(endOf({ until: "2026-12-01T00:00:00Z" }, began)).toBe("2026-12-01T00:00:00Z");
  expect(endOf({ seconds: 90 }, began)).toBe("2026-11-21T08:01:30.500Z");
  expect(endOf({ seconds: 90 }, null)).toBeNull();
  expect(deadlineOf({ event: "paid", timeout_s: 3600 }, began)).toBe("2026-11-21T09:00:00.500Z");
  expect(deadlineOf({ event: "paid" }, began)).toBeNull();
});

test("the child run is named by the output, or by the details of the failure", () => {
  expect(childOf({ run_id: "r1", number: 7, state: "SUCCESS", output: {} })).toEqual({ run_id: "r1", number: 7 });
  expect(childOf({ run_id: "r1" })).toEqual({ run_id: "r1", number: null });
  for (const none of [undefined, null, {}, { run_id: "" }, { run_id: 5 }]) expect(childOf(none)).toBeNull();
});

test("a reason stands at the field that it names or lies in, and at no other", () => {
  expect(inside("body.values.n", "body.values.n")).toBe("");
  expect(inside("body.values.stores[0].name", "body.values.stores")).toBe("[0].name");
  expect(inside("body.values.place.city", "body.values.place")).toBe("city");
  expect(inside("body.values.number", "body.values.n")).toBeNull();

  const all = properties({ properties: { n: { type: "integer" }, stores: { type: "array" } } });
  const refused = (...fields: string[]) => new Problem(422, "invalid", "", fields.map((field) => ({ field, reason: "no" })));
  expect(refused("body.values.stores[1]").reasonsFor("body.values.stores")).toEqual(["[1]: no"]);
  expect(isBeside(refused("body.values.n", "body.values.stores[1]"), all, "body.values")).toBe(true);
  expect(isBeside(refused("body.values.n", "body.values"), all, "body.values")).toBe(false);
  expect(isBeside(refused("body.comment"), all, "body.values")).toBe(false);
  expect(isBeside(refused("body.comment"), all, "body.values", ["body.comment"])).toBe(true);
  expect(isBeside(refused(), all, "body.values")).toBe(false);
});
