/** Streams: those that this end reads, and those that it produces, each with credit. */
import {
  ROW_CREDIT,
  ROW_END,
  ROW_ITEM_GRAPH,
  ROW_ITEMS,
  ROW_PIECE,
  ROW_STOP,
} from "./rows.ts";
import { ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { countItems, readItems } from "./frames.ts";
import { Jellier, type Sender, arePlain, word } from "./jellier.ts";
import { BASELINE, MINE, type Terms } from "./terms.ts";
import { type Receiver, Unjellier, malformedJelly } from "./unjellier.ts";
import type { Expression } from "./values.ts";

/** The credit in bytes of a stream of pieces, and of all streams together. */
const LARGE_WINDOW = 1_048_576;
const ALL_WINDOWS = 16_777_216;

/** The most bytes, and the most items, of a message with more than one item. */
const MOST_ITEMS = 65_536;
const MOST_BATCH = 256;

/** A number of items, and of bytes. */
export interface Credit {
  items: number;
  bytes: number;
}

/** Return the first credit in the metadata of a call, if there is a legal one. */
export function creditIn(meta: Record<string, string> | null | undefined): Credit | undefined {
  const [, items, bytes] = /^(\d{1,10}),(\d{1,10})$/.exec(meta?.credit ?? "") ?? [];
  if (!items) return undefined;
  return { items: Math.max(1, Number(items)), bytes: Math.max(1, Number(bytes)) };
}

/** A stream to send: the items of an iterable, and how many items, or bytes, they are. */
export class Stream<T = unknown> {
  readonly items: AsyncIterable<T> | Iterable<T>;
  readonly size: number | undefined;
  constructor(items: AsyncIterable<T> | Iterable<T>, size?: number) {
    this.items = items;
    this.size = size;
  }

  /** End a stream that is not sent. */
  close(): void {
    const { items } = this as any;
    Promise.resolve(items.return?.()).catch(() => {});
  }
}

/** Return what is sent as a stream: a Stream, or one of an async generator; else undefined. */
export function streamOf(value: unknown): Stream | undefined {
  if (value instanceof Stream) return value;
  const isGenerator = Object.prototype.toString.call(value) === "[object AsyncGenerator]";
  return isGenerator ? new Stream(value as AsyncIterable<unknown>) : undefined;
}

/** What streams ask of their session. */
export interface StreamHost extends Sender, Receiver {
  /** Write a message; return the bytes of its frame, of which there are at most so many. */
  put(message: unknown[], most?: number): number;
  nextNumber(): number;
  fault(error: unknown): void;
  failure(error: unknown): Expression;
}

/** A stream that this end reads. */
class Incoming {
  frames: { row: number; bytes: Uint8Array; items: number; size: number }[] = [];
  /** Items that are decoded, and were not taken. */
  ready: unknown[] = [];
  left: Credit;
  used: Credit = { items: 0, bytes: 0 };
  first: Credit;
  ended = false;
  stopped = false;
  failure: unknown;
  wake: (() => void) | undefined;
  number: number;

  constructor(number: number, first: Credit) {
    this.number = number;
    this.first = first;
    this.left = { ...first };
  }
}

/**
 * A stream of the peer: `for await (const item of stream)`. Leaving the loop stops it, and so does
 * `stop()`, or the collection of this object.
 */
export class RemoteStream<T = any> implements AsyncIterableIterator<T, void> {
  /** The number of items that the producer has told, or of bytes where the items are bytes. */
  readonly size: number | undefined;
  /** The items that were taken. */
  received = 0;
  private _stream: Incoming;
  private _streams: Streams;

  /** @internal */
  constructor(streams: Streams, stream: Incoming, size: number | undefined) {
    this._streams = streams;
    this._stream = stream;
    this.size = size;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Return the next item. */
  async next(): Promise<IteratorResult<T, void>> {
    const value = await this._streams.take(this._stream);
    if (!value) return { done: true, value: undefined };
    this.received++;
    return { done: false, value: value[0] as T };
  }

  /** Take no more items. */
  async return(): Promise<IteratorResult<T, void>> {
    this.stop();
    return { done: true, value: undefined };
  }

  /** Take no more items. */
  stop(): void {
    this._streams.stop(this._stream);
  }
}

/** A stream that this end produces. */
class Outgoing {
  readonly number: number;
  readonly iterator: AsyncIterator<unknown> | Iterator<unknown>;
  readonly credit: Credit;
  over = false;
  wake: (() => void) | undefined;

  constructor(number: number, items: any, credit: Credit) {
    this.number = number;
    this.iterator = (items[Symbol.asyncIterator] ?? items[Symbol.iterator]).call(items);
    this.credit = credit;
  }

  grant(items: number, bytes: number): void {
    this.credit.items += items;
    this.credit.bytes += bytes;
    this.wake?.();
  }
}

const least = (terms: Terms, first?: Credit): Credit => ({
  items: Math.min(terms.items, first?.items ?? Infinity),
  bytes: Math.min(terms.window, first?.bytes ?? Infinity),
});

/** The open streams of a connection. */
export class Streams {
  private _incoming = new Map<number, Incoming>();
  private _outgoing = new Map<number, Outgoing>();
  private _terms = BASELINE;
  private _last = 0;
  private _host: StreamHost;
  private _sent = new WeakSet<object>();
  private _dropped = new FinalizationRegistry<Incoming>((stream) => this.stop(stream));

  constructor(host: StreamHost) {
    this._host = host;
  }

  /** Use the terms of the peer, also for the streams that were opened before they came. */
  takeTerms(terms: Terms): void {
    const before = this._terms;
    this._terms = terms;
    for (const stream of this._outgoing.values())
      stream.grant(terms.items - before.items, terms.window - before.window);
  }

  // -- reading -------------------------------------------------------------------------------

  /** Take a stream of the peer. */
  receive(number: number, size: number | undefined, first?: Credit): RemoteStream {
    if (this._incoming.has(number)) throw malformedJelly(`stream ${number} is open already`);
    const stream = new Incoming(number, least(MINE, first));
    this._incoming.set(number, stream);
    if (this._incoming.size > MINE.streams) {
      this.stop(stream);
      if (this._incoming.size > 2 * MINE.streams) this._host.fault(new ProtocolError("too many streams"));
      throw new RemoteError(NAMES.limit, `more than ${MINE.streams} streams (max_streams)`);
    }
    const reader = new RemoteStream(this, stream, size);
    this._dropped.register(reader, stream);
    return reader;
  }

  /** Stop the streams in an expression whose message is refused: those that it has opened, and those
   * that were not read. */
  refuse(e: unknown, opened: number[]): void {
    if (!Array.isArray(e)) return;
    const [tag, number] = e;
    if (tag instanceof Uint8Array && e.length > 1 && tag.join() === word("stream").join()) {
      const known = this._incoming.get(number);
      if (known) {
        if (opened.includes(number)) this.stop(known);
      } else if (typeof number === "number" && this._incoming.size <= 2 * MINE.streams) {
        const stream = new Incoming(number, least(MINE));
        this._incoming.set(number, stream);
        this.stop(stream);
      }
    } else e.forEach((each) => this.refuse(each, opened));
  }

  stop(stream: Incoming): void {
    stream.frames = [];
    stream.ready = [];
    if (!stream.stopped && !stream.ended) this._host.put([ROW_STOP, stream.number]);
    stream.stopped = true;
    stream.wake?.();
  }

  private _made(number: number): Incoming {
    const stream = this._incoming.get(number);
    if (!stream || stream.ended) throw new ProtocolError(`stream ${number} is not open`);
    return stream;
  }

  /** Receive items. */
  items(row: number, number: number, bytes: Uint8Array, size: number): void {
    const stream = this._made(number);
    const items = row === ROW_PIECE ? 1 : countItems(row, bytes);
    const { left } = stream;
    if (left.items < items)
      throw new ProtocolError(`stream ${number}: ${items - left.items} items beyond its credit`);
    if (left.bytes <= 0)
      throw new ProtocolError(`stream ${number}: a frame beyond its credit of bytes`);
    left.items -= items;
    left.bytes -= size;
    if (stream.stopped) return;
    if (row === ROW_PIECE) this._enlarge(stream);
    stream.frames.push({ row, bytes, items, size });
    stream.wake?.();
  }

  /** Give more bytes to a stream of pieces, as long as all streams together have no more than 16 MiB. */
  private _enlarge(stream: Incoming): void {
    const extra = LARGE_WINDOW - stream.first.bytes;
    let all = extra;
    for (const each of this._incoming.values()) all += each.first.bytes;
    if (extra <= 0 || stream.first.bytes < MINE.window || all > ALL_WINDOWS) return;
    stream.first.bytes += extra;
    stream.left.bytes += extra;
    this._host.put([ROW_CREDIT, stream.number, 0, extra]);
  }

  /** Receive the end of a stream. */
  end(number: number, failure: Expression | null | undefined): void {
    const stream = this._made(number);
    stream.ended = true;
    this._incoming.delete(number);
    if (failure) {
      try {
        stream.failure = new Unjellier(this._host).read(failure);
      } catch (error) {
        stream.failure = error;
      }
    }
    stream.wake?.();
  }

  /** Return the next item of a stream in an array, or undefined at its end. */
  async take(stream: Incoming): Promise<[unknown] | undefined> {
    if (stream.wake) throw new TypeError("this stream is being read");
    for (;;) {
      if (stream.ready.length) return [stream.ready.shift()];
      if (stream.frames.length) {
        this._decode(stream);
        continue;
      }
      if (stream.failure !== undefined) {
        const { failure } = stream;
        stream.failure = undefined;
        throw failure;
      }
      if (stream.ended || stream.stopped) return undefined;
      await new Promise<void>((resolve) => (stream.wake = resolve));
      stream.wake = undefined;
    }
  }

  private _decode(stream: Incoming): void {
    const { row, bytes, items, size } = stream.frames.shift()!;
    try {
      if (row === ROW_PIECE) stream.ready = [bytes];
      else {
        const read = readItems(row, bytes);
        stream.ready =
          row === ROW_ITEMS ? (read as unknown[]) : new Unjellier(this._host).read(read as Expression);
        if (!Array.isArray(stream.ready)) throw new ProtocolError("malformed message: no list");
      }
    } catch (error) {
      if (error instanceof ProtocolError) this._host.fault(error);
      else this.stop(stream);
      throw error;
    }
    this._giveBack(stream, items, size);
  }

  /** Give credit back for items that the program takes, when half of it is used. */
  private _giveBack(stream: Incoming, items: number, size: number): void {
    const { used, first, left } = stream;
    used.items += items;
    used.bytes += size;
    if (stream.ended || stream.stopped) return;
    if (used.items * 2 < first.items && used.bytes * 2 < first.bytes) return;
    left.items += used.items;
    left.bytes += used.bytes;
    this._host.put([ROW_CREDIT, stream.number, used.items, used.bytes]);
    stream.used = { items: 0, bytes: 0 };
  }

  // -- producing -----------------------------------------------------------------------------

  /** Add a stream to an expression; it begins when the message is sent. */
  open(stream: Stream, out: Expression[], jellier: Jellier): void {
    const { items, size } = stream;
    if (this._sent.has(items)) throw new RemoteError(NAMES.cannot, "this stream has been sent");
    const most = Math.min(this._terms.streams, MINE.streams);
    if (this._outgoing.size >= most)
      throw new RemoteError(NAMES.busy, `${most} streams open (max_streams)`);
    const number = (this._last = this._host.nextNumber());
    const outgoing = new Outgoing(number, items, least(this._terms, jellier.credit));
    this._outgoing.set(number, outgoing);
    this._sent.add(items);
    jellier.undo.push(() => {
      this._outgoing.delete(number);
      this._sent.delete(items);
    });
    jellier.sent.push(() => void this._produce(outgoing));
    out.push([word("stream"), number, ...(size === undefined ? [] : [size])]);
  }

  private async _produce(stream: Outgoing): Promise<void> {
    const { credit, iterator } = stream;
    const batch: unknown[] = [];
    let failure: Expression | undefined;
    const pull = async () => {
      try {
        return await iterator.next();
      } catch (error) {
        // The items before an error go out before it.
        this._send(stream, batch.splice(0));
        throw error;
      }
    };
    try {
      for (;;) {
        // Items that are ready go out together.
        const next = pull();
        if (batch.length && !(await isReady(next))) this._send(stream, batch.splice(0));
        const { done, value } = await next;
        if (stream.over) return;
        if (!done) batch.push(value);
        if (done || batch.length >= Math.min(credit.items, MOST_BATCH))
          this._send(stream, batch.splice(0));
        if (done) break;
        while ((credit.items <= 0 || credit.bytes <= 0) && !stream.over)
          await new Promise<void>((resolve) => (stream.wake = resolve));
      }
    } catch (error) {
      failure = this._host.failure(error);
      this._close(stream);
    }
    if (!stream.over) this._end(stream, failure);
  }

  /** Send items in as few messages as their types and sizes allow. */
  private _send(stream: Outgoing, items: unknown[]): void {
    const row = (item: unknown) =>
      item instanceof Uint8Array ? ROW_PIECE : arePlain([item]) ? ROW_ITEMS : ROW_ITEM_GRAPH;
    for (let from = 0, to = 0; from < items.length; from = to) {
      const kind = row(items[to++]);
      if (kind !== ROW_PIECE) while (to < items.length && row(items[to]) === kind) to++;
      this._sendOf(stream, kind, items.slice(from, to));
    }
  }

  private _sendOf(stream: Outgoing, row: number, items: unknown[]): void {
    const { number, credit } = stream;
    const most = items.length > 1 ? MOST_ITEMS : undefined;
    try {
      const jellier = new Jellier(this._host);
      const message = () => {
        if (row === ROW_PIECE) return [row, number, items[0]];
        return [row, number, row === ROW_ITEMS ? items : jellier.write(items)];
      };
      credit.bytes -= putGraph(this._host, jellier, message, most);
      credit.items -= items.length;
    } catch (error) {
      if (most === undefined) throw error;
      const half = items.length >> 1;
      this._sendOf(stream, row, items.slice(0, half));
      this._sendOf(stream, row, items.slice(half));
    }
  }

  private _end(stream: Outgoing, failure?: Expression): void {
    stream.over = true;
    this._outgoing.delete(stream.number);
    this._host.put([ROW_END, stream.number, ...(failure ? [failure] : [])]);
  }

  private _close(stream: Outgoing): void {
    // The producer may fail at its end; its reader has gone.
    Promise.resolve(stream.iterator.return?.()).catch(() => {});
  }

  private _read(number: number): Outgoing | undefined {
    if (number > this._last || number < 1) throw new ProtocolError(`stream ${number} is not open`);
    return this._outgoing.get(number);
  }

  /** Receive credit from the reader of a stream. */
  credit(number: number, items: number, bytes: number): void {
    this._read(number)?.grant(items, bytes);
  }

  /** The reader of a stream wants no more. */
  stopped(number: number): void {
    const stream = this._read(number);
    if (!stream) return;
    this._end(stream);
    stream.wake?.();
    this._close(stream);
  }

  /** The connection has ended. */
  lost(why: ConnectionLost): void {
    for (const stream of this._incoming.values()) {
      stream.ended = true;
      stream.failure = why;
      stream.wake?.();
    }
    for (const stream of this._outgoing.values()) {
      stream.over = true;
      stream.wake?.();
      this._close(stream);
    }
    this._incoming.clear();
    this._outgoing.clear();
  }
}

/** Write a message with expressions; what it would open is undone if it cannot be written. */
export function putGraph(
  host: { put(message: unknown[], most?: number): number },
  jellier: Jellier,
  make: () => unknown[],
  most?: number,
): number {
  let size: number;
  try {
    size = host.put(make(), most);
  } catch (error) {
    for (const undo of jellier.undo.reverse()) undo();
    throw error;
  }
  for (const done of jellier.sent) done();
  return size;
}

/** Whether the next item of a generator is there without waiting for anything else. */
async function isReady(next: Promise<unknown>): Promise<boolean> {
  let ready = false;
  const note = () => {
    ready = true;
  };
  next.then(note, note);
  for (let turns = 0; turns < 6 && !ready; turns++) await null;
  return ready;
}
