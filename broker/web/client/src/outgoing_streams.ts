/** The streams that this end produces. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { Jellier, arePlain, putGraph, word } from "./jellier.ts";
import { ROW_END, ROW_ITEM_GRAPH, ROW_ITEMS, ROW_PIECE } from "./rows.ts";
import { type Credit, type Stream, type StreamHost, least } from "./streams.ts";
import { BASELINE, MINE, type Terms } from "./terms.ts";
import type { Expression } from "./values.ts";

/** The most bytes, and the most items, of a message with more than one item. */
const MOST_ITEMS = 65_536;
const MOST_BATCH = 256;

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

/** The streams to the peer that are open. */
export class OutgoingStreams {
  private _open = new Map<number, Outgoing>();
  private _terms = BASELINE;
  private _last = 0;
  private _host: StreamHost;
  private _sent = new WeakSet<object>();

  constructor(host: StreamHost) {
    this._host = host;
  }

  /** Use the terms of the peer, also for the streams that were opened before they came. */
  takeTerms(terms: Terms): void {
    const before = this._terms;
    this._terms = terms;
    for (const stream of this._open.values())
      stream.grant(terms.items - before.items, terms.window - before.window);
  }

  /** Add a stream to an expression; it begins when the message is sent. */
  open(stream: Stream, out: Expression[], jellier: Jellier): void {
    const { items, size } = stream;
    if (this._sent.has(items)) throw new RemoteError(NAMES.cannot, "this stream has been sent");
    const most = Math.min(this._terms.streams, MINE.streams);
    if (this._open.size >= most)
      throw new RemoteError(NAMES.busy, `${most} streams open (max_streams)`);
    const number = (this._last = this._host.nextNumber());
    const outgoing = new Outgoing(number, items, least(this._terms, jellier.credit));
    this._open.set(number, outgoing);
    this._sent.add(items);
    jellier.undo.push(() => {
      this._open.delete(number);
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
    this._open.delete(stream.number);
    this._host.put([ROW_END, stream.number, ...(failure ? [failure] : [])]);
  }

  private _close(stream: Outgoing): void {
    // The producer may fail at its end; its reader has gone.
    Promise.resolve(stream.iterator.return?.()).catch(() => {});
  }

  private _read(number: number): Outgoing | undefined {
    if (number > this._last || number < 1) throw new ProtocolError(`stream ${number} is not open`);
    return this._open.get(number);
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
  lost(): void {
    for (const stream of this._open.values()) {
      stream.over = true;
      stream.wake?.();
      this._close(stream);
    }
    this._open.clear();
  }
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
