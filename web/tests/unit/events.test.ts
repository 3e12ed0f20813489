import { expect, test } from "vitest";
import { makeParser, readEvents, type ServerEvent } from "../../app/api/events";

function parse(...pieces: string[]): ServerEvent[] {
  const found: ServerEvent[] = [];
  const take = makeParser((event) => found.push(event));
  pieces.forEach(take);
  return found;
}

test("an event is given when its empty line has come, not before", () => {
  expect(parse('id: 3\nevent: run\ndata: {"a":1}\n')).toEqual([]);
  expect(parse('id: 3\nevent: run\ndata: {"a":1}\n\n')).toEqual([{ id: "3", event: "run", data: '{"a":1}' }]);
});

test("pieces may be cut anywhere, inside a line's end too", () => {
  const whole = "id: 1\r\nevent: run\r\ndata: x\r\n\r\nid: 2\r\ndata: y\r\n\r\n";
  for (let cut = 0; cut <= whole.length; cut += 1) {
    expect(parse(whole.slice(0, cut), whole.slice(cut))).toEqual([
      { id: "1", event: "run", data: "x" },
      { id: "2", event: "message", data: "y" },
    ]);
  }
});

test("several data lines are one text, comments are nothing, and an id stays until the next", () => {
  expect(parse(": hello\nid: 7\ndata: a\ndata: b\n\ndata:c\n\n")).toEqual([
    { id: "7", event: "message", data: "a\nb" },
    { id: "7", event: "message", data: "c" },
  ]);
});

test("Hangul that is cut between two chunks of bytes stays whole", async () => {
  const bytes = new TextEncoder().encode("data: 발행\n\n");
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      for (const byte of bytes) stream.enqueue(new Uint8Array([byte]));
      stream.close();
    },
  });
  const found: ServerEvent[] = [];
  await readEvents(new Response(body), (event) => found.push(event));
  expect(found.map((event) => event.data)).toEqual(["발행"]);
});
