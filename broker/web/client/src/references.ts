/** Objects that one end owns and the other end holds, and how often each was received. */
import { fault, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import type { CallOptions, Calls } from "./calls.ts";
import { type Contract, type Typed, typed } from "./contract.ts";
import type { Jellier } from "./jellier.ts";
import type { RemotePromise } from "./promise.ts";
import type { CacheObserver, RemoteCache } from "./registry.ts";
import type { Session } from "./session.ts";

/** So many unknown objects end the connection. */
const MOST_UNKNOWN = 100;

/** An object of the peer. The peer is told when the last RemoteReference to it is collected. */
export class RemoteReference {
  /** @internal */
  readonly _calls: Calls;
  /** @internal */
  readonly _id: number | string;

  constructor(calls: Calls, id: number | string) {
    this._calls = calls;
    this._id = id;
  }

  /** Call a method. The promise can be called itself, before the answer has come. */
  callRemote(method: string, ...args: unknown[]): RemotePromise {
    return this.callRemoteWith({}, method, ...args);
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata. */
  callRemoteWith(options: CallOptions, method: string, ...args: unknown[]): RemotePromise {
    return this._calls.callTo(this._id, { method, args, options });
  }

  /** Call a method without an answer. A connection that has ended is not an error. */
  send(method: string, ...args: unknown[]): void {
    this._calls.sendTo(this._id, { method, args, options: {} });
  }

  /** Return an object with the methods of a contract. */
  of<T extends object>(contract: Contract<T>, options: CallOptions = {}): Typed<T> {
    return typed(this, contract, options);
  }
}

/** An object of this end, and how often it was sent. */
export interface Sent<T> {
  object: T;
  number: number;
  count: number;
  /** What follows the object if it is a cache. */
  observer?: CacheObserver;
}

/**
 * Return the objects of one kind that the peer holds. `what` begins the text of an error: what a peer
 * does that drops an object.
 */
export function createSent<T extends object>(
  session: Session,
  what: string,
  ended: (sent: Sent<T>) => void = () => {},
) {
  const byNumber = new Map<number, Sent<T>>();
  const byObject = new Map<T, Sent<T>>();

  /** The peer has dropped an object so many times; return whether it was the last. */
  const drop = (number: number, count = 1): boolean => {
    const sent = byNumber.get(number);
    if (!sent || sent.count < count)
      return fault(`${what} ${number} by ${count} (held ${sent?.count ?? 0})`);
    sent.count -= count;
    if (sent.count) return false;
    byNumber.delete(number);
    byObject.delete(sent.object);
    ended(sent);
    return true;
  };

  return {
    drop,

    /** Count an object as sent once more, until that is undone. */
    again(object: T, { undo }: Jellier): Sent<T> {
      const sent = byObject.get(object) ?? { object, number: session.nextNumber(), count: 0 };
      const { number } = sent;
      byObject.set(object, sent);
      byNumber.set(number, sent);
      sent.count++;
      undo.push(() => drop(number));
      return sent;
    },

    objectOf: (number: number): T | undefined => byNumber.get(number)?.object,

    forgetAll(): void {
      for (const { number, count } of [...byNumber.values()]) drop(number, count);
    },
  };
}

/** Return the objects of this end that the peer may call. */
export function createExports(session: Session) {
  const sent = createSent(session, "decref of object");
  let unknown = 0;
  return {
    ...sent,

    /** Return the object with a number. A client has none with a name. */
    exported(id: number | string): object {
      const found = sent.objectOf(id as number);
      if (found) return found;
      const name = typeof id === "string" ? `'${id}'` : id;
      const text = `object ${name} is not exported to this connection`;
      return ++unknown < MOST_UNKNOWN ? refuse(NAMES.object, text) : fault(text);
    },
  };
}

/** An object of the peer: what the program holds of it, and how often it was received. */
export interface Received<T extends object> {
  handle?: WeakRef<T>;
  count: number;
  /** The state of a cache, which is kept when its handle has gone. */
  core?: RemoteCache;
}

/**
 * Return the objects of one kind of the peer that this end holds. The peer is told by a message of this
 * row when what the program holds is collected.
 */
export function createReceived<T extends object>(session: Session, row: number) {
  const held = new Map<number, Received<T>>();
  const numbers = new WeakMap<T, number>();

  /** Drop an object if the program holds this, or nothing, of it: it may have been received again. */
  const letGo = (number: number, handle?: T) => {
    const known = held.get(number);
    if (!known || known.handle!.deref() !== handle) return;
    const { count, core } = known;
    known.count = 0;
    if (!core) held.delete(number);
    if (count) session.put([row, number, count]);
  };

  const dropped = new FinalizationRegistry<number>((number) => letGo(number));

  return {
    held,

    /** Count an object as received once more; return what the program holds of it. */
    receive(number: number, make: (core: RemoteCache) => T): T {
      const known: Received<T> = held.get(number) ?? { count: 0 };
      held.set(number, known);
      let handle = known.count++ ? known.handle!.deref() : undefined;
      if (!handle) {
        handle = make(known.core!);
        known.handle = new WeakRef(handle);
        numbers.set(handle, number);
        dropped.register(handle, number);
      }
      return handle;
    },

    /** Return the number of what the program holds, if this end still has it. */
    numberOf(handle: T): number | undefined {
      const number = numbers.get(handle)!;
      return held.has(number) ? number : undefined;
    },

    /** Drop an object now; the program does not use it any more. */
    drop: (handle: T): void => letGo(numbers.get(handle)!, handle),
  };
}
