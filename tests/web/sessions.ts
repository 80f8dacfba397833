/** Sessions of the client against a scripted peer: promises, the handshake, silence, logins. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LoginFailed,
  Referenceable,
  register,
  type RemotePromise,
} from "../../broker/web/client/src/api.ts";
import { connector } from "../../broker/web/client/src/connect.ts";
import { readFrame } from "../../broker/web/client/src/frames.ts";
import { readOffer } from "../../broker/web/client/src/handshake.ts";
import { login } from "../../broker/web/client/src/login.ts";
import { saslprep } from "../../broker/web/client/src/saslprep.ts";
import "../../broker/web/client/src/served.ts";
import { createSession } from "../../broker/web/client/src/session.ts";
import { frameWriter } from "../../broker/web/client/src/writer.ts";
import { load, publish, shown, unhex } from "./notation.ts";

const word = (text: string) => new TextEncoder().encode(text);
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A session, and the peer that the test plays. */
class Played {
  session = createSession();
  sent: any[] = [];
  closed = false;
  constructor(terms?: Record<string, number>) {
    this.session.transport = {
      write: (bytes) => void this.sent.push(readFrame(bytes.subarray(4))),
      close: () => void (this.closed = true),
    };
    this.session.begin();
    if (terms) this.says([0, 6, terms]);
    this.sent = [];
  }
  says(...messages: unknown[][]) {
    for (const message of messages) this.session.receive(frameWriter()(message));
  }
  /** The calls that were sent: id, target and name. */
  get calls() {
    return this.sent.filter(([row]) => row === 1).map((message) => message.slice(1, 4));
  }
}

const answer = (id: number, expression: unknown) => [7, 5, id, 0, "", expression];

class Thing extends Referenceable {
  heard: unknown[] = [];
  remote_hear(value: unknown) {
    this.heard.push(value);
    return value;
  }
}

test("calls on a promise leave at once, as many as the peer takes, and keep their order", async () => {
  const played = new Played({ promised: 2 });
  const room = played.session.root.callRemote("room");
  const said = [1, 2, 3].map((i) => room.callRemote("say", i));
  assert.deepEqual(played.calls, [
    [1, "root", "room"],
    [2, [1], "say"],
    [3, [1], "say"],
  ]);
  played.says(answer(1, [word("remote"), 5]));
  assert.deepEqual(played.calls.slice(3), [[4, 5, "say"]]);
  played.says([5, 2, "a"], [5, 4, "c"], [5, 3, "b"]);
  assert.deepEqual(await Promise.all(said), ["a", "b", "c"]);
});

test("an element of a promise is called, and a promise is an argument", async () => {
  const played = new Played({ promised: 16 });
  const { session } = played;
  const pair = session.root.callRemote("pair");
  pair
    .at(1)
    .callRemote("say", 1)
    .catch(() => {});
  pair
    .at("key")
    .callRemote("say", 2)
    .catch(() => {});
  assert.throws(() => pair.at(0).at(1), TypeError);
  session.root.callRemote("take", pair.at(1), [pair]).catch(() => {});
  assert.deepEqual(played.calls.slice(1), [
    [2, [1, 1], "say"],
    [3, [1, "key"], "say"],
  ]);
  assert.equal(shown(played.sent.at(-1)[5][0]), "[tuple [promised 1 1] [list [promised 1]]]");
});

test("until the terms of the peer have come, 16 calls on promises leave", async () => {
  const played = new Played();
  const thing = played.session.root.callRemote("thing");
  const said = Array.from({ length: 20 }, (_, i) => thing.callRemote("say", i));
  assert.equal(played.calls.length, 17);
  played.says([0, 6, { promised: 18 }]);
  said.push(thing.callRemote("say", 20));
  // Calls that wait here stay in front of it.
  assert.equal(played.calls.length, 17);
  played.says(answer(1, [word("remote"), 5]));
  assert.equal(played.calls.length, 22);
  for (let id = 2; id < 23; id++) played.says([5, id, id]);
  assert.deepEqual(
    await Promise.all(said),
    said.map((_, i) => i + 2),
  );
});

test("a peer may take no promises; calls wait here", async () => {
  const played = new Played({ promised: 0 });
  const { session } = played;
  const thing = session.root.callRemote("thing");
  const hi = thing.callRemote("hi");
  session.root.callRemote("take", thing).catch(() => {});
  session.root.callRemote("later").catch(() => {});
  assert.deepEqual(played.calls, [[1, "root", "thing"]]);
  played.says(answer(1, [word("remote"), 5]));
  await turn();
  // What waited for the promise leaves first; what came behind a waiting call stays behind it.
  assert.deepEqual(played.calls.slice(1), [
    [2, 5, "hi"],
    [4, "root", "later"],
  ]);
  assert.equal(shown(played.sent[2][5][0]), "[tuple [local 5]]");
  played.says([5, 2, "hi"]);
  assert.equal(await hi, "hi");
});

test("a promise of another connection is awaited, and not taken for one of this", async () => {
  const [one, other] = [new Played({ promised: 16 }), new Played({ promised: 16 })];
  const name = one.session.root.callRemote("name");
  const { root } = other.session;
  root.callRemote("say", name).catch(() => {});
  assert.deepEqual(other.calls, []);
  one.says([5, 1, "tea"]);
  await turn();
  assert.equal(shown(other.sent[0][5][0]), "[tuple [unicode tea]]");
  const later = one.session.root.callRemote("name");
  await assert.rejects(root.callRemote("say", [later]), /cannot be sent/);
});

test("calls that wait for a promise fail when their connection ends", async () => {
  const [one, other] = [new Played({ promised: 16 }), new Played({ promised: 16 })];
  const name = one.session.root.callRemote("name");
  const said = ["first", "second"].map((text) => other.session.root.callRemote(text, name));
  other.session.goodbye("closing", "enough");
  for (const call of said) await assert.rejects(call, /enough/);
});

test("calls come home; those behind them wait until the last one is there", async () => {
  const played = new Played({ promised: 16 });
  const { session } = played;
  const thing = new Thing();
  const home = session.root.callRemote("echo", thing);
  const heard = [1, 2].map((i) => home.callRemote("hear", i));
  const further = heard[0]!.callRemote("never").catch((error) => error.message);
  played.says(answer(1, [word("local"), 1]));
  const later = home.callRemote("hear", 3);
  await turn();
  assert.deepEqual(thing.heard, []);
  played.says([22, 2], [22, 3]);
  assert.deepEqual(await Promise.all([...heard, later]), [1, 2, 3]);
  assert.deepEqual(thing.heard, [1, 2, 3]);
  played.says([22, 4]);
  assert.match(await further, /not a reference/);
  assert.equal(played.calls.length, 3);
  played.says([22, 5]);
  assert.equal(session.ended?.message, "request 5 did not come home");
});

test("the failure of a promise is that of the calls on it, and is not reported twice", async () => {
  const played = new Played({ promised: 16 });
  const promise: RemotePromise = played.session.root.callRemote("fail");
  const calls = [promise.callRemote("a"), promise.at(0).callRemote("b")];
  played.session.goodbye("closing", "enough");
  for (const call of calls) await assert.rejects(call, /enough/);
});

test("an abort drops a call that waits, and cancels one that was sent", async () => {
  const played = new Played({ promised: 0 });
  const abort = new AbortController();
  const { signal } = abort;
  const promise = played.session.root.callRemoteWith({ signal }, "thing");
  const waiting = promise.callRemoteWith({ signal }, "hi");
  abort.abort(new Error("no more"));
  await assert.rejects(promise, /no more/);
  await assert.rejects(waiting, /no more/);
  assert.deepEqual(played.sent.slice(1), [[11, 1]]);
  // Its number is kept until the answer has come; the streams in it are stopped.
  played.says(answer(1, [word("stream"), 9]));
  assert.deepEqual(played.sent.at(-1), [21, 9]);
  assert.equal(played.session.ended, undefined);
});

test("a call without an answer waits for its promises, too; its error disturbs nothing", async () => {
  const played = new Played({ promised: 0 });
  const { root } = played.session;
  const thing = root.callRemote("thing");
  root.send("take", thing, new Date(0));
  root.send("take", thing);
  played.says(answer(1, [word("remote"), 5]));
  await turn();
  const sends = played.sent.filter((message) => message[0] === 7);
  assert.deepEqual(
    sends.map((message) => shown(message[5][0])),
    ["[tuple [local 5]]"],
  );
});

test("whatever a peer sends, a session goes on or ends; it raises nothing", async () => {
  const frames = load("msgpack.json")
    .flatMap(({ messages }) => messages.filter((each: any) => each.record?.[0] >= 0))
    .map(({ hex }: any) => unhex(hex));
  let state = 7;
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let ended = 0;
  for (let i = 0; i < 3000; i++) {
    const { session } = new Played({ promised: 16 });
    publish(session, "root", new Thing());
    const calls = [1, 2, 3].map((name) => session.root.callRemote(`f${name}`, new Thing()));
    calls.push(calls[0]!.callRemote("g"));
    for (const call of calls) call.catch(() => {});
    // What runs calls is loaded when the first object is sent.
    await turn();
    for (let frame = 0; frame < 8 && !session.ended; frame++) {
      const bytes = frames[next(frames.length)]!.slice();
      if (next(2) && bytes.length > 4) bytes[4 + next(bytes.length - 4)] = next(256);
      session.receive(bytes);
    }
    if (session.ended) ended++;
    session.goodbye();
  }
  await turn();
  assert.ok(ended > 100 && ended < 2999, String(ended));
});

test("items beyond the credit end the connection, however they are spread", async () => {
  const played = new Played({});
  const { session } = played;
  const stream = session.root.callRemote("rows");
  played.says(answer(1, [word("stream"), 1]));
  await stream;
  for (let i = 0; i < 256; i++) played.says([17, 1, [i]]);
  assert.equal(session.ended, undefined);
  played.says([17, 1, [256]]);
  assert.equal(session.ended!.message, "stream 1: 1 items beyond its credit");
});

test("the first call waits for what runs calls, and what comes behind it waits too", async () => {
  const played = new Played({});
  const { session } = played;
  const thing = new Thing();
  publish(session, "root", thing);
  const asked = session.root.callRemote("ask");
  played.says([1, 1, "root", "hear", ["first"], {}], [2, 2, "root", "hear", ["second"], {}]);
  played.says([5, 1, "answer"]);
  assert.deepEqual(thing.heard, []);
  assert.equal(await asked, "answer");
  assert.deepEqual(thing.heard, ["first", "second"]);
  assert.deepEqual(played.sent.at(-1), [5, 1, "first"]);
  played.says([1, 3, "root", "hear", ["third"], {}]);
  assert.deepEqual(thing.heard.at(-1), "third");
});

test("a peer cannot let any number of bytes wait", async () => {
  const played = new Played({});
  const { session } = played;
  played.says([1, 1, "root", "hear", ["first"], {}]);
  for (let pieces = 0; pieces < 3 && !session.ended; pieces++)
    session.receive(new Uint8Array(2 ** 24 - 1));
  assert.equal(session.ended?.message, "too many bytes");
  await turn();
});

test("what a call that was not sent has counted is undone", async () => {
  const played = new Played({});
  const { root } = played.session;
  const thing = new Thing();
  await assert.rejects(root.callRemote("take", thing, thing, new Date(0)));
  root.callRemote("take", thing).catch(() => {});
  const [, [remote]] = [played.sent[0], played.sent[0][5][0].slice(1)];
  assert.equal(shown(remote[0]), "remote");
  played.says([8, remote[1], 1]);
  assert.equal(played.session.ended, undefined);
  played.says([8, remote[1], 1]);
  assert.match(played.session.ended!.message, /held 0/);
});

test("the fields of a copy cannot change what it is", async () => {
  class Card {}
  register(Card, "sessions.Card");
  const played = new Played({});
  const card = played.session.root.callRemote("card");
  const text = (value: string) => [word("unicode"), word(value)];
  const evil = [word("dictionary"), [text("evil"), 1]];
  const fields = ["__proto__", "constructor", "prototype"].map((name) => [text(name), evil]);
  played.says(answer(1, [word("sessions.Card"), [word("dictionary"), ...fields]]));
  const made = await card;
  assert.equal(Object.getPrototypeOf(made), Card.prototype);
  assert.equal(made.constructor, Card);
  assert.equal(made.evil, undefined);
  assert.equal(made.prototype, undefined);
});

test("a server that does not know the password is found out, and so is one with few rounds", async () => {
  for (const [rounds, text] of [
    [10_000, /does not know/],
    [9_999, /not right/],
  ] as [number, RegExp][]) {
    const played = new Played({});
    played.session.mechanisms = ["SCRAM-SHA-256"];
    const credentials = { username: "alice", password: "secret" };
    const avatar = login(played.session, credentials, {}, "ws://elsewhere");
    const first = new TextDecoder().decode(played.sent[0][5][0][2]);
    const nonce = /r=(.*)$/.exec(first)![1];
    const challenge = word(`r=${nonce}server,s=c2FsdA==,i=${rounds}`);
    played.says(answer(1, [word("tuple"), challenge, [word("remote"), 1]]));
    const finished = setInterval(() => {
      if (played.sent.length < 2) return;
      clearInterval(finished);
      played.says(answer(2, [word("tuple"), word("v=AAAA"), [word("remote"), 2]]));
    }, 1);
    await assert.rejects(avatar, text);
    clearInterval(finished);
  }
});

test("bytes come in any pieces", () => {
  const played = new Played({});
  const said = [1, 2].map((i) => frameWriter()([5, i, "x".repeat(300 * i)]));
  const calls = [1, 2].map((i) => played.session.root.callRemote(`f${i}`));
  for (const frame of said) for (const byte of frame) played.session.receive(Uint8Array.of(byte));
  return Promise.all(calls).then(([one, two]) => {
    assert.equal(one.length + two.length, 900);
  });
});

test("offers are read in any pieces; one without our dialect, or of something else, is refused", () => {
  const offer = unhex("048009826d73677061636b2f3102827062" + "04826e6f6e65" + "05826c6f67696e");
  for (let size = 0; size < offer.length; size++)
    assert.equal(readOffer(offer.subarray(0, size)), undefined);
  assert.deepEqual(readOffer(offer), { mechanisms: [], size: offer.length });
  for (const bad of ["HTTP/1.1 400 Bad Request", "\x01\x80\x02\x82pb", "\x7f".repeat(5000)])
    assert.throws(() => readOffer(new Uint8Array(Buffer.from(bad, "latin1"))), /offer/);
});

test("a peer that stays silent is asked, and then cut off", async () => {
  const played = new Played({});
  played.session.watch(10);
  await played.session.closed;
  assert.deepEqual(
    played.sent.map((message) => message[0]),
    [12, 14],
  );
  assert.match(played.session.ended!.message, /no answer/);
});

test("a secret does not leave where other people can listen", async () => {
  const offers = connector(async (_, session) => {
    const login = word("login token password");
    session.transport = { write: () => {}, close: () => {} };
    const dialect = word("msgpack/1");
    session.receive(new Uint8Array([2, 0x80, 9, 0x82, ...dialect, login.length, 0x82, ...login]));
  });
  const isSent = (offered: PromiseLike<unknown>) =>
    assert.rejects(Promise.resolve(offered), /in 20 ms/);
  for (const credentials of [{ token: "t" }, { username: "u", password: "p" }]) {
    for (const address of ["ws://elsewhere", "ws://localhost.elsewhere", "ws://notlocalhost"]) {
      const refused = Promise.resolve(offers(address, credentials));
      await assert.rejects(refused, (error) => error instanceof LoginFailed);
    }
    for (const address of [
      "wss://elsewhere",
      "pbs://elsewhere",
      "ws://localhost",
      "pb://127.0.0.1",
    ])
      await isSent(offers(address, credentials, { timeout: 20 }));
    await isSent(offers("ws://[::1]:80/pb", credentials, { timeout: 20 }));
    const insecure = { timeout: 20, insecurePlaintext: true };
    await isSent(offers("ws://elsewhere", credentials, insecure));
  }
});

test("names and passwords are prepared", () => {
  assert.equal(saslprep("I\u00adX"), "IX");
  assert.equal(saslprep("a\u00a0b"), "a b");
  assert.equal(saslprep("\u00aa\u2168"), "aIX");
});
