/** Promises of results, which can be called before the result has come. */
import type { CallOptions } from "./calls.ts";
import { type Contract, type Typed, typed } from "./contract.ts";
import type { PendingCall } from "./pending.ts";

/**
 * The result of a call: a Promise. A call on it goes out at once and starts on the object that the
 * result is, so a chain of calls takes one round trip. `for await` reads a result that is a stream.
 */
export class RemotePromise<T = any> extends Promise<T> {
  /** `then` returns an ordinary Promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** The call whose result this is, and the step into it. @internal */
  _call: PendingCall | undefined;
  /** @internal */
  _step: number | string | undefined;

  /** Return the promise of an element of the result: of a list, or of a dict. One step at most. */
  at(step: number | string): RemotePromise {
    if (this._step !== undefined) throw new TypeError("one step at most");
    return promiseOf(this._call!, step);
  }

  /** Call a method of the object that the result is. */
  callRemote(name: string, ...args: unknown[]): RemotePromise {
    return this.callRemoteWith({}, name, ...args);
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata. */
  callRemoteWith(options: CallOptions, name: string, ...args: unknown[]): RemotePromise {
    return this._call!.calls.callOn(this, { name, args, options });
  }

  /** Call a method without an answer. */
  send(name: string, ...args: unknown[]): void {
    this.callRemote(name, ...args).catch(() => {});
  }

  /** Return an object with the methods of a contract. */
  of<C extends object>(contract: Contract<C>, options: CallOptions = {}): Typed<C> {
    return typed(this, contract, options);
  }

  /** Read the items of a result that is a stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<any, void> {
    const stream = (await this) as any;
    if (!stream?.[Symbol.asyncIterator])
      throw new TypeError(`'${this._call?.name}' returned a value that is not a stream`);
    yield* stream;
  }
}

/** Return the element of a result. */
export function stepInto(value: any, step: number | string | undefined): any {
  if (step === undefined) return value;
  if (value instanceof Map) return value.get(step);
  return value && Object.hasOwn(value, step) ? value[step] : undefined;
}

/** Return the promise of a call's result, or of an element of it. */
export function promiseOf(call: PendingCall, step?: number | string): RemotePromise {
  const promise = new RemotePromise((resolve, reject) => {
    if (step === undefined) {
      call.resolve = resolve;
      call.reject = reject;
    } else {
      call.promise.then((value) => resolve(stepInto(value, step)), reject);
    }
  });
  if (step === undefined) call.promise = promise;
  promise._call = call;
  promise._step = step;
  return promise;
}
