/** What carries the bytes of a session, and what a peer says of the end. */

/** A peer that takes no new calls: when to come again, in milliseconds, and where else to go. */
export interface Draining {
  after: number;
  elsewhere: string[];
}

/** What carries the bytes of a session. */
export interface Transport {
  write(bytes: Uint8Array): void;
  /** Close, after all that was written. */
  close(): void;
}
