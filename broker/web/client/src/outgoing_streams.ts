/** The streams that this end produces. */
import { fault, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { type Jellier, arePlain, word } from "./jellier.ts";
import { loadServed } from "./loaded.ts";
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
  source: any;
  left: Credit;
  stopped?: boolean;
  wake?: () => void;
}

/** The streams to the peer that are open. */
export interface OutgoingStreams {
  /** Return the expression of a stream; it begins when the message is sent. */
  begin(stream: Stream, jellier: Jellier): Expression;
  /** Use the terms of the peer, also for the streams that were opened before they came. */
  takeTerms(terms: Terms): void;
  /** Receive credit from the reader of a stream. */
  receiveCredit(number: number, items: number, bytes: number): void;
  /** The reader of a stream wants no more. */
  stopped(number: number): void;
  /** The connection has ended. */
  lost(): void;
}

/** Return the streams of a session to the peer. */
export function createOutgoingStreams(session: Session): OutgoingStreams {
  const opened = new Map<number, Outgoing>();
  const sent = new WeakSet<object>();
  let theirs = BASELINE;
  let last = 0;

  const sendOf = (stream: Outgoing, row: number, items: unknown[]) => {
    const { length } = items;
    const message = (jellier: Jellier) => {
      const body = row === ROW_PIECE ? items[0] : row === ROW_ITEMS ? items : jellier.write(items);
      return [row, stream.number, body];
    };
    try {
      const size = session.putGraph(message, length > 1 ? MOST_ITEMS : undefined);
      grant(stream.left, -length, -size);
    } catch (error) {
      if (length < 2) throw error;
      sendOf(stream, row, items.slice(0, length >> 1));
      sendOf(stream, row, items.slice(length >> 1));
    }
  };

  /** Send items in as few messages as their types and sizes allow. */
  const send = (stream: Outgoing, items: unknown[]) => {
    const rowOf = (item: unknown) =>
      item instanceof Uint8Array ? ROW_PIECE : arePlain([item]) ? ROW_ITEMS : ROW_ITEM_GRAPH;
    for (let from = 0, to = 0; from < items.length && !stream.stopped; from = to) {
      const row = rowOf(items[to++]);
      if (row !== ROW_PIECE) while (to < items.length && rowOf(items[to]) === row) to++;
      sendOf(stream, row, items.slice(from, to));
    }
  };

  const end = (stream: Outgoing, failure: Expression[] = []) => {
    stream.stopped = true;
    opened.delete(stream.number);
    session.put([ROW_END, stream.number, ...failure]);
  };

  /** Stop a producer. */
  const halt = (stream: Outgoing) => {
    stream.stopped = true;
    stream.wake?.();
    close(stream.source);
  };

  const produce = async (stream: Outgoing) => {
    const { left, source } = stream;
    const batch: unknown[] = [];
    const flush = () => send(stream, batch.splice(0));
    let failure: Expression[] | undefined;
    try {
      try {
        for (;;) {
          // Items that are ready go out together.
          const next = (async () => source.next())();
          if (batch.length && !(await isReady(next))) flush();
          const { done, value } = await next;
          if (done || stream.stopped) break;
          batch.push(value);
          if (batch.length >= Math.min(left.items, MOST_BATCH)) flush();
          while ((left.items <= 0 || left.bytes <= 0) && !stream.stopped) await sleep(stream);
        }
      } finally {
        // The items before an error go out before it.
        flush();
      }
    } catch (error) {
      close(source);
      failure = [(await loadServed()).writeFailure(error, session)];
    }
    if (!stream.stopped) end(stream, failure);
  };

  const made = (number: number) => {
    if (number > last || number < 1) fault(`stream ${number} is not open`);
    return opened.get(number);
  };

  const receiveCredit = (number: number, items: number, bytes: number) => {
    const stream = made(number);
    if (!stream) return;
    grant(stream.left, items, bytes);
    stream.wake?.();
  };

  return {
    receiveCredit,

    takeTerms(terms) {
      for (const number of opened.keys())
        receiveCredit(number, terms.items - theirs.items, terms.window - theirs.window);
      theirs = terms;
    },

    begin({ items, size }, jellier) {
      if (sent.has(items)) refuse(NAMES.cannot, "this stream has been sent");
      const most = Math.min(theirs.streams, MINE.streams);
      if (opened.size >= most) refuse(NAMES.busy, `more than ${most} streams (max_streams)`);
      const number = (last = session.nextNumber());
      const iterate = (items as any)[Symbol.asyncIterator] ?? (items as any)[Symbol.iterator];
      const left = least(theirs, jellier.granted);
      const stream = { number, source: iterate.call(items), left };
      opened.set(number, stream);
      sent.add(items);
      jellier.undo.push(() => {
        opened.delete(number);
        sent.delete(items);
      });
      jellier.sent.push(() => void produce(stream).catch(session.fault));
      return [word("stream"), number, ...(size === undefined ? [] : [size])];
    },

    stopped(number) {
      const stream = made(number);
      if (!stream) return;
      end(stream);
      halt(stream);
    },

    lost() {
      opened.forEach(halt);
      opened.clear();
    },
  };
}

/** Whether the next item of a generator is there without waiting for anything else. */
async function isReady(next: Promise<unknown>): Promise<boolean> {
  let ready = false;
  const note = () => (ready = true);
  next.then(note, note);
  for (let turns = 0; turns < 6 && !ready; turns++) await null;
  return ready;
}
