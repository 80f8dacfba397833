/** Calls that wait for an answer, and what waits for them. */
import type { CallOptions, Calls } from "./calls.ts";
import { RemotePromise, promiseOf, stepInto } from "./promise.ts";
import { RemoteReference } from "./references.ts";
import type { Credit } from "./streams.ts";

/** What is called. */
export interface Request {
  name: string;
  args: unknown[];
  options: CallOptions;
  /** It is a change of a cache: an object of this end that the peer follows. */
  toCache?: boolean;
}

/** A call that wants an answer. */
export class PendingCall {
  readonly calls: Calls;
  readonly name: string;
  /** The first credit of the streams in its answer. */
  readonly credit: Credit | undefined;
  /** Its number; undefined until it is sent. */
  id: number | undefined;
  promise!: RemotePromise;
  resolve!: (value: any) => void;
  reject!: (error: unknown) => void;
  settled?: boolean;
  value: any;
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

  constructor(calls: Calls, name: string, credit: Credit | undefined) {
    this.calls = calls;
    this.name = name;
    this.credit = credit;
    promiseOf(this);
  }

  /** Whether calls on it need not wait: it is settled, and no call on it may still come home. */
  get isOpen(): boolean {
    return (
      !!this.settled &&
      (!this.underWay || this.failure !== undefined || this.value instanceof RemoteReference)
    );
  }

  /** Take the result, or the error, unless there is one. */
  settle(value: unknown, failure?: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.value = value;
    this.failure = failure;
    this.cleanup?.();
    // Calls that wait go out before the program sees the result, so that they keep their order.
    this.flush();
    if (failure === undefined) this.resolve(value);
    else this.reject(failure);
  }

  fail(error: unknown): void {
    this.settle(undefined, error);
  }

  /** Let the calls that wait for it go. */
  flush(): void {
    if (this.isOpen) for (const go of this.queue.splice(0)) go();
  }
}

/** Return the promises among arguments. */
export const promisesIn = ({ args, options }: Request): RemotePromise[] =>
  [...args, ...Object.values(options.kw ?? {})].filter((each) => each instanceof RemotePromise);

/** Return what a promise has become. */
export const resultOf = ({ _call, _step }: RemotePromise): unknown => stepInto(_call!.value, _step);

/** Return what a promise has become, if it is settled; other values as they are. */
export const settledValue = (value: unknown): unknown =>
  value instanceof RemotePromise && value._call!.settled ? resultOf(value) : value;
