/** One connection without its transport: bytes come in, and bytes go out. */
import {
  ROW_ANSWER,
  ROW_CACHE_SEND,
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
import { Calls } from "./calls.ts";
import { FollowedCaches, OwnedCaches } from "./caches.ts";
import { Bound } from "./contract.ts";
import { ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { type Target, readFrame } from "./frames.ts";
import { writeFailure } from "./failures.ts";
import { Framing } from "./framing.ts";
import { choice, readOffer } from "./handshake.ts";
import { IncomingCalls, callOwn } from "./incoming.ts";
import { type Jellier, type Sender, cannot, idOf, word } from "./jellier.ts";
import { RemotePromise } from "./promise.ts";
import { Exports, ReceivedObjects, RemoteReference } from "./references.ts";
import { Cacheable, Referenceable, RemoteCache, nameOf } from "./registry.ts";
import { IncomingStreams } from "./incoming_streams.ts";
import { OutgoingStreams } from "./outgoing_streams.ts";
import { streamOf } from "./streams.ts";
import { BASELINE, MINE, type Terms, readTerms } from "./terms.ts";
import type { Draining, Transport } from "./transport.ts";
import { type Receiver, unjelly } from "./unjellier.ts";
import { type Expression, Tuple } from "./values.ts";
import { frameWriter } from "./writer.ts";

const VERSION = 6;
const MOST_PINGS = 40;

/** A promise, and what settles it. */
function deferred<T>(): [Promise<T>, (value: T) => void, (error: Error) => void] {
  let settle!: [(value: T) => void, (error: Error) => void];
  const promise = new Promise<T>((...both) => (settle = both));
  return [promise, ...settle];
}

/** The session of one connection. */
export class Session implements Sender, Receiver {
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
  readonly callOwn = callOwn;

  /** What carries the bytes. */
  transport: Transport = { write() {}, close() {} };
  private _framing = new Framing();
  private _write = frameWriter();
  private _hasBegun = false;
  private _terms: Terms | undefined;
  private _number = 0;
  private _pings = 0;
  /** Ticks of the watch without a byte of the peer. */
  private _silence = 0;
  private _calls = new Calls(this);
  private _incoming = new IncomingCalls(this);
  private _imports: ReceivedObjects<RemoteReference>;
  private _followed: FollowedCaches;
  private _owned: OwnedCaches;
  private _reading = new IncomingStreams(this);
  private _producing = new OutgoingStreams(this);
  private _isReady: () => void;
  private _isNotReady: (error: Error) => void;
  private _isClosed: (why: ConnectionLost) => void;
  private _isDraining: () => void;
  private _hasTerms: (terms: Terms) => void;

  constructor() {
    const next = () => this.nextNumber();
    const tells = (row: number) => (number: number, count: number) =>
      void this.put([row, number, count]);
    this.exports = new Exports(next, "decref of object");
    this._imports = new ReceivedObjects(tells(ROW_DECREF));
    this._followed = new FollowedCaches(tells(ROW_DECACHE));
    this._owned = new OwnedCaches(this._calls, next);
    this.root = new RemoteReference(this._calls, "root");
    [this.ready, this._isReady, this._isNotReady] = deferred<void>();
    [this.closed, this._isClosed] = deferred<ConnectionLost>();
    [this.drains, this._isDraining] = deferred<void>();
    [this.terms, this._hasTerms] = deferred<Terms>();
    this.ready.catch(() => {});
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
    this._hasBegun = true;
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
      if (data && !this._hasBegun) data = this._offer(data);
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
  put(message: unknown[], most = (this._terms ?? MINE).frame): number {
    if (this.ended) return 0;
    const frame = this._write(message);
    const size = frame.length - 4;
    if (size > most)
      throw new RemoteError(
        NAMES.large,
        `a message of ${size} bytes; the peer takes ${most} (frame)`,
      );
    this.transport.write(frame);
    return size;
  }

  // -- messages ------------------------------------------------------------------------------

  /** Handle a frame; return whether the connection goes on. */
  private _frame(body: Uint8Array): boolean {
    const [row, ...fields] = readFrame(body);
    const [first, second, third] = fields;
    if (!this._terms) this._version(row, first, second);
    else if (row === ROW_VERSION) throw new ProtocolError("a second version");
    else if (row <= ROW_CACHE_SEND) this._called(row, fields, false);
    else if (row === ROW_GRAPH && first <= ROW_CACHE_SEND)
      this._called(first, [...fields.slice(1, 4), ...fields[4], ...fields.slice(5)], true);
    else this._other(row, first, second, third, fields[4], body.length);
    return !this.ended;
  }

  private _version(row: number, number: number, terms: Record<string, number>): void {
    if (row !== ROW_VERSION) throw new ProtocolError("the first frame is not the version");
    if (number !== VERSION)
      throw new ProtocolError(`the peer speaks version ${number}, not ${VERSION}`);
    this._terms = readTerms(terms);
    this._producing.takeTerms(this._terms);
    this._hasTerms(this._terms);
  }

  private _other(row: number, first: any, second: any, third: any, graph: any, size: number): void {
    switch (row) {
      case ROW_GRAPH:
        return this._graph(first, second, graph);
      case ROW_ANSWER:
      case ROW_TUPLE:
        return this._calls.answered(first).settle(row === ROW_TUPLE ? Tuple.from(second) : second);
      case ROW_DECREF:
        return void this.exports.release(first, second ?? 1);
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
        return this._producing.credit(first, second, third);
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

  private _called(row: number, fields: any[], isGraph: boolean): void {
    this._reading.opened = [];
    const wasRun = this._incoming.receive(row, fields, isGraph);
    if (isGraph && !wasRun) this._reading.refuse(fields.slice(3, 5));
  }

  /** An answer, or an error, that is not plain. */
  private _graph(kind: number, id: number, expression: Expression): void {
    const call = this._calls.answered(id);
    const reading = this._reading;
    reading.opened = [];
    reading.credit = call.credit;
    let value: any;
    let failure: unknown;
    try {
      value = unjelly(expression, this);
    } catch (error) {
      failure = error;
    }
    reading.credit = undefined;
    if (failure !== undefined || call.settled) reading.refuse(expression);
    if (kind === ROW_GRAPH)
      failure ??= value instanceof Error ? value : new RemoteError("", String(value));
    if (failure === undefined) call.settle(value);
    else this._calls.reject(call, failure);
  }

  // -- what a session does with objects ------------------------------------------------------

  writeObject(value: object, jellier: Jellier): Expression | undefined {
    if (value instanceof Bound) return jellier.put(value._on);
    if (value instanceof RemoteReference) {
      if (value._caller !== this._calls) throw cannot("a reference of another connection");
      return [word("local"), idOf(value._id)];
    }
    if (value instanceof Referenceable)
      return [word("remote"), this.exports.add(value, jellier.undo).number];
    if (value instanceof RemoteCache) return this._followed.write(value);
    if (value instanceof Cacheable) return this._owned.write(value, jellier);
    if (value instanceof RemotePromise) return this._calls.write(value, jellier);
    if (value instanceof Error && !nameOf(value)) throw cannot("an error");
    const stream = streamOf(value);
    return stream && this._producing.open(stream, jellier);
  }

  /** The object that a call is for. */
  target(target: Target): object {
    if (!Array.isArray(target)) return this.exports.find(target);
    const text = "a promise cannot be called here (the term 'promised' is 0)";
    throw new RemoteError(NAMES.object, text);
  }

  core(number: number): RemoteCache {
    return this._followed.core(number);
  }

  remote(number: number): RemoteReference {
    return this._imports.receive(number, () => new RemoteReference(this._calls, number));
  }

  local(name: number | string): object {
    return this.exports.find(name);
  }

  lcache(number: number): Cacheable {
    return this._owned.find(number);
  }

  cached(number: number): RemoteCache {
    return this._followed.again(number);
  }

  cache(number: number, cls: new () => RemoteCache): [RemoteCache, (state: unknown) => void] {
    return this._followed.make(number, cls);
  }

  stream(number: number, size: number | undefined): unknown {
    return this._reading.receive(number, size);
  }

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
    const put = (error: unknown) =>
      this.put([ROW_GRAPH, ROW_GRAPH, id, 0, "", this.failure(error)]);
    try {
      put(error);
    } catch {
      put(new RemoteError(NAMES.large, "the error"));
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
    if (this._hasBegun) this.put([ROW_GOODBYE, code, text.slice(0, 1024)]);
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
    this._isNotReady(why);
    this._incoming.lost(why);
    this._reading.lost(why);
    this._producing.lost();
    this._calls.lost(why);
    this._owned.clear();
    this._followed.held.clear();
    this._imports.held.clear();
    this.exports.clear();
    this._isClosed(why);
  }
}
