/** The client against a server of this library: ADDRESS and CA are in the environment. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as pb from "../../broker/web/client/src/node.ts";

const env = process.env as Record<string, string>;
const address = env.ADDRESS!;
const scramAddress = env.SCRAM_ADDRESS!;
const connect = pb.connectWith(env.CA ? { ca: readFileSync(env.CA) } : {});

class Seat {
  row = "";
  number = 0;
}
pb.register(Seat, "office.Seat");

class Gauge extends pb.RemoteCache {
  n = 0;
  seen: number[] = [];
  observe_n(n: number) {
    this.n = n;
    this.seen.push(n);
  }
}
pb.register(Gauge, "office.Gauge");

class Price extends pb.Cacheable {
  price = 5;
  observers: pb.CacheObserver[] = [];
  stopped = 0;
  getStateToCacheAndObserveFor(observer: pb.CacheObserver) {
    this.observers.push(observer);
    return { price: this.price };
  }
  override stoppedObserving(observer: pb.CacheObserver) {
    this.observers.splice(this.observers.indexOf(observer), 1);
    this.stopped++;
  }
}
pb.register(Price, "office.Follower");

class SoldOut extends pb.RemoteError {
  declare left: number;
}
pb.register(SoldOut, "office.SoldOut");

const Colour = pb.registerEnum({ RED: "red" }, "office.Colour");

class Bell extends pb.Referenceable {
  rung = 0;
  aborted = "";
  meta: unknown;
  remote_ring(i: number) {
    this.rung++;
    return `ring ${i}`;
  }
  remote_boom() {
    throw new TypeError("boom");
  }
  async remote_later() {
    await null;
    throw new SoldOut("office.SoldOut", "gone", [], "", { left: 3 });
  }
  remote_huge() {
    throw new RangeError("\ud800" + "x".repeat(17 << 20));
  }
  remote_wide() {
    const fields = { text: "x".repeat(17 << 20) };
    throw new pb.RemoteError("office.Wide", "wide", [], "", fields);
  }
  remote_wait() {
    const { signal } = pb.currentCall()!;
    return new Promise((resolve) =>
      signal.addEventListener("abort", () => {
        this.aborted = signal.reason.name;
        resolve(1);
      }),
    );
  }
  event(i: number) {
    return i;
  }
}

class Mind extends pb.Referenceable {
  got: number[] = [];
  remote_event(i: number) {
    this.got.push(i);
  }
}

async function until(condition: () => boolean | Promise<boolean>) {
  while (!(await condition())) {
    (globalThis as any).gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Log in as a guest, run, and close. */
async function visit(
  run: (avatar: pb.RemoteReference, connection: pb.Connection) => Promise<void>,
  mind: unknown = null,
) {
  const connection = await connect(address, "anonymous", { mind });
  try {
    await run(connection.avatar, connection);
  } finally {
    connection.close();
  }
}

test("a guest, a password and a token log in", async () => {
  const logins: [pb.Credentials, string[]][] = [
    [{ username: "bob", password: "builder" }, ["bob", "password"]],
    [{ token: "good" }, ["tess", "token"]],
  ];
  for (const [credentials, expected] of logins) {
    const connection = await connect(address, credentials);
    assert.deepEqual(await connection.avatar.callRemote("whoami"), expected);
    connection.close();
  }
});

test("SCRAM logs in, by the strongest way of the connection", async () => {
  const connection = await connect(scramAddress, { username: "alice", password: "wönderland" });
  const way = scramAddress.startsWith("pbs") ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256";
  assert.deepEqual(await connection.avatar.callRemote("whoami"), ["alice", way]);
  connection.close();
});

test("a wrong password, and credentials that do not fit, are refused", async () => {
  const wrong = connect(scramAddress, { username: "alice", password: "x" });
  await assert.rejects(Promise.resolve(wrong), (error: pb.RemoteError) =>
    error.is("twisted.cred.error.UnauthorizedLogin"),
  );
  const token = connect(scramAddress, { token: "good" });
  await assert.rejects(Promise.resolve(token), pb.LoginFailed);
});

test("values cross both ways", () =>
  visit(async (avatar) => {
    const shown: [unknown, string][] = [
      [undefined, "None"],
      [4, "4"],
      [new pb.Float(4), "4.0"],
      [-0, "-0.0"],
      [2n ** 100n, String(2n ** 100n)],
      [-(2n ** 63n), "-9223372036854775808"],
      [2n ** 64n - 1n, "18446744073709551615"],
      ["é😀", "'é😀'"],
      [new Uint8Array([0, 255]), "b'\\x00\\xff'"],
      [pb.Tuple.of(1, 2), "(1, 2)"],
      [new Map<unknown, unknown>([[1, "a"]]), "{1: 'a'}"],
      [new Set([1]), "{1}"],
      [new pb.FrozenSet([2]), "frozenset({2})"],
      [new pb.PyDate(2001, 2, 3), "datetime.date(2001, 2, 3)"],
      [new pb.PyTime(4, 5), "datetime.time(4, 5)"],
      [
        pb.PyDateTime.utc(new Date(0)),
        "datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)",
      ],
      [pb.PyDateTime.utc(new Date(0), false), "datetime.datetime(1970, 1, 1, 0, 0)"],
      [new pb.TimeDelta(-1, 5), "datetime.timedelta(days=-1, seconds=5)"],
      [new pb.Decimal(3140n, -3), "Decimal('3.140')"],
      [new pb.UUID(new Uint8Array(16)), "UUID('00000000-0000-0000-0000-000000000000')"],
      [Colour.RED, "<Colour.RED: 'red'>"],
      [[[[[[[[1]]]]]]], "[[[[[[[1]]]]]]]"],
      [JSON.parse('{"__proto__": 1, "constructor": 2}'), "{'__proto__': 1, 'constructor': 2}"],
    ];
    for (const [value, text] of shown) {
      assert.equal(await avatar.callRemote("shown", value), text);
      if (value !== undefined && !Object.is(value, -0) && !(value instanceof pb.Float))
        assert.deepEqual(
          JSON.stringify(await avatar.callRemote("echo", value), bigints),
          JSON.stringify(value, bigints),
        );
    }
    const values = await avatar.callRemote("values");
    assert.equal(values[21][0], values[21][1]);
    assert.equal(values[22][0][0], values[22]);
    assert.deepEqual(Object.keys(values[23]), ["__proto__", "constructor"]);
    assert.equal(values[23].__proto__, 1);
    assert.equal(values[17].offset, 7200);
    assert.equal(values[17].toDate().toISOString(), "2001-02-03T02:05:06.000Z");
    assert.equal(await avatar.callRemote("colour"), Colour.RED);
  }));

function bigints(_: string, value: unknown) {
  return typeof value === "bigint" ? `${value}n` : value;
}

test("a value that cannot cross fails its call, and nothing else", () =>
  visit(async (avatar) => {
    const deep: unknown[] = [];
    for (let i = 0, inner = deep; i < 100_000; i++) inner.push((inner = [] as any));
    for (const bad of ["\ud800", () => 1, Symbol("x"), new Date(0), deep, new Error("x")])
      await assert.rejects(
        avatar.callRemote("echo", bad),
        (error: Error) => error instanceof Error,
      );
    // What was sent with it is not counted.
    const bell = new Bell();
    await assert.rejects(avatar.callRemote("echo", [bell, new Date(0)]));
    assert.equal(await avatar.callRemote("same", bell, bell), true);
  }));

test("sharing and cycles cross", () =>
  visit(async (avatar) => {
    const shared = [1];
    const cycle: unknown[] = [];
    cycle.push(cycle, shared, shared);
    const back = await avatar.callRemote("echo", cycle);
    assert.equal(back[0], back);
    assert.equal(back[1], back[2]);
    assert.equal(await avatar.callRemote("same", shared, shared), true);
  }));

test("keywords, metadata and large values cross", () =>
  visit(async (avatar) => {
    const call = { kw: { b: 2 }, meta: { "x-tenant": "a" } };
    assert.deepEqual(
      JSON.stringify(await avatar.callRemoteWith(call, "echo", 1)),
      JSON.stringify([[1], { b: 2 }]),
    );
    const text = "x".repeat(3 << 20);
    assert.equal(await avatar.callRemote("echo", text), text);
    await assert.rejects(
      avatar.callRemote("echo", "x".repeat(17 << 20)),
      /TooLarge|the peer takes/,
    );
    await assert.rejects(avatar.callRemoteWith({ meta: { Bad: "" } }, "echo", 1), TypeError);
  }));

test("the server calls back", () =>
  visit(async (avatar) => {
    const bell = new Bell();
    assert.deepEqual(await avatar.callRemote("ring", bell, 3), ["ring 0", "ring 1", "ring 2"]);
    assert.equal(bell.rung, 3);
    assert.equal(await avatar.callRemote("echo", bell), bell);
    assert.deepEqual(await avatar.callRemote("fault", bell, "nope"), [
      "NoSuchMethod",
      "no remote method 'nope'",
    ]);
    for (const method of ["event", "__proto__", "constructor", "toString"])
      assert.equal((await avatar.callRemote("fault", bell, method))[0], "NoSuchMethod");
    assert.deepEqual(await avatar.callRemote("fault", bell, "boom"), [
      "javascript.TypeError",
      "javascript.TypeError: boom",
    ]);
    assert.equal((await avatar.callRemote("fault", bell, "later"))[0], "SoldOut");
    assert.equal((await avatar.callRemote("fault", bell, "huge"))[0], "javascript.RangeError");
    assert.equal((await avatar.callRemote("fault", bell, "wide"))[0], "TooLarge");
  }));

test("a deadline of the server ends a method here", () =>
  visit(async (avatar) => {
    const bell = new Bell();
    assert.match(await avatar.callRemote("late", bell), /Timeout/);
    await until(() => bell.aborted !== "");
  }));

test("copies cross both ways", () =>
  visit(async (avatar) => {
    const seat = await avatar.callRemote("seat");
    assert.ok(seat instanceof Seat);
    assert.deepEqual({ ...seat }, { row: "C", number: 7 });
    seat.row = "D";
    assert.deepEqual(await avatar.callRemote("take", seat), ["Seat", "D", 7]);
  }));

test("a cache of the server is followed, given back, and let go", () =>
  visit(async (avatar) => {
    const before = await avatar.callRemote("counts");
    let gauge = await avatar.callRemote("gauge");
    await avatar.callRemote("set", 39);
    await avatar.callRemote("set", 38);
    assert.deepEqual([gauge.n, gauge.seen], [38, [39, 38]]);
    assert.equal(await avatar.callRemote("gauge"), gauge);
    assert.equal(await avatar.callRemote("is_gauge", gauge), true);
    assert.equal((await avatar.callRemote("counts")).observers, before.observers + 1);
    gauge = null;
    await until(async () => (await avatar.callRemote("counts")).stopped > before.stopped);
    const again = await avatar.callRemote("gauge");
    assert.equal(again.n, 38);
  }));

test("a cache of this end is followed, and let go", () =>
  visit(async (avatar) => {
    const price = new Price();
    await avatar.callRemote("keep", price);
    assert.equal(await avatar.callRemote("kept_price"), 5);
    assert.equal(await price.observers[0]!.callRemote("set", 6), 6);
    price.observers[0]!.send("set", 7);
    assert.equal(await avatar.callRemote("kept_price"), 7);
    assert.equal(await avatar.callRemote("kept"), price);
    await avatar.callRemote("keep", price);
    await avatar.callRemote("keep", null);
    await until(() => price.stopped === 1);
  }));

test("a reference is one object, and is released when it is collected", () =>
  visit(async (avatar, connection) => {
    const before = await avatar.callRemote("counts");
    let thing = await avatar.callRemote("thing");
    assert.equal(await thing.callRemote("hi"), "hi");
    assert.equal(await avatar.callRemote("same", thing, thing), true);
    assert.equal(await thing.callRemote("itself"), thing);
    assert.equal((await avatar.callRemote("counts")).gone, before.gone);
    thing = null;
    await until(async () => (await avatar.callRemote("counts")).gone === before.gone + 1);
    const second = await avatar.callRemote("thing");
    connection.release(second);
    await until(async () => (await avatar.callRemote("counts")).gone === before.gone + 2);
    await assert.rejects(second.callRemote("hi"), /not exported/);
  }));

test("errors have their names, fields and classes", () =>
  visit(async (avatar) => {
    const sold = await avatar.callRemote("sold").catch((error) => error);
    assert.ok(sold instanceof SoldOut);
    assert.deepEqual([sold.message, sold.left, sold.name], ["row A", 2, "SoldOut"]);
    assert.ok(sold.is("twisted.spread.pb.Error"));
    const bug = await avatar.callRemote("bug").catch((error) => error);
    assert.match(bug.message, /internal error/);
    const none = await avatar.callRemote("nosuch").catch((error) => error);
    assert.equal(none.type, "twisted.spread.flavors.NoSuchMethod");
  }));

test("an AbortSignal and a deadline end a call at both ends", () =>
  visit(async (avatar) => {
    const before = (await avatar.callRemote("counts")).cancelled;
    const controller = new AbortController();
    const waiting = avatar.callRemoteWith({ signal: controller.signal }, "wait");
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await until(async () => (await avatar.callRemote("counts")).cancelled === before + 1);
    await assert.rejects(avatar.callRemoteWith({ timeout: 50 }, "wait"), (error: pb.RemoteError) =>
      error.is("broker.errors.CallTimeout"),
    );
    await until(async () => (await avatar.callRemote("counts")).cancelled === before + 2);
    await assert.rejects(avatar.callRemoteWith({ signal: controller.signal }, "echo", 1), /enough/);
    assert.equal(await avatar.callRemote("echo", 1), 1);
  }));

test("events arrive in order, one way", async () => {
  const mind = new Mind();
  await visit(async (avatar) => {
    avatar.send("tell", 500);
    await avatar.callRemote("echo", 1);
    assert.deepEqual(mind.got, [...Array(500).keys()]);
  }, mind);
});

test("a stream of the server is read, with more items than its credit", () =>
  visit(async (avatar) => {
    const got: number[] = [];
    for await (const item of avatar.callRemote("count", 2000)) got.push(item);
    assert.deepEqual(got, [...Array(2000).keys()]);
    let size = 0;
    for await (const piece of avatar.callRemote("pieces", 40, 65_536)) size += piece.length;
    assert.equal(size, 40 * 65_536);
    const seats: unknown[] = [];
    await assert.rejects(async () => {
      for await (const item of avatar.callRemote("seats")) seats.push(item);
    }, SoldOut);
    assert.ok(seats[0] instanceof Seat);
    assert.ok(seats[1] instanceof pb.Tuple);
    await assert.rejects(async () => {
      for await (const _ of avatar.callRemote("echo", [1])) assert.fail();
    }, /not a stream/);
  }));

test("a stream is stopped by leaving its loop, by stop, and by its collection", () =>
  visit(async (avatar) => {
    const closed = async () => (await avatar.callRemote("counts")).closed;
    const before = await closed();
    for await (const item of avatar.callRemote("count", 1e6)) if (item === 3) break;
    await until(async () => (await closed()) === before + 1);
    const stream = await avatar.callRemote("count", 1e6);
    assert.deepEqual(await stream.next(), { done: false, value: 0 });
    stream.stop();
    assert.equal((await stream.next()).done, true);
    await until(async () => (await closed()) === before + 2);
    await avatar.callRemoteWith({ credit: { items: 1, bytes: 1000 } }, "count", 1e6);
    await until(async () => (await closed()) === before + 3);
  }));

test("streams of this end are read, stopped and fail", () =>
  visit(async (avatar) => {
    let ended = 0;
    async function* numbers(most: number) {
      try {
        for (let i = 0; i < most; i++) yield i;
      } finally {
        ended++;
      }
    }
    assert.equal(await avatar.callRemote("total", numbers(1000)), 499_500);
    const pieces = Array.from({ length: 20 }, () => new Uint8Array(65_536));
    const sent = new pb.Stream(pieces, 20 * 65_536);
    assert.deepEqual(await avatar.callRemote("length", sent), [20 * 65_536, 20 * 65_536]);
    await assert.rejects(avatar.callRemote("length", sent), /has been sent/);
    assert.equal(await avatar.callRemote("first", numbers(1e9)), 0);
    await until(() => ended === 2);
    async function* failing() {
      yield new Seat();
      yield [new Bell()];
      throw new RangeError("no more");
    }
    const [seat, [bell], text] = await avatar.callRemote("all", failing());
    assert.ok(seat instanceof Seat && bell instanceof Bell);
    assert.match(text, /no more/);
  }));

test("calls on promises run in order, and fail with their promise", () =>
  visit(async (avatar) => {
    assert.equal(await avatar.callRemote("thing").callRemote("hi"), "hi");
    assert.equal(await avatar.callRemote("slow_thing").at(0).callRemote("double", 21), 42);
    const thing = avatar.callRemote("thing");
    assert.equal(await thing.callRemote("itself").callRemote("itself").callRemote("hi"), "hi");
    assert.equal(await avatar.callRemote("same", thing, await thing), true);
    await assert.rejects(avatar.callRemote("sold").callRemote("hi"), SoldOut);
    await assert.rejects(avatar.callRemote("echo", 1).callRemote("hi"), /not a reference/);
    // A promise of an object of this end comes home.
    const bell = new Bell();
    const home = avatar.callRemote("echo", bell);
    const rings = [1, 2, 3].map((i) => home.callRemote("ring", i));
    assert.deepEqual(await Promise.all(rings), ["ring 1", "ring 2", "ring 3"]);
    assert.equal(await home.callRemote("ring", 4), "ring 4");
    // The server takes 64 at once; others wait here.
    const slow = avatar.callRemote("slow_thing").at(0);
    const many = Array.from({ length: 200 }, (_, i) => slow.callRemote("double", i));
    assert.equal(slow._call.underWay, 64);
    assert.deepEqual(
      await Promise.all(many),
      Array.from({ length: 200 }, (_, i) => 2 * i),
    );
  }));

test("the end of a connection ends its calls and streams", async () => {
  const connection = await connect(address, "anonymous");
  const waiting = connection.avatar.callRemote("wait");
  const dependent = waiting.callRemote("hi");
  const stream = await connection.avatar.callRemote("count", 1e6);
  connection.close();
  await assert.rejects(waiting, pb.ConnectionLost);
  await assert.rejects(dependent, pb.ConnectionLost);
  await assert.rejects(async () => {
    for await (const _ of stream) void _;
  }, pb.ConnectionLost);
  await assert.rejects(connection.avatar.callRemote("echo", 1), pb.ConnectionLost);
  connection.avatar.send("echo", 1);
  assert.equal((await connection.closed).code, "closing");
});

test("contracts give methods", () =>
  visit(async (avatar) => {
    interface Thing {
      double(number: number): pb.RemotePromise<number>;
    }
    interface Room {
      thing(): Thing;
      echo(first: number, kw?: { b?: number }): pb.RemotePromise<any>;
      count(most: number): AsyncIterable<number>;
      tell(times: number): void;
      ring(bell: pb.Ref<Ring>, times: number): pb.RemotePromise<string[]>;
    }
    interface Ring {
      ring(i: number): pb.RemotePromise<string>;
    }
    const Ring = pb.contract<Ring>("Ring", { ring: { form: "call" } });
    const Thing = pb.contract<Thing>("Thing", { double: { form: "call" } });
    const Room = pb.contract<Room>("Room", {
      thing: { form: "reference", of: () => Thing },
      echo: { form: "call", keywords: 1 },
      count: { form: "stream" },
      tell: { form: "one way" },
      ring: { form: "call" },
    });
    const room = avatar.of(Room);
    assert.equal(await room.thing().double(4), 8);
    assert.equal(JSON.stringify(await room.echo(1, { b: 2 })), '[[1],{"b":2}]');
    assert.equal(await room.echo(1), 1);
    const got = [];
    for await (const item of room.count(3)) got.push(item);
    assert.deepEqual(got, [0, 1, 2]);
    room.tell(0);
    const ring = pb.servant(Ring, { ring: (i) => `rung ${i}` });
    assert.deepEqual(await room.ring(ring, 1), ["rung 0"]);
  }));
