/** Streams as a program sends them, and their credit. */
import type { Terms } from "./terms.ts";

/** A number of items, and of bytes. */
export interface Credit {
  items: number;
  bytes: number;
}

/** The first credit of a stream whose reader has these terms. */
export const least = (terms: Terms, first?: Credit): Credit => ({
  items: Math.min(terms.items, first?.items ?? Infinity),
  bytes: Math.min(terms.window, first?.bytes ?? Infinity),
});

/** Add to a credit. */
export function grant(credit: Credit, items: number, bytes: number): void {
  credit.items += items;
  credit.bytes += bytes;
}

/** Wait until a stream is woken. */
export const sleep = (stream: { wake?: (() => void) | undefined }): Promise<void> =>
  new Promise((resolve) => (stream.wake = resolve));

/** End a generator; it may fail, and nobody waits for it. */
export const close = (items: any): void => void (async () => items.return?.())().catch(() => {});

/** A stream to send: the items of an iterable, and how many items, or bytes, they are. */
export class Stream<T = unknown> {
  readonly items!: AsyncIterable<T> | Iterable<T>;
  readonly size: number | undefined;
  constructor(items: AsyncIterable<T> | Iterable<T>, size?: number) {
    Object.assign(this, { items, size });
  }

  /** End a stream that is not sent. */
  close(): void {
    close(this.items);
  }
}

/** Return what is sent as a stream: a Stream, or one of an async generator; else undefined. */
export function streamOf(value: unknown): Stream | undefined {
  if (value instanceof Stream) return value;
  const isGenerator = Object.prototype.toString.call(value) === "[object AsyncGenerator]";
  return isGenerator ? new Stream(value as AsyncIterable<unknown>) : undefined;
}
