import { expect, test } from "vitest";
import { firstDraft, NotJson, properties, toInput, type Schema } from "../../app/parts/JsonForm";

const schema: Schema = {
  type: "object",
  required: ["date"],
  properties: {
    date: { type: "string" },
    limit: { type: ["integer", "null"], default: 50 },
    region: { enum: ["서울", 2] },
    notify: { type: "boolean", default: true },
    stores: { type: "array", items: { type: "string" } },
  },
};

test("each property gets the control of its type", () => {
  expect(properties(schema)?.map((one) => [one.name, one.kind, one.required])).toEqual([
    ["date", "text", true],
    ["limit", "integer", false],
    ["region", "choice", false],
    ["notify", "boolean", false],
    ["stores", "json", false],
  ]);
});

test("no schema asks for nothing; one that names no properties takes the whole input as JSON", () => {
  expect(properties(null)).toEqual([]);
  expect(properties({ type: "object", additionalProperties: false })).toEqual([]);
  expect(properties({ type: "object" })).toBeNull();
});

test("what is filled in becomes the input, of the right types; what is empty is left out", () => {
  const all = properties(schema) ?? [];
  expect(firstDraft(all)).toEqual({ limit: "50", notify: true });
  expect(toInput(all, { date: "2026-01-01", limit: "3", region: "2", notify: false, stores: '["a"]' })).toEqual({
    date: "2026-01-01",
    limit: 3,
    region: 2,
    notify: false,
    stores: ["a"],
  });
  expect(toInput(all, { date: "", limit: "" })).toEqual({});
});

test("what cannot be read names its field", () => {
  const all = properties(schema) ?? [];
  expect(() => toInput(all, { stores: "[" })).toThrow(NotJson);
  expect(() => toInput(all, { limit: "x" })).toThrow(NotJson);
});
