/** The call of the peer that runs now. */

/** What the running method knows of its call, until its first `await`. */
export interface CurrentCall {
  /** Fires when the caller does not wait any more: by a cancel, a deadline, a lost connection. */
  signal: AbortSignal;
  /** The metadata of the call; nothing in it is trusted. */
  meta: Record<string, string>;
}

let current: CurrentCall | undefined;

/** Return the call of the running method, until its first `await`; else undefined. */
export const currentCall = (): CurrentCall | undefined => current;

/** Set the call that runs. */
export const setCurrent = (call: CurrentCall | undefined): void => void (current = call);
