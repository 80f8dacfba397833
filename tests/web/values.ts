/** jelly.json, jelly_errors.json and login.json against the readers and writers of the client. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { register } from "../../broker/web/client/src/api.ts";
import { ProtocolError, RemoteError } from "../../broker/web/client/src/errors.ts";
import { readFrame } from "../../broker/web/client/src/frames.ts";
import { type Sender, createJellier } from "../../broker/web/client/src/jellier.ts";
import { registeredAs } from "../../broker/web/client/src/registry.ts";
import { type Receiver, unjelly } from "../../broker/web/client/src/unjellier.ts";
import { frameWriter } from "../../broker/web/client/src/writer.ts";
import { hex, load, read, shown, unhex } from "./notation.ts";

const sender: Sender = { writeObject: () => undefined };
const receiver = {} as Receiver;

/** Expressions that come back in another form, with the reasons. */
const OTHERWISE: Record<string, string> = {
  int_big: "msgpack/1 writes ints beyond 64 bits as digits",
  int_longest: "the same",
  decimal_integer: "the same",
  list: "a whole float is a whole number here",
  class: "code is never taken",
  class_builtin: "the same",
  module: "the same",
  function: "the same",
  method: "the same",
  instance_not_allowed: "never taken",
  instance_in_list_not_allowed: "the same",
  object_of_a_builtin_type: "the same",
  persistent: "the same",
};

/** Tags of these vectors that are no instances. */
const LEAVES = new Set(
  "None boolean unicode list tuple dictionary set frozenset date time datetime timedelta decimal int reference dereference persistent unpersistable class module function method instance".split(
    " ",
  ),
);

/** Register a class for each instance in an expression: its state comes back as it is. */
function registerAll(e: any): void {
  if (!Array.isArray(e)) return;
  const tag = e[0] instanceof Uint8Array ? shown(e[0]) : "";
  const isName = /^[A-Za-z_]\w*\.\w+$/.test(tag) && !LEAVES.has(tag);
  if (isName && !registeredAs(tag))
    register(
      class {
        state: unknown;
        getStateToCopy() {
          return this.state;
        }
        setCopyableState(state: unknown) {
          this.state = state;
        }
      },
      tag,
    );
  e.forEach(registerAll);
}

for (const { name, expression } of load("jelly.json")) {
  if (expression === undefined || name in OTHERWISE) continue;
  test(`${name} comes back`, () => {
    const before = read(expression);
    registerAll(before);
    const value = unjelly(before, receiver);
    assert.equal(shown(createJellier(sender).write(value)), shown(before));
  });
}

/** Expressions that Twisted refuses, or that are odd, and that are taken here. */
const TAKEN: Record<string, string> = {
  type_not_allowed: "a list is always taken",
  class_not_allowed: "the vectors above have registered this class",
};

for (const { name, expression, error } of load("jelly_errors.json")) {
  if (expression === undefined || !error || name in TAKEN) continue;
  test(`${name} is refused`, () => {
    assert.throws(() => unjelly(read(expression), receiver), RemoteError);
  });
}

for (const { name, messages } of load("login.json"))
  test(`the frames of ${name} come back to the byte`, () => {
    for (const message of messages) {
      const frame = unhex(message["msgpack/1"]);
      assert.equal(hex(frameWriter()(readFrame(frame.subarray(4)))), hex(frame));
    }
  });

test("frames of msgpack.json are written as they are recorded", () => {
  let written = 0;
  for (const { name, messages, fate } of load("msgpack.json")) {
    if (name.startsWith("odd_") || fate.includes("malformed")) continue;
    for (const { record, hex: text } of messages) {
      if (!record || typeof record[0] === "string" || typeof record === "string") continue;
      assert.equal(hex(frameWriter()(read(record))), text);
      written++;
    }
  }
  assert.ok(written > 500);
});

/** A generator of numbers that is the same in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("any bytes raise a ProtocolError, or are a message", () => {
  const frames = load("msgpack.json").flatMap(({ messages }) =>
    messages.map((message: any) => unhex(message.hex).subarray(4)),
  );
  const next = random(1);
  for (let i = 0; i < 100_000; i++) {
    const frame = frames[next(frames.length)].slice();
    for (let changes = next(4); changes >= 0; changes--)
      if (frame.length) frame[next(frame.length)] = next(256);
    try {
      readFrame(next(3) ? frame : frame.subarray(0, next(frame.length + 1)));
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }
});

test("any expression raises a RemoteError, or is a value", () => {
  const next = random(2);
  const expressions = [...load("jelly.json"), ...load("jelly_errors.json")]
    .filter(
      ({ expression }) =>
        expression !== undefined && !JSON.stringify(expression).includes("repeat"),
    )
    .map(({ expression }) => read(expression));
  const anyPart = (e: any): any => {
    while (Array.isArray(e) && e.length && next(3)) e = e[next(e.length)];
    return e;
  };
  const mutate = (e: any): any => {
    if (!next(6)) return anyPart(expressions[next(expressions.length)]);
    return Array.isArray(e) ? e.filter(() => next(12)).map(mutate) : e;
  };
  for (let i = 0; i < 20_000; i++)
    try {
      unjelly(mutate(expressions[next(expressions.length)]), {
        remote: String,
        local: String,
        lcache: String,
        cached: String,
        stream: String,
        cache: () => ["", () => {}],
      });
    } catch (error) {
      assert.ok(error instanceof RemoteError, String((error as Error).stack));
    }
});
