/** Calls that wait for an answer, and what waits for them. */
import type { CallOptions, Calls } from "./calls.ts";
import { RemotePromise, elementOf } from "./promise.ts";
import { RemoteReference } from "./references.ts";
import type { Credit } from "./streams.ts";

/** What is called. */
export interface Request {
  method: string;
  args: unknown[];
  options: CallOptions;
  /** It is a change of a cache: an object of this end that the peer follows. */
  toCache?: boolean;
}

/** A call that wants an answer. */
export class PendingCall {
  readonly calls: Calls;
  readonly method: string;
  /** The first credit of the streams in its answer. */
  readonly granted: Credit | undefined;
  /** Its number; undefined until it is sent. */
  id: number | undefined;
  readonly promise: RemotePromise;
  _resolve!: (value: any) => void;
  _reject!: (error: unknown) => void;
  settled?: boolean;
  result: any;
  failure: unknown;
  /** The promise that it was sent on, and what was sent, in case that it comes home. */
  dependent: [RemotePromise, Request] | undefined;
  /** It was not run by the peer: its target is an object of this end. */
  cameHome?: boolean;
  /** Calls on this one that were sent, and are not answered. */
  underWay = 0;
  /** Calls on this one that wait here. */
  queue: (() => void)[] = [];
  cleanup: (() => void) | undefined;

  constructor(calls: Calls, method: string, granted: Credit | undefined) {
    this.calls = calls;
    this.method = method;
    this.granted = granted;
    this.promise = new RemotePromise((...both) => ([this._resolve, this._reject] = both), this);
  }

  /** Whether calls on it need not wait: it is settled, and no call on it may still come home. */
  get isReady(): boolean {
    return (
      !!this.settled &&
      (!this.underWay || this.failure !== undefined || this.result instanceof RemoteReference)
    );
  }

  /** Take the result, or the error, unless there is one. */
  settle(value: unknown, failure?: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.result = value;
    this.failure = failure;
    this.cleanup?.();
    // Calls that wait go out before the program sees the result, so that they keep their order.
    this.flush();
    if (failure === undefined) this._resolve(value);
    else this._reject(failure);
  }

  fail(error: unknown): void {
    this.settle(undefined, error);
  }

  /** Let the calls that wait for it go. */
  flush(): void {
    if (this.isReady) for (const go of this.queue.splice(0)) go();
  }
}

/** Return the promises among arguments. */
export const promisesIn = ({ args, options }: Request): RemotePromise[] =>
  [...args, ...Object.values(options.kw ?? {})].filter((each) => each instanceof RemotePromise);

/** Return what a promise has become. */
export const resultOf = ({ _call, _path }: RemotePromise): unknown =>
  (_path as (number | string)[]).reduce<unknown>(elementOf, _call.result);
