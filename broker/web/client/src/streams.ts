/** Streams as a program sends them, and their credit. */
import type { Sender } from "./jellier.ts";
import type { Terms } from "./terms.ts";
import type { Receiver } from "./unjellier.ts";
import type { Expression } from "./values.ts";

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

/** The first credit of a stream whose reader has these terms. */
export const least = (terms: Terms, first?: Credit): Credit => ({
  items: Math.min(terms.items, first?.items ?? Infinity),
  bytes: Math.min(terms.window, first?.bytes ?? Infinity),
});
