/** Terms: what an end takes, told in its version. */

/** What a peer takes. */
export interface Terms {
  frame: number;
  streams: number;
  items: number;
  window: number;
  promised: number;
  /** Seconds for which the reply of a call with a key is kept. */
  once: number;
  /** A number of this run of the server; 0 if it tells none. */
  instance: number;
}

/** What a peer takes until its terms have come. */
export const BASELINE: Terms = {
  frame: 16_777_216,
  streams: 8,
  items: 64,
  window: 65_536,
  promised: 16,
  once: 0,
  instance: 0,
};

/** What this end tells of its terms. Calls on promises of its answers are not taken. */
export const TOLD = { streams: 64, items: 256, window: 262_144, promised: 0 };

/** What this end takes. */
export const MINE: Terms = { ...BASELINE, ...TOLD };

/** Return the terms of a peer's version. */
export function readTerms(sent: Record<string, number> | null | undefined): Terms {
  const terms = { ...BASELINE, ...sent };
  return { ...terms, frame: Math.max(terms.frame, 65_536) };
}
