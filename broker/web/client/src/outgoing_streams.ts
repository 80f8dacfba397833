/** The streams that this end produces. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { Jellier, arePlain, putGraph, word } from "./jellier.ts";
import { ROW_END, ROW_ITEM_GRAPH, ROW_ITEMS, ROW_PIECE } from "./rows.ts";
import type { Session } from "./session.ts";
import { type Credit, type Stream, close, grant, least, sleep } from "./streams.ts";
import { BASELINE, MINE, type Terms } from "./terms.ts";
import type { Expression } from "./values.ts";

/** The most bytes, and the most items, of a message with more than one item. */
const MOST_ITEMS = 65_536;
const MOST_BATCH = 256;

/** A stream that this end produces. */
interface Outgoing {
  number: number;
  iterator: any;
  credit: Credit;
  over?: boolean;
  wake?: () => void;
}

/** The streams to the peer that are open. */
export class OutgoingStreams {
  private _open = new Map<number, Outgoing>();
  private _terms = BASELINE;
  private _last = 0;
  private _session: Session;
  private _sent = new WeakSet<object>();

  constructor(session: Session) {
    this._session = session;
  }

  /** Use the terms of the peer, also for the streams that were opened before they came. */
  takeTerms(terms: Terms): void {
    const { items, window } = this._terms;
    this._terms = terms;
    for (const number of this._open.keys())
      this.credit(number, terms.items - items, terms.window - window);
  }

  /** Return the expression of a stream; it begins when the message is sent. */
  open({ items, size }: Stream, { credit, undo, sent }: Jellier): Expression {
    if (this._sent.has(items)) throw new RemoteError(NAMES.cannot, "this stream has been sent");
    const most = Math.min(this._terms.streams, MINE.streams);
    if (this._open.size >= most)
      throw new RemoteError(NAMES.busy, `${most} streams open (max_streams)`);
    const number = (this._last = this._session.nextNumber());
    const iterator = ((items as any)[Symbol.asyncIterator] ?? (items as any)[Symbol.iterator]).call(
      items,
    );
    const stream = { number, iterator, credit: least(this._terms, credit) };
    this._open.set(number, stream);
    this._sent.add(items);
    undo.push(() => {
      this._open.delete(number);
      this._sent.delete(items);
    });
    sent.push(() => void this._produce(stream));
    return [word("stream"), number, ...(size === undefined ? [] : [size])];
  }

  private async _produce(stream: Outgoing): Promise<void> {
    const { credit, iterator } = stream;
    const batch: unknown[] = [];
    const flush = () => this._send(stream, batch.splice(0));
    let failure: Expression | undefined;
    try {
      try {
        for (;;) {
          // Items that are ready go out together.
          const next = (async () => iterator.next())();
          if (batch.length && !(await isReady(next))) flush();
          const { done, value } = await next;
          if (done || stream.over) break;
          batch.push(value);
          if (batch.length >= Math.min(credit.items, MOST_BATCH)) flush();
          while ((credit.items <= 0 || credit.bytes <= 0) && !stream.over) await sleep(stream);
        }
      } finally {
        // The items before an error go out before it.
        flush();
      }
    } catch (error) {
      failure = this._session.failure(error);
      close(iterator);
    }
    if (!stream.over) this._end(stream, failure);
  }

  /** Send items in as few messages as their types and sizes allow. */
  private _send(stream: Outgoing, items: unknown[]): void {
    const rowOf = (item: unknown) =>
      item instanceof Uint8Array ? ROW_PIECE : arePlain([item]) ? ROW_ITEMS : ROW_ITEM_GRAPH;
    for (let from = 0, to = 0; from < items.length && !stream.over; from = to) {
      const row = rowOf(items[to++]);
      if (row !== ROW_PIECE) while (to < items.length && rowOf(items[to]) === row) to++;
      this._sendOf(stream, row, items.slice(from, to));
    }
  }

  private _sendOf(stream: Outgoing, row: number, items: unknown[]): void {
    const { number, credit } = stream;
    const { length } = items;
    const jellier = new Jellier(this._session);
    const message = () => {
      const sent =
        row === ROW_PIECE ? items[0] : row === ROW_ITEMS ? items : jellier.write(items);
      return [row, number, sent];
    };
    try {
      const size = putGraph(this._session, jellier, message, length > 1 ? MOST_ITEMS : undefined);
      grant(credit, -length, -size);
    } catch (error) {
      if (length < 2) throw error;
      this._sendOf(stream, row, items.slice(0, length >> 1));
      this._sendOf(stream, row, items.slice(length >> 1));
    }
  }

  private _end(stream: Outgoing, failure?: Expression): void {
    stream.over = true;
    this._open.delete(stream.number);
    this._session.put([ROW_END, stream.number, ...(failure ? [failure] : [])]);
  }

  private _made(number: number): Outgoing | undefined {
    if (number > this._last || number < 1) throw new ProtocolError(`stream ${number} is not open`);
    return this._open.get(number);
  }

  /** Receive credit from the reader of a stream. */
  credit(number: number, items: number, bytes: number): void {
    const stream = this._made(number);
    if (!stream) return;
    grant(stream.credit, items, bytes);
    stream.wake?.();
  }

  /** The reader of a stream wants no more. */
  stopped(number: number): void {
    const stream = this._made(number);
    if (!stream) return;
    this._end(stream);
    this._close(stream);
  }

  private _close(stream: Outgoing): void {
    stream.over = true;
    stream.wake?.();
    close(stream.iterator);
  }

  /** The connection has ended. */
  lost(): void {
    for (const stream of this._open.values()) this._close(stream);
    this._open.clear();
  }
}

/** Whether the next item of a generator is there without waiting for anything else. */
async function isReady(next: Promise<unknown>): Promise<boolean> {
  let ready = false;
  const note = () => (ready = true);
  next.then(note, note);
  for (let turns = 0; turns < 6 && !ready; turns++) await null;
  return ready;
}
