/** The streams that this end reads. */
import { type ConnectionLost, ProtocolError, fault, malformed, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { countItems, readItems } from "./frames.ts";
import { word } from "./jellier.ts";
import { ROW_CREDIT, ROW_ITEM_GRAPH, ROW_PIECE, ROW_STOP } from "./rows.ts";
import type { Session } from "./session.ts";
import { type Credit, grant, least, sleep } from "./streams.ts";
import { MINE } from "./terms.ts";
import { check } from "./unjellier.ts";
import type { Expression } from "./values.ts";

/** The credit in bytes of a stream of pieces, and of all streams together. */
const LARGE_WINDOW = 1_048_576;
const ALL_WINDOWS = 16_777_216;

/** A stream that this end reads. */
interface Incoming {
  number: number;
  frames: { row: number; body: Uint8Array; count: number; length: number }[];
  /** Items that are decoded, and were not taken. */
  ready: unknown[];
  granted: Credit;
  left: Credit;
  used: Credit;
  ended?: boolean;
  stopped?: boolean;
  failure?: unknown;
  wake?: (() => void) | undefined;
}

const OVER = { done: true } as IteratorReturnResult<void>;

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
export interface IncomingStreams {
  /** Begin to read a message. Its streams have this first credit. */
  begin(credit?: Credit): void;
  /** Take a stream of the peer. */
  receive(number: number, size: number | undefined): RemoteStream;
  /** Stop the streams in an expression whose message is refused: those that it has opened, and those
   * that were not read. */
  refuse(e: unknown): void;
  /** Receive items. */
  receiveItems(number: number, body: Uint8Array, _: unknown, length: number, row: number): void;
  /** Receive the end of a stream. */
  receiveEnd(number: number, failure: Expression | null | undefined): void;
  /** The connection has ended. */
  lost(why: ConnectionLost): void;
}

/** Return the streams of the peer of a session. */
export function createIncomingStreams(session: Session): IncomingStreams {
  const open = new Map<number, Incoming>();
  /** The streams that the message that is being read has opened, and their first credit. */
  let opened: number[];
  let credit: Credit | undefined;

  const stop = (stream: Incoming) => {
    const { number, stopped, ended } = stream;
    Object.assign(stream, { frames: [], ready: [], stopped: true });
    if (!stopped && !ended) session.put([ROW_STOP, number]);
    stream.wake?.();
  };

  const end = (stream: Incoming, failure: unknown) => {
    Object.assign(stream, { ended: true, failure });
    stream.wake?.();
  };

  const dropped = new FinalizationRegistry(stop);

  const add = (number: number) => {
    const granted = least(MINE, credit);
    const used = { items: 0, bytes: 0 };
    const stream: Incoming = { number, frames: [], ready: [], granted, left: { ...granted }, used };
    open.set(number, stream);
    return stream;
  };

  const made = (number: number) => open.get(number) ?? fault(`stream ${number} is not open`);

  /** Give more credit for bytes to a stream of pieces, as long as all have no more than 16 MiB. */
  const enlarge = ({ number, granted, left }: Incoming) => {
    const extra = LARGE_WINDOW - granted.bytes;
    let all = extra;
    for (const each of open.values()) all += each.granted.bytes;
    if (extra <= 0 || granted.bytes < MINE.window || all > ALL_WINDOWS) return;
    grant(granted, 0, extra);
    grant(left, 0, extra);
    session.put([ROW_CREDIT, number, 0, extra]);
  };

  /** Decode a frame, and give its credit back when half of the credit is used. */
  const decode = (stream: Incoming) => {
    const { number, granted, used, left } = stream;
    const { row, body, count, length } = stream.frames.shift()!;
    try {
      const read = row === ROW_PIECE ? [body] : readItems(row, body);
      const ready = row === ROW_ITEM_GRAPH ? session.read(read as Expression) : read;
      if (!Array.isArray(ready)) malformed("no list");
      stream.ready = ready;
    } catch (error) {
      if (error instanceof ProtocolError) session.fault(error);
      else stop(stream);
      throw error;
    }
    grant(used, count, length);
    const isLittle = used.items * 2 < granted.items && used.bytes * 2 < granted.bytes;
    if (stream.ended || stream.stopped || isLittle) return;
    grant(left, used.items, used.bytes);
    session.put([ROW_CREDIT, number, used.items, used.bytes]);
    stream.used = { items: 0, bytes: 0 };
  };

  /** Return the next item of a stream. */
  const take = async (stream: Incoming): Promise<IteratorResult<unknown, void>> => {
    if (stream.wake) throw new TypeError("this stream is being read");
    while (!stream.ready.length) {
      const { failure } = stream;
      if (stream.frames.length) decode(stream);
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
  };

  const drop = (e: unknown): void => {
    if (!Array.isArray(e)) return;
    credit = undefined;
    const [tag, number] = e;
    if (tag instanceof Uint8Array && e.length > 1 && tag.join() === word("stream").join()) {
      const known = open.get(number);
      if (known) {
        if (opened.includes(number)) stop(known);
      } else if (typeof number === "number" && open.size <= 2 * MINE.streams) stop(add(number));
    } else e.forEach(drop);
  };

  return {
    refuse: drop,

    begin(first) {
      opened = [];
      credit = first;
    },

    receive(number, size) {
      check(!open.has(number), `stream ${number} is open already`);
      const stream = add(number);
      if (open.size > MINE.streams) {
        stop(stream);
        if (open.size > 2 * MINE.streams) session.fault(new ProtocolError("too many streams"));
        refuse(NAMES.limit, `more than ${MINE.streams} streams (max_streams)`);
      }
      opened.push(number);
      const reader = new RemoteStream(
        size,
        () => take(stream),
        () => stop(stream),
      );
      dropped.register(reader, stream);
      return reader;
    },

    receiveItems(number, body, _, length, row) {
      const stream = made(number);
      const { left } = stream;
      const count = row === ROW_PIECE ? 1 : countItems(row, body);
      const excess = count - left.items;
      if (excess > 0 || left.bytes <= 0) {
        const what = excess > 0 ? `${excess} items` : "a frame";
        const of = excess > 0 ? "" : " of bytes";
        fault(`stream ${number}: ${what} beyond its credit${of}`);
      }
      grant(left, -count, -length);
      if (stream.stopped) return;
      if (row === ROW_PIECE) enlarge(stream);
      stream.frames.push({ row, body, count, length });
      stream.wake?.();
    },

    receiveEnd(number, failure) {
      const stream = made(number);
      let error: unknown;
      open.delete(number);
      try {
        if (failure) error = session.read(failure);
      } catch (other) {
        error = other;
      }
      end(stream, error);
    },

    lost(why) {
      for (const stream of open.values()) end(stream, why);
      open.clear();
    },
  };
}
