/** The streams that this end reads. */
import { type ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { countItems, readItems } from "./frames.ts";
import { word } from "./jellier.ts";
import { ROW_CREDIT, ROW_ITEMS, ROW_PIECE, ROW_STOP } from "./rows.ts";
import type { Session } from "./session.ts";
import { type Credit, grant, least, sleep } from "./streams.ts";
import { MINE } from "./terms.ts";
import { malformedJelly, unjelly } from "./unjellier.ts";
import type { Expression } from "./values.ts";

/** The credit in bytes of a stream of pieces, and of all streams together. */
const LARGE_WINDOW = 1_048_576;
const ALL_WINDOWS = 16_777_216;

/** A stream that this end reads. */
interface Incoming {
  number: number;
  frames: { row: number; bytes: Uint8Array; items: number; size: number }[];
  /** Items that are decoded, and were not taken. */
  ready: unknown[];
  first: Credit;
  left: Credit;
  used: Credit;
  ended?: boolean;
  stopped?: boolean;
  failure?: unknown;
  wake?: (() => void) | undefined;
}

const OVER = { done: true, value: undefined } as const;

/**
 * A stream of the peer: `for await (const item of stream)`. Leaving the loop stops it, and so does
 * `stop()`, or the collection of this object.
 */
export class RemoteStream<T = any> implements AsyncIterableIterator<T, void> {
  /** The number of items that the producer has told, or of bytes where the items are bytes. */
  readonly size: number | undefined;
  /** The items that were taken. */
  received = 0;
  private _take!: () => Promise<IteratorResult<T, void>>;
  /** Take no more items. */
  readonly stop!: () => void;

  /** @internal */
  constructor(
    size: number | undefined,
    _take: () => Promise<IteratorResult<unknown, void>>,
    stop: () => void,
  ) {
    Object.assign(this, { size, _take, stop });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Return the next item. */
  async next(): Promise<IteratorResult<T, void>> {
    const taken = await this._take();
    if (!taken.done) this.received++;
    return taken;
  }

  /** Take no more items. */
  async return(): Promise<IteratorResult<T, void>> {
    this.stop();
    return OVER;
  }
}

/** The streams of the peer that are open. */
export class IncomingStreams {
  private _open = new Map<number, Incoming>();
  private _session: Session;
  private _dropped = new FinalizationRegistry<Incoming>((stream) => this._stop(stream));
  /** The streams that the message that is being read has opened, and their first credit. */
  opened: number[] = [];
  credit: Credit | undefined;

  constructor(session: Session) {
    this._session = session;
  }

  private _add(number: number): Incoming {
    const first = least(MINE, this.credit);
    const used = { items: 0, bytes: 0 };
    const stream: Incoming = { number, frames: [], ready: [], first, left: { ...first }, used };
    this._open.set(number, stream);
    return stream;
  }

  /** Take a stream of the peer. */
  receive(number: number, size: number | undefined): RemoteStream {
    if (this._open.has(number)) throw malformedJelly(`stream ${number} is open already`);
    const stream = this._add(number);
    if (this._open.size > MINE.streams) {
      this._stop(stream);
      if (this._open.size > 2 * MINE.streams)
        this._session.fault(new ProtocolError("too many streams"));
      throw new RemoteError(NAMES.limit, `more than ${MINE.streams} streams (max_streams)`);
    }
    this.opened.push(number);
    const stop = () => this._stop(stream);
    const reader = new RemoteStream(size, () => this._take(stream), stop);
    this._dropped.register(reader, stream);
    return reader;
  }

  /** Stop the streams in an expression whose message is refused: those that it has opened, and those
   * that were not read. */
  refuse(e: unknown): void {
    if (!Array.isArray(e)) return;
    const [tag, number] = e;
    if (tag instanceof Uint8Array && e.length > 1 && tag.join() === word("stream").join()) {
      const known = this._open.get(number);
      if (known) {
        if (this.opened.includes(number)) this._stop(known);
      } else if (typeof number === "number" && this._open.size <= 2 * MINE.streams)
        this._stop(this._add(number));
    } else for (const each of e) this.refuse(each);
  }

  private _stop(stream: Incoming): void {
    stream.frames = [];
    stream.ready = [];
    if (!stream.stopped && !stream.ended) this._session.put([ROW_STOP, stream.number]);
    stream.stopped = true;
    stream.wake?.();
  }

  private _made(number: number): Incoming {
    const stream = this._open.get(number);
    if (!stream) throw new ProtocolError(`stream ${number} is not open`);
    return stream;
  }

  /** Receive items. */
  items(row: number, number: number, bytes: Uint8Array, size: number): void {
    const stream = this._made(number);
    const { left } = stream;
    const items = row === ROW_PIECE ? 1 : countItems(row, bytes);
    const tooMany = items - left.items;
    if (tooMany > 0 || left.bytes <= 0) {
      const what = tooMany > 0 ? `${tooMany} items beyond its credit` : "a frame beyond its credit of bytes";
      throw new ProtocolError(`stream ${number}: ${what}`);
    }
    grant(left, -items, -size);
    if (stream.stopped) return;
    if (row === ROW_PIECE) this._enlarge(stream);
    stream.frames.push({ row, bytes, items, size });
    stream.wake?.();
  }

  /** Give more bytes to a stream of pieces, as long as all streams together have no more than 16 MiB. */
  private _enlarge({ number, first, left }: Incoming): void {
    const extra = LARGE_WINDOW - first.bytes;
    let all = extra;
    for (const each of this._open.values()) all += each.first.bytes;
    if (extra <= 0 || first.bytes < MINE.window || all > ALL_WINDOWS) return;
    grant(first, 0, extra);
    grant(left, 0, extra);
    this._session.put([ROW_CREDIT, number, 0, extra]);
  }

  /** Receive the end of a stream. */
  end(number: number, failure: Expression | null | undefined): void {
    const stream = this._made(number);
    this._open.delete(number);
    try {
      if (failure) stream.failure = unjelly(failure, this._session);
    } catch (error) {
      stream.failure = error;
    }
    this._end(stream);
  }

  private _end(stream: Incoming): void {
    stream.ended = true;
    stream.wake?.();
  }

  /** Return the next item of a stream. */
  private async _take(stream: Incoming): Promise<IteratorResult<unknown, void>> {
    if (stream.wake) throw new TypeError("this stream is being read");
    while (!stream.ready.length) {
      const { failure } = stream;
      if (stream.frames.length) this._decode(stream);
      else if (failure !== undefined) {
        stream.failure = undefined;
        throw failure;
      } else if (stream.ended || stream.stopped) return OVER;
      else {
        await sleep(stream);
        stream.wake = undefined;
      }
    }
    return { done: false, value: stream.ready.shift() };
  }

  /** Decode a frame, and give its credit back when half of the credit is used. */
  private _decode(stream: Incoming): void {
    const { number, first, used, left } = stream;
    const { row, bytes, items, size } = stream.frames.shift()!;
    const session = this._session;
    try {
      const read = row === ROW_PIECE ? [bytes] : readItems(row, bytes);
      stream.ready =
        row === ROW_ITEMS || row === ROW_PIECE ? read : unjelly(read as Expression, session);
      if (!Array.isArray(stream.ready)) throw new ProtocolError("malformed message: no list");
    } catch (error) {
      if (error instanceof ProtocolError) session.fault(error);
      else this._stop(stream);
      throw error;
    }
    grant(used, items, size);
    const isLittle = used.items * 2 < first.items && used.bytes * 2 < first.bytes;
    if (stream.ended || stream.stopped || isLittle) return;
    grant(left, used.items, used.bytes);
    session.put([ROW_CREDIT, number, used.items, used.bytes]);
    stream.used = { items: 0, bytes: 0 };
  }

  /** The connection has ended. */
  lost(why: ConnectionLost): void {
    for (const stream of this._open.values()) {
      stream.failure = why;
      this._end(stream);
    }
    this._open.clear();
  }
}
