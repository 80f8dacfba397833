/** The streams that this end reads. */
import { type ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { countItems, readItems } from "./frames.ts";
import { word } from "./jellier.ts";
import { ROW_CREDIT, ROW_ITEMS, ROW_PIECE, ROW_STOP } from "./rows.ts";
import { type Credit, type StreamHost, least } from "./streams.ts";
import { MINE } from "./terms.ts";
import { Unjellier, malformedJelly } from "./unjellier.ts";
import type { Expression } from "./values.ts";

/** The credit in bytes of a stream of pieces, and of all streams together. */
const LARGE_WINDOW = 1_048_576;
const ALL_WINDOWS = 16_777_216;

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
  private _streams: IncomingStreams;

  /** @internal */
  constructor(streams: IncomingStreams, stream: Incoming, size: number | undefined) {
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

/** The streams of the peer that are open. */
export class IncomingStreams {
  private _open = new Map<number, Incoming>();
  private _host: StreamHost;
  private _dropped = new FinalizationRegistry<Incoming>((stream) => this.stop(stream));

  constructor(host: StreamHost) {
    this._host = host;
  }

  /** Take a stream of the peer. */
  receive(number: number, size: number | undefined, first?: Credit): RemoteStream {
    if (this._open.has(number)) throw malformedJelly(`stream ${number} is open already`);
    const stream = new Incoming(number, least(MINE, first));
    this._open.set(number, stream);
    if (this._open.size > MINE.streams) {
      this.stop(stream);
      if (this._open.size > 2 * MINE.streams)
        this._host.fault(new ProtocolError("too many streams"));
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
      const known = this._open.get(number);
      if (known) {
        if (opened.includes(number)) this.stop(known);
      } else if (typeof number === "number" && this._open.size <= 2 * MINE.streams) {
        const stream = new Incoming(number, least(MINE));
        this._open.set(number, stream);
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
    const stream = this._open.get(number);
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
    for (const each of this._open.values()) all += each.first.bytes;
    if (extra <= 0 || stream.first.bytes < MINE.window || all > ALL_WINDOWS) return;
    stream.first.bytes += extra;
    stream.left.bytes += extra;
    this._host.put([ROW_CREDIT, stream.number, 0, extra]);
  }

  /** Receive the end of a stream. */
  end(number: number, failure: Expression | null | undefined): void {
    const stream = this._made(number);
    stream.ended = true;
    this._open.delete(number);
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
          row === ROW_ITEMS
            ? (read as unknown[])
            : new Unjellier(this._host).read(read as Expression);
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

  /** The connection has ended. */
  lost(why: ConnectionLost): void {
    for (const stream of this._open.values()) {
      stream.ended = true;
      stream.failure = why;
      stream.wake?.();
    }
    this._open.clear();
  }
}
