/** Objects that one end owns and the other end holds, and how often each was received. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import type { CallOptions, Caller } from "./calls.ts";
import { type Contract, type Typed, typed } from "./contract.ts";
import type { RemotePromise } from "./promise.ts";
import type { CacheObserver, RemoteCache } from "./registry.ts";

/** So many unknown objects end the connection. */
const MOST_UNKNOWN = 100;

/** An object of the peer. The peer is told when the last RemoteReference to it is collected. */
export class RemoteReference {
  /** @internal */
  readonly _caller: Caller;
  /** @internal */
  readonly _id: number | string;

  constructor(caller: Caller, id: number | string) {
    this._caller = caller;
    this._id = id;
  }

  /** Call a method. The promise can be called itself, before the answer has come. */
  callRemote(name: string, ...args: unknown[]): RemotePromise {
    return this.callRemoteWith({}, name, ...args);
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata. */
  callRemoteWith(options: CallOptions, name: string, ...args: unknown[]): RemotePromise {
    return this._caller.call(this._id, { name, args, options });
  }

  /** Call a method without an answer. A connection that has ended is not an error. */
  send(name: string, ...args: unknown[]): void {
    this._caller.send(this._id, { name, args, options: {} });
  }

  /** Return an object with the methods of a contract. */
  of<T extends object>(contract: Contract<T>, options: CallOptions = {}): Typed<T> {
    return typed(this, contract, options);
  }
}

/** An object of this end, and how often it was sent. */
interface Sent<T> {
  object: T;
  number: number;
  count: number;
  /** What follows the object if it is a cache. */
  observer?: CacheObserver;
}

/** Objects of this end that the peer holds. */
export class SentObjects<T extends object> {
  private _byNumber = new Map<number, Sent<T>>();
  private _byObject = new Map<T, Sent<T>>();
  private _nextNumber: () => number;
  private _what: string;
  private _forget: (sent: Sent<T>) => void;

  /** `what` begins the text of an error: what a peer does that drops an object. */
  constructor(nextNumber: () => number, what: string, forget: (sent: Sent<T>) => void = () => {}) {
    this._nextNumber = nextNumber;
    this._what = what;
    this._forget = forget;
  }

  /** Count an object as sent once more, until that is undone. */
  add(object: T, undo: (() => void)[]): Sent<T> {
    let sent = this._byObject.get(object);
    if (!sent) {
      sent = { object, number: this._nextNumber(), count: 0 };
      this._byObject.set(object, sent);
      this._byNumber.set(sent.number, sent);
    }
    const { number } = sent;
    sent.count++;
    undo.push(() => this.release(number, 1));
    return sent;
  }

  get(number: number): T | undefined {
    return this._byNumber.get(number)?.object;
  }

  /** The peer has dropped an object so many times; return whether it was the last. */
  release(number: number, count: number): boolean {
    const sent = this._byNumber.get(number);
    if (!sent || sent.count < count)
      throw new ProtocolError(`${this._what} ${number} by ${count} (held ${sent?.count ?? 0})`);
    sent.count -= count;
    if (sent.count) return false;
    this._byNumber.delete(number);
    this._byObject.delete(sent.object);
    this._forget(sent);
    return true;
  }

  clear(): void {
    for (const { number, count } of [...this._byNumber.values()]) this.release(number, count);
  }
}

/** The objects of this end that the peer may call. */
export class Exports extends SentObjects<object> {
  /** Objects under a name, which are not counted. */
  readonly named = new Map<string, object>();
  private _unknown = 0;

  /** Return the object with a number or a name. */
  find(id: number | string): object {
    const isName = typeof id === "string";
    const found = isName ? this.named.get(id) : this.get(id);
    if (found) return found;
    const text = `object ${isName ? `'${id}'` : id} is not exported to this connection`;
    if (++this._unknown >= MOST_UNKNOWN) throw new ProtocolError(text);
    throw new RemoteError(NAMES.object, text);
  }
}

/** An object of the peer: what the program holds of it, and how often it was received. */
interface Received<T extends object> {
  handle?: WeakRef<T>;
  count: number;
  /** The state of a cache, which is kept when its handle has gone. */
  core?: RemoteCache;
}

/** Objects of the peer that this end holds. The peer is told when what the program holds is collected. */
export class ReceivedObjects<T extends object> {
  readonly held = new Map<number, Received<T>>();
  private _numbers = new WeakMap<T, number>();
  private _tell: (number: number, count: number) => void;
  private _dropped = new FinalizationRegistry<number>((number) => {
    const known = this.held.get(number);
    // It may have been received again meanwhile.
    if (known && !known.handle!.deref()) this._drop(number, known);
  });

  constructor(tell: (number: number, count: number) => void) {
    this._tell = tell;
  }

  /** Count an object as received once more; return what the program holds of it. */
  receive(number: number, make: (core: RemoteCache) => T): T {
    const known: Received<T> = this.held.get(number) ?? { count: 0 };
    this.held.set(number, known);
    let handle = known.count++ ? known.handle!.deref() : undefined;
    if (!handle) {
      handle = make(known.core!);
      known.handle = new WeakRef(handle);
      this._numbers.set(handle, number);
      this._dropped.register(handle, number);
    }
    return handle;
  }

  /** Return the number of what the program holds, if this end still has it. */
  numberOf(handle: T): number | undefined {
    const number = this._numbers.get(handle)!;
    return this.held.has(number) ? number : undefined;
  }

  /** Drop an object now; the program does not use it any more. */
  release(handle: T): void {
    const number = this._numbers.get(handle)!;
    const known = this.held.get(number);
    if (known?.handle!.deref() === handle) this._drop(number, known);
  }

  private _drop(number: number, known: Received<T>): void {
    const { count, core } = known;
    known.count = 0;
    if (!core) this.held.delete(number);
    if (count) this._tell(number, count);
  }
}
