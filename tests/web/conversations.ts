/** msgpack.json, played to a session of the client: it is the end that is called in the vectors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import "../../broker/web/client/src/served.ts";
import { createSession } from "../../broker/web/client/src/session.ts";
import { Desk } from "./desk.ts";
import { load, outline, publish, unhex } from "./notation.ts";

/** Vectors whose messages differ here, with the reasons. The connection must go on in them. */
const OTHERWISE: Record<string, string> = {
  event_id_zero: "an event has an id of its own here",
  answer_leaves: "a whole float is a whole number here",
  answer_out_of_order: "an answer that comes from a promise is one turn later",
  decref_while_call_runs: "the same",
  change_after_decache: "a decache leaves at once here, not behind the answer",
  cached_crosses_decache: "the same",
  call_cache_defined_twice: "a cache is let go when it is collected",
  cancel_running: "a cancelled call is answered at once, with an error",
  stream_graph_items: "items that are not plain may share a message",
  stream_fails: "the text of an error is shown here",
  stream_stopped: "items leave in other pieces",
  stream_stopped_by_the_server: "leaving a loop stops its stream before the answer",
  stream_items_cross_stop: "the same",
  call_wrong_arguments: "JavaScript does not check arguments",
  call_field_of_wrong_type: "the fields of a copy have no types here",
  call_key_bomb: "wide ints are keys here",
  call_decimal_too_large: "a Decimal is not computed with here",
  call_refs_beyond_limit: "a client has no limit of references",
  call_beyond_max_calls: "a client has no limit of calls",
  call_streams_beyond_limit: "the limit is 64 here",
  once_again_done: "a client keeps no replies: its term `once` is 0",
  once_again_running: "the same",
  once_other_method: "the same",
  once_result_lost: "the same",
  once_malformed: "the same",
  once_acknowledged_again: "the same",
};

/** A client takes no calls on promises of its answers: its term `promised` is 0. */
const ON_PROMISES =
  /^(promise_|home_|call_promise_|call_beyond_max_promised$|bad_promise_argument_own$)/;

/** The terms of the version differ, since the server of the vectors has four streams. */
const VERSION = /^[0-9a-f]{8}930006/;

const isHandshake = (hex: string) => /^0[39](80|82)/.test(hex);

for (const { name, state, messages, fate } of load("msgpack.json")) {
  // A client has no gate before the login.
  if (state === "before login" || ON_PROMISES.test(name)) continue;
  test(name, async () => {
    const written: Uint8Array[] = [];
    let isClosed = false;
    const session = createSession();
    session.transport = {
      write: (bytes) => void written.push(bytes),
      close: () => void (isClosed = true),
    };
    const desk = new Desk();
    desk.release = (value) => session.release(value);
    publish(session, "root", desk);
    session.begin();
    if (state === "open") session.receive(unhex("00000003920006"));
    written.length = 0;
    const expected: Uint8Array[] = [];
    for (const message of messages) {
      if (isHandshake(message.hex)) continue;
      const bytes = unhex(message.hex);
      if (message.from === "client") session.receive(bytes);
      else if (!VERSION.test(message.hex)) expected.push(bytes);
      // What was asked for is there after some turns of the loop.
      if (message.from === "client")
        for (let turns = 0; turns < 8; turns++)
          await new Promise((resolve) => setImmediate(resolve));
    }
    const [kind, type, text] = fate.split(": ");
    if (kind === "connection") {
      const { message } = session.ended!;
      assert.ok(message.startsWith([type, text].join(": ").replace(/: $/, "")), message);
      assert.ok(isClosed);
      return;
    }
    const ends = messages.some(({ record }: any) => record?.[0] === 14);
    assert.equal(session.ended !== undefined, ends);
    if (name in OTHERWISE) return;
    const [got, wanted] = [outline(written), outline(expected)];
    assert.deepEqual(got.messages, wanted.messages);
    if (kind === "call") assert.equal(got.errors.at(-1)?.split(": ")[1], type);
    else assert.deepEqual(got.errors, wanted.errors);
    session.goodbye();
  });
}
