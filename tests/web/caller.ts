/** msgpack.json from the other side: the session makes the calls of the vectors' clients. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as pb from "../../broker/web/client/src/api.ts";
import { readFrame, readItems } from "../../broker/web/client/src/frames.ts";
import "../../broker/web/client/src/served.ts";
import { createSession } from "../../broker/web/client/src/session.ts";
import { type Receiver, unjelly } from "../../broker/web/client/src/unjellier.ts";
import type { Expression } from "../../broker/web/client/src/values.ts";
import { hex, load, shown, unhex } from "./notation.ts";

/** Vectors that a client of this kind cannot play, with the reasons. */
const ELSEWHERE: Record<string, string> = {
  call_deadline_nil: "a client writes no nil where it may end the message",
  event_id_zero: "an event has an id of its own here",
  answer_leaves: "a whole float is a whole number here",
  graph_call: "plain values leave in the plain form",
  graph_one_way: "the same",
  graph_to_cache: "the same",
  draining: "a client does not drain",
  draining_twice: "the same",
  cancel_crosses_answer: "messages that cross are made at both ends",
  change_after_decache: "the same",
  cached_crosses_decache: "the same",
  stream_items_cross_stop: "the same",
  stream_credit_crosses_end: "the same",
  stream_stop_crosses_end: "the same",
  stream_before_terms: "the same",
  stream_credit: "a client gives credit when its program has taken items",
  stream_credit_meta: "the same",
  stream_credit_given: "items leave in other pieces",
  stream_pieces_result: "a client gives more credit at the first piece",
};

class Card {}
pb.register(Card, "vectors.Card");
class Price extends pb.RemoteCache {
  price = 0;
  observe_set(price: number) {
    this.price = price;
  }
}
pb.register(Price, "vectors.Price");
pb.registerEnum({ RED: "red" }, "vectors.Colour");

class Held extends pb.Cacheable {
  state: unknown;
  observer!: pb.CacheObserver;
  constructor(state: unknown) {
    super();
    this.state = state;
  }
  getStateToCacheAndObserveFor(observer: pb.CacheObserver) {
    this.observer = observer;
    return this.state;
  }
}
pb.register(Held, "vectors.Held");

/** Items that are made when the vector says so. */
class Items implements AsyncIterator<unknown> {
  private ready: unknown[] = [];
  private wake = () => {};
  push(...items: unknown[]) {
    this.ready.push(...items.map((value) => ({ value, done: false })));
    this.wake();
  }
  end(error?: unknown) {
    this.ready.push(error ?? { done: true });
    this.wake();
  }
  async next(): Promise<any> {
    while (!this.ready.length) await new Promise<void>((resolve) => (this.wake = resolve));
    const next = this.ready.shift();
    if (next instanceof Error) throw next;
    return next;
  }
  [Symbol.asyncIterator]() {
    return this;
  }
}

/** A client of the vectors: it knows what its frames are about. */
class Client {
  written: Uint8Array[] = [];
  session = createSession();
  objects = new Map<number, pb.Referenceable>();
  caches = new Map<number, Held>();
  streams = new Map<number, Items>();
  calls = new Map<number, AbortController>();
  /** Calls of the server that wait for their answer, by number. */
  running: Map<number, { resolve(value: unknown): void; reject(error: unknown): void }> = new Map();
  lastCalled = 0;
  references = new Map<number, any>();
  followed = new Map<number, any>();
  remoteStreams = new Map<number, any>();

  constructor() {
    const { session } = this;
    const { receiver } = session;
    session.transport = { write: (bytes) => void this.written.push(bytes), close: () => {} };
    for (const [method, kept] of [
      ["remote", this.references],
      ["cached", this.followed],
      ["stream", this.remoteStreams],
    ] as [keyof Receiver, Map<number, any>][]) {
      const made = (receiver as any)[method];
      (receiver as any)[method] = (number: number, more: unknown) => {
        const value = made(number, more);
        kept.set(number, value);
        return value;
      };
    }
    const { cache } = receiver;
    receiver.cache = (number, cls) => {
      const made = cache(number, cls);
      this.followed.set(number, made[0]);
      return made;
    };
  }

  /** Return an object whose methods wait for the answers of the vector. */
  private object(number: number): pb.Referenceable {
    const known = this.objects.get(number);
    if (known) return known;
    const { running } = this;
    const client = this;
    const object = new Proxy(new pb.Referenceable(), {
      get(target, name) {
        if (typeof name !== "string" || !name.startsWith("remote_"))
          return Reflect.get(target, name);
        return () => {
          const id = client.lastCalled;
          return new Promise((resolve, reject) => running.set(id, { resolve, reject }));
        };
      },
    });
    this.objects.set(number, object);
    return object;
  }

  /** Return the value of an expression of the client. */
  value(expression: Expression): any {
    return unjelly(this.prepared(expression), {
      remote: (number) => this.object(number),
      local: (name) => {
        if (typeof name !== "string") return this.references.get(name);
        return name === "root" ? this.session.root : this.caches.get(Number(name));
      },
      lcache: (number) => this.followed.get(number),
      cached: (number) => this.caches.get(number),
      stream: (number, size) => {
        const items = new Items();
        this.streams.set(number, items);
        return new pb.Stream(items, size);
      },
      cache: () => assert.fail(),
    });
  }

  /** Make the caches of the client; an object with their number stands for them. */
  private prepared(e: Expression): Expression {
    if (!Array.isArray(e)) return e;
    if (e[0] instanceof Uint8Array && shown(e[0]) === "vectors.Held") {
      this.caches.set(e[1] as number, new Held(this.value(e[2]!)));
      return [new TextEncoder().encode("local"), new TextEncoder().encode(String(e[1]))];
    }
    return e.map((each) => this.prepared(each));
  }

  /** Do what writes a frame of the client. */
  act(frame: Uint8Array): void {
    const message = readFrame(frame.subarray(4)) as any[];
    const [row, first, second] = message;
    if (row === 7 && first <= 4) {
      const [, kind, id, target, name, [args, kw], deadline, meta] = message;
      return this.call(kind, id, target, name, this.value(args), this.value(kw), deadline, meta);
    }
    if (row >= 1 && row <= 4) {
      const [, id, target, name, args, kw, deadline, meta] = message;
      return this.call(row, id, target, name, args, kw, deadline, meta);
    }
    if (row === 7 && first === 5) return this.running.get(second)!.resolve(this.value(message[5]));
    if (row === 7) return this.running.get(second)!.reject(this.value(message[5]));
    if (row === 5) return this.running.get(first)!.resolve(second);
    if (row === 6) return this.running.get(first)!.resolve(pb.Tuple.from(second));
    if (row === 8) return this.session.release(this.references.get(first));
    if (row === 9) return this.session.release(this.followed.get(first));
    if (row === 11) return this.calls.get(first)!.abort();
    if (row === 12) return this.session.put([12, first]) as unknown as void;
    if (row === 14) return this.session.goodbye(first, second);
    if (row === 17) return this.streams.get(first)!.push(...(readItems(17, second) as unknown[]));
    if (row === 18)
      return this.streams.get(first)!.push(...this.value(readItems(18, second) as Expression));
    if (row === 19) return this.streams.get(first)!.push(second);
    if (row === 20) return this.streams.get(first)!.end(second && this.value(second));
    if (row === 21) return this.remoteStreams.get(first).stop();
    assert.fail(`nothing writes row ${row}`);
  }

  private call(
    row: number,
    id: number,
    target: any,
    name: string,
    args: unknown[],
    kw: Record<string, unknown>,
    timeout?: number,
    meta?: Record<string, string>,
  ): void {
    const controller = new AbortController();
    this.calls.set(id, controller);
    if (row > 2) {
      const { observer } = this.caches.get(target)!;
      if (row === 4) observer.send(name, ...args);
      else observer.callRemote(name, ...args).catch(() => {});
      return;
    }
    const reference = target === "root" ? this.session.root : this.references.get(target);
    const options = {
      kw,
      signal: controller.signal,
      ...(timeout != null ? { timeout } : {}),
      ...(meta ? { meta } : {}),
    };
    if (row === 1) reference.callRemoteWith(options, name, ...args).catch(() => {});
    else reference.send(name, ...args);
  }
}

/** Return a message that drops one reference or cache with its count, which may be left out. */
const counted = (text: string) => text.replace(/^0000000392(08|09)(..)$/, "0000000493$1$201");

async function someTurns() {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
}

const isHandshake = (text: string) => /^0[39](80|82)/.test(text);
const VERSION = /^[0-9a-f]{8}9[23]0006/;

for (const { name, state, messages, fate } of load("msgpack.json")) {
  // Malformed frames are not written by a client, and neither are odd ones.
  if (state === "before login" || fate !== "taken" || name.startsWith("odd_")) continue;
  // Calls on promises are tested against a real server, by interop.ts.
  if (name in ELSEWHERE || /^(promise|home)_/.test(name)) continue;
  test(name, async () => {
    const client = new Client();
    const { session, written } = client;
    session.begin();
    session.receive(unhex("00000003920006"));
    written.length = 0;
    for (const { from, hex: text } of messages) {
      if (isHandshake(text) || VERSION.test(text)) continue;
      const frame = unhex(text);
      if (from === "server") {
        const message = readFrame(frame.subarray(4)) as any[];
        client.lastCalled = message[0] === 7 ? message[2] : message[1];
        session.receive(frame);
        // What runs calls is loaded at the first one.
        await someTurns();
      } else {
        if (!written.length) client.act(frame);
        await someTurns();
        assert.equal(written.length ? counted(hex(written.shift()!)) : "nothing", counted(text));
      }
    }
    await someTurns();
    assert.deepEqual(written.map(hex), []);
    session.goodbye();
  });
}
