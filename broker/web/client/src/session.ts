/** One connection without its transport: bytes come in, and bytes go out. */
import {
  ROW_ANSWER,
  ROW_CACHE_CALL,
  ROW_CACHE_SEND,
  ROW_CALL,
  ROW_CANCEL,
  ROW_CREDIT,
  ROW_DECACHE,
  ROW_DECREF,
  ROW_DRAINING,
  ROW_END,
  ROW_GOODBYE,
  ROW_GRAPH,
  ROW_HOME,
  ROW_ITEM_GRAPH,
  ROW_ITEMS,
  ROW_PIECE,
  ROW_PING,
  ROW_PONG,
  ROW_STOP,
  ROW_TUPLE,
  ROW_UNCACHE,
  ROW_VERSION,
} from "./rows.ts";
import { type CallHost, Calls } from "./calls.ts";
import { FollowedCaches, OwnedCaches } from "./caches.ts";
import { Bound } from "./contract.ts";
import { ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { type Message, readFrame } from "./frames.ts";
import { writeFailure } from "./failures.ts";
import { Framing } from "./framing.ts";
import { choice, readOffer } from "./handshake.ts";
import { IncomingCalls, type IncomingHost, callOwn } from "./incoming.ts";
import { Jellier, word } from "./jellier.ts";
import { RemotePromise } from "./promise.ts";
import { Exports, Imports, RemoteReference } from "./references.ts";
import { Cacheable, Referenceable, RemoteCache, nameOf } from "./registry.ts";
import { IncomingStreams } from "./incoming_streams.ts";
import { OutgoingStreams } from "./outgoing_streams.ts";
import { type Credit, type StreamHost, streamOf } from "./streams.ts";
import { BASELINE, MINE, type Terms, readTerms } from "./terms.ts";
import type { Draining, Transport } from "./transport.ts";
import { type Receiver, Unjellier } from "./unjellier.ts";
import { type Expression, Tuple } from "./values.ts";
import { Writer } from "./writer.ts";

const VERSION = 6;
const MOST_PINGS = 40;

/** The session of one connection. */
export class Session implements CallHost, IncomingHost, StreamHost, Receiver {
  /** The ways to log in that the server offers; undefined if it asks for no login. */
  mechanisms: string[] | undefined;
  /** Set when the peer takes no new calls. */
  draining: Draining | undefined;
  /** Why the connection has ended; undefined while it is open. */
  ended: ConnectionLost | undefined;
  /** Resolves when the server's offer has come; calls can be made then. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<ConnectionLost>;
  /** Resolves when the peer takes no new calls. */
  readonly drains: Promise<void>;
  /** Resolves with what the peer takes, when it has told it. */
  readonly terms: Promise<Terms>;
  /** The root of the peer. */
  readonly root: RemoteReference;
  readonly exports: Exports;

  /** What carries the bytes. */
  transport: Transport = { write() {}, close() {} };
  private _framing = new Framing();
  private _writer = new Writer();
  private _phase: "offer" | "version" | "open" = "offer";
  private _terms: Terms | undefined;
  private _number = 0;
  private _pings = 0;
  /** Ticks of the watch without a byte of the peer. */
  private _silence = 0;
  /** The highest number of a call of the peer. */
  private _highest = 0;
  private _calls: Calls;
  private _incoming: IncomingCalls;
  private _imports: Imports;
  private _followed: FollowedCaches;
  private _owned: OwnedCaches;
  private _reading: IncomingStreams;
  private _producing: OutgoingStreams;
  /** The first credit of streams in the answer that is being read. */
  private _credit: Credit | undefined;
  /** The numbers of the streams that the message that is being read has opened. */
  private _opened: number[] = [];
  private _isReady!: (error?: Error) => void;
  private _isClosed!: (why: ConnectionLost) => void;
  private _isDraining!: () => void;
  private _hasTerms!: (terms: Terms) => void;

  constructor() {
    const next = () => this.nextNumber();
    this._calls = new Calls(this);
    this._incoming = new IncomingCalls(this);
    this.exports = new Exports(next);
    this._imports = new Imports(this._calls, (number, count) =>
      this._count(ROW_DECREF, number, count),
    );
    this._followed = new FollowedCaches((number, count) => this._count(ROW_DECACHE, number, count));
    this._owned = new OwnedCaches(this._calls, next);
    this._reading = new IncomingStreams(this);
    this._producing = new OutgoingStreams(this);
    this.root = new RemoteReference(this._calls, "root");
    this.ready = new Promise((resolve, reject) => {
      this._isReady = (error) => (error ? reject(error) : resolve());
    });
    this.ready.catch(() => {});
    this.closed = new Promise((resolve) => (this._isClosed = resolve));
    this.drains = new Promise((resolve) => (this._isDraining = resolve));
    this.terms = new Promise((resolve) => (this._hasTerms = resolve));
  }

  nextNumber(): number {
    return ++this._number;
  }

  /** Whether calls of either end have no answer yet. */
  get isBusy(): boolean {
    return this._calls.openCount + this._incoming.count > 0;
  }

  get promised(): number {
    return (this._terms ?? BASELINE).promised;
  }

  // -- bytes ---------------------------------------------------------------------------------

  /** Begin without a handshake, as either end after the choice of the dialect. */
  begin(): void {
    this._phase = "version";
    const { streams, items, window, promised } = MINE;
    this.put([ROW_VERSION, VERSION, { streams, items, window, promised }]);
    this._isReady();
  }

  /** Receive bytes of the peer. */
  receive(bytes: Uint8Array): void {
    if (this.ended) return;
    this._silence = 0;
    try {
      let data = this._framing.add(bytes);
      if (data && this._phase === "offer") data = this._offer(data);
      if (data) this._framing.split(data, (body) => this._frame(body));
    } catch (error) {
      this.fault(error);
    }
  }

  private _offer(data: Uint8Array): Uint8Array | undefined {
    const offer = readOffer(data);
    if (!offer) {
      this._framing.keep(data, 0);
      return undefined;
    }
    this.mechanisms = offer.mechanisms;
    this.transport.write(choice());
    this.begin();
    return data.subarray(offer.size);
  }

  /** Write a message; return the bytes of its frame without its length. */
  put(message: unknown[], most = this._terms?.frame ?? MINE.frame): number {
    if (this.ended) return 0;
    const frame = this._writer.frame(message);
    const size = frame.length - 4;
    if (size > most)
      throw new RemoteError(
        NAMES.large,
        `a message of ${size} bytes; the peer takes ${most} (frame)`,
      );
    this.transport.write(frame);
    return size;
  }

  private _count(row: number, number: number, count: number): void {
    this.put([row, number, count]);
  }

  // -- messages ------------------------------------------------------------------------------

  /** Handle a frame; return whether the connection goes on. */
  private _frame(body: Uint8Array): boolean {
    const message = readFrame(body);
    const [row, first, second] = message;
    if (this._phase === "version") this._version(message);
    else if (row === ROW_VERSION) throw new ProtocolError("a second version");
    else if (row <= ROW_CACHE_SEND) this._called(row, message.slice(1), false);
    else if (row === ROW_GRAPH && first <= ROW_CACHE_SEND)
      this._called(first, message.slice(2), true);
    else if (row === ROW_GRAPH) this._graph(first, message[2], message[5]);
    else if (row === ROW_ANSWER) this._answered(first, second);
    else if (row === ROW_TUPLE) this._answered(first, Tuple.from(second));
    else this._other(row, first, second, message, body.length);
    return !this.ended;
  }

  private _version([row, number, terms]: Message): void {
    if (row !== ROW_VERSION) throw new ProtocolError("the first frame is not the version");
    if (number !== VERSION)
      throw new ProtocolError(`the peer speaks version ${number}, not ${VERSION}`);
    this._phase = "open";
    this._terms = readTerms(terms);
    this._producing.takeTerms(this._terms);
    this._hasTerms(this._terms);
  }

  private _other(row: number, first: any, second: any, message: Message, size: number): void {
    switch (row) {
      case ROW_DECREF:
        return this.exports.release(first, second ?? 1);
      case ROW_DECACHE:
        if (this._owned.release(first, second ?? 1)) this.put([ROW_UNCACHE, first]);
        return;
      case ROW_UNCACHE:
        return this._followed.end(first);
      case ROW_CANCEL:
        return this._incoming.cancel(first);
      case ROW_PING:
        if (++this._pings > MOST_PINGS) throw new ProtocolError("too many pings");
        return void this.put([ROW_PONG, first]);
      case ROW_GOODBYE:
        this.lost(new ConnectionLost(first, second));
        return this.transport.close();
      case ROW_DRAINING:
        this.draining = { after: first, elsewhere: second };
        return this._isDraining();
      case ROW_CREDIT:
        return this._producing.credit(first, second, message[3]);
      case ROW_ITEMS:
      case ROW_ITEM_GRAPH:
      case ROW_PIECE:
        return this._reading.items(row, first, second, size);
      case ROW_END:
        return this._reading.end(first, second);
      case ROW_STOP:
        return this._producing.stopped(first);
      case ROW_HOME:
        return this._calls.home(first);
    }
  }

  /** A call: `fields` begin with its id. */
  private _called(kind: number, fields: any[], isGraph: boolean): void {
    const [id, target, name, third, fourth] = fields;
    const [deadline, meta] = fields.slice(isGraph ? 4 : 5);
    if (Array.isArray(target) && target[0] > this._highest)
      throw new ProtocolError(`promise of request ${target[0]}, which has not been made`);
    if (id > this._highest) this._highest = id;
    this._opened = [];
    const toCache = kind === ROW_CACHE_CALL || kind === ROW_CACHE_SEND;
    const find = () => {
      if (toCache) return this._followed.core(target);
      if (Array.isArray(target))
        throw new RemoteError(
          NAMES.object,
          "a promise cannot be called here (the term 'promised' is 0)",
        );
      return this.exports.get(target);
    };
    const wasRun = this._incoming.receive({
      id,
      wantsAnswer: kind === ROW_CALL || kind === ROW_CACHE_CALL,
      prefix: toCache ? "observe_" : "remote_",
      name,
      find,
      read: () => (isGraph ? this._arguments(third) : [third, fourth]),
      deadline,
      meta,
    });
    if (isGraph && !wasRun) this._reading.refuse(third, this._opened);
  }

  private _arguments([first, second]: [Expression, Expression]): [
    unknown[],
    Record<string, unknown>,
  ] {
    const unjellier = new Unjellier(this);
    const args = unjellier.read(first);
    const kw = unjellier.read(second);
    if (!Array.isArray(args) || !kw || Object.getPrototypeOf(kw) !== null)
      throw new RemoteError(NAMES.malformed, "arguments");
    return [args, kw];
  }

  private _answered(id: number, value: unknown): void {
    this._calls.answered(id).settle(value);
  }

  private _graph(kind: number, id: number, expression: Expression): void {
    const call = this._calls.answered(id);
    this._credit = call.credit;
    this._opened = [];
    let value: unknown;
    try {
      value = new Unjellier(this).read(expression);
    } catch (error) {
      this._reading.refuse(expression, this._opened);
      return this._calls.reject(call, error);
    } finally {
      this._credit = undefined;
    }
    if (call.settled) this._reading.refuse(expression, this._opened);
    if (kind === ROW_ANSWER) call.settle(value);
    else
      this._calls.reject(call, value instanceof Error ? value : new RemoteError("", String(value)));
  }

  // -- what a session does with objects ------------------------------------------------------

  writeObject(value: object, out: Expression[], jellier: Jellier): boolean {
    if (value instanceof Bound) {
      jellier.put(out, value._on);
    } else if (value instanceof RemoteReference) {
      if (value._caller !== this._calls)
        throw new RemoteError(NAMES.cannot, "a reference of another connection cannot be sent");
      out.push([word("local"), typeof value._id === "string" ? word(value._id) : value._id]);
    } else if (value instanceof Referenceable) {
      out.push([word("remote"), this.exports.add(value, jellier)]);
    } else if (value instanceof RemoteCache) {
      out.push(this._followed.write(value));
    } else if (value instanceof Cacheable) {
      this._owned.write(value, jellier.begin(out, value), jellier);
    } else if (value instanceof RemotePromise) {
      this._calls.promised.write(value, out, jellier);
    } else if (value instanceof Error && !nameOf(value)) {
      throw new RemoteError(NAMES.cannot, "an error cannot be sent as a value");
    } else {
      const stream = streamOf(value);
      if (!stream) return false;
      this._producing.open(stream, out, jellier);
    }
    return true;
  }

  remote(number: number): RemoteReference {
    return this._imports.receive(number);
  }

  local(name: number | string): object {
    return this.exports.get(name);
  }

  lcache(number: number): Cacheable {
    return this._owned.get(number);
  }

  cached(number: number): RemoteCache {
    return this._followed.receive(number);
  }

  cache(number: number, cls: new () => RemoteCache): [RemoteCache, (state: unknown) => void] {
    return this._followed.make(number, cls);
  }

  stream(number: number, size: number | undefined): unknown {
    const stream = this._reading.receive(number, size, this._credit);
    this._opened.push(number);
    return stream;
  }

  callOwn = callOwn;

  /** Drop a reference, or a cache, now: the program does not use it any more. */
  release(value: RemoteReference | RemoteCache): void {
    if (value instanceof RemoteReference) this._imports.release(value);
    else this._followed.release(value);
  }

  // -- errors, and the end -------------------------------------------------------------------

  /** Return the expression of an error. */
  failure(error: unknown): Expression {
    return writeFailure(error, this);
  }

  /** Answer a call with an error. */
  fail(id: number, error: unknown): void {
    const put = (failure: Expression) => this.put([ROW_GRAPH, ROW_GRAPH, id, 0, "", failure]);
    try {
      put(this.failure(error));
    } catch {
      put(this.failure(new RemoteError(NAMES.large, "the error")));
    }
  }

  /** Ping a peer that is silent for so many milliseconds, and end the connection if it stays so. */
  watch(every: number): void {
    const timer = setInterval(() => {
      this._pings = 0;
      if (this._silence++) this.goodbye("lost", "no answer from the peer");
      else this.put([ROW_PING, 1]);
    }, every);
    void this.closed.then(() => clearInterval(timer));
  }

  /** Say goodbye, and close. */
  goodbye(code = "closing", text = "the client has closed"): void {
    if (this.ended) return;
    if (this._phase !== "offer") this.put([ROW_GOODBYE, code, text.slice(0, 1024)]);
    this.lost(new ConnectionLost(code, text));
    this.transport.close();
  }

  /** End the connection because of a fault of the peer. */
  fault(error: unknown): void {
    this.goodbye("error", error instanceof Error ? error.message : String(error));
  }

  /** The connection has ended. */
  lost(why = new ConnectionLost()): void {
    if (this.ended) return;
    this.ended = why;
    this._isReady(why);
    this._incoming.lost(why);
    this._reading.lost(why);
    this._producing.lost();
    this._calls.lost(why);
    this._owned.clear();
    this._followed.clear();
    this._imports.clear();
    this.exports.clear();
    this._isClosed(why);
  }
}
