/** Promises of results, which can be called before the result has come. */
import type { CallOptions } from "./calls.ts";
import { type Contract, type Typed, typed } from "./contract.ts";
import type { PendingCall } from "./pending.ts";

/** The way from a result to an element: no step, or one. */
export type Path = [] | [number | string];

/**
 * The result of a call: a Promise. A call on it goes out at once and starts on the object that the
 * result is, so a chain of calls takes one round trip. `for await` reads a result that is a stream.
 */
export class RemotePromise<T = any> extends Promise<T> {
  /** `then` returns an ordinary Promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** The call whose result this is. @internal */
  readonly _call: PendingCall;
  /** The step into the result, if this is an element of it. @internal */
  readonly _path: Path;

  /** @internal */
  constructor(
    settle: (resolve: (value: any) => void, reject: (error: unknown) => void) => void,
    call?: PendingCall,
    path: Path = [],
  ) {
    super(settle);
    this._call = call!;
    this._path = path;
  }

  /** Return the promise of an element of the result: of a list, or of a dict. One step at most. */
  at(step: number | string): RemotePromise {
    if (this._path.length) throw new TypeError("one step at most");
    return new RemotePromise(
      (resolve, reject) => this.then((value) => resolve(elementOf(value, step)), reject),
      this._call,
      [step],
    );
  }

  /** Call a method of the object that the result is. */
  callRemote(method: string, ...args: unknown[]): RemotePromise {
    return this.callRemoteWith({}, method, ...args);
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata. */
  callRemoteWith(options: CallOptions, method: string, ...args: unknown[]): RemotePromise {
    return this._call.calls.callOn(this, { method, args, options });
  }

  /** Call a method without an answer. */
  send(method: string, ...args: unknown[]): void {
    this.callRemote(method, ...args).catch(() => {});
  }

  /** Return an object with the methods of a contract. */
  of<C extends object>(contract: Contract<C>, options: CallOptions = {}): Typed<C> {
    return typed(this, contract, options);
  }

  /** Read the items of a result that is a stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<any, void> {
    const stream = (await this) as any;
    if (!stream?.[Symbol.asyncIterator])
      throw new TypeError(`'${this._call.method}' returned a value that is not a stream`);
    yield* stream;
  }
}

/** Return an element of a list, of a dict or of a Map. */
export function elementOf(value: any, step: number | string): unknown {
  if (value instanceof Map) return value.get(step);
  return value && Object.hasOwn(value, step) ? value[step] : undefined;
}
