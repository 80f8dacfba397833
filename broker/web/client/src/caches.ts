/** Caches: those that this end follows, and those that it owns. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { Jellier, word } from "./jellier.ts";
import { type CacheObserver, Cacheable, RemoteCache, nameOf } from "./registry.ts";
import type { Caller } from "./calls.ts";
import type { Expression } from "./values.ts";
import { malformedJelly } from "./unjellier.ts";

/**
 * A cache of the peer. `core` has the state, until the peer says that the number is over; the
 * program holds a proxy of it. When the proxy is collected, the peer is told. A change may be on
 * its way then.
 */
interface Followed {
  core: RemoteCache;
  handle: WeakRef<RemoteCache>;
  count: number;
}

/** The caches of the peer that this end follows. */
export class FollowedCaches {
  private _followed = new Map<number, Followed>();
  private _numbers = new WeakMap<object, number>();
  private _decache: (number: number, count: number) => void;
  private _dropped = new FinalizationRegistry<number>((number) => this._collected(number));

  constructor(decache: (number: number, count: number) => void) {
    this._decache = decache;
  }

  /** Make a cache; return what the program holds, and what takes its first state. */
  make(number: number, cls: new () => RemoteCache): [RemoteCache, (state: unknown) => void] {
    if (this._followed.has(number)) throw malformedJelly(`cache ${number} defined twice`);
    const core = new cls();
    const followed = { core, handle: new WeakRef(core), count: 1 };
    this._followed.set(number, followed);
    return [this._handle(followed, number), (state) => core.setCopyableState(state)];
  }

  private _handle(followed: Followed, number: number): RemoteCache {
    const handle = new Proxy(followed.core, {});
    followed.handle = new WeakRef(handle);
    this._numbers.set(handle, number);
    this._dropped.register(handle, number);
    return handle;
  }

  /** Return a cache that was received once more. */
  receive(number: number): RemoteCache {
    const followed = this._followed.get(number);
    if (!followed) throw new RemoteError(NAMES.object, `cache ${number} is not held`);
    const known = followed.count && followed.handle.deref();
    followed.count++;
    return known || this._handle(followed, number);
  }

  /** The object whose methods are called. */
  core(number: number): RemoteCache {
    const followed = this._followed.get(number);
    if (!followed) throw new RemoteError(NAMES.object, `cache ${number} is not held`);
    return followed.core;
  }

  /** Return the expression of a cache that goes back to its owner. */
  write(cache: RemoteCache): Expression {
    const number = this._numbers.get(cache);
    const followed = number !== undefined && this._followed.get(number);
    if (!followed) throw new RemoteError(NAMES.cannot, "a cache of another connection");
    return [word("lcache"), number];
  }

  /** Drop a cache now; the program does not use it any more. */
  release(cache: RemoteCache): void {
    const number = this._numbers.get(cache);
    const followed = number !== undefined && this._followed.get(number);
    if (followed && followed.handle.deref() === cache) this._drop(number, followed);
  }

  private _collected(number: number): void {
    const followed = this._followed.get(number);
    if (followed && !followed.handle.deref()) this._drop(number, followed);
  }

  private _drop(number: number, followed: Followed): void {
    const { count } = followed;
    followed.count = 0;
    if (count) this._decache(number, count);
  }

  /** The owner says that the number means nothing any more. */
  end(number: number): void {
    if (!this._followed.delete(number))
      throw new ProtocolError(`uncache of cache ${number} that is not held`);
  }

  clear(): void {
    this._followed.clear();
  }
}

interface Owned {
  cache: Cacheable;
  observer: CacheObserver;
  number: number;
  count: number;
}

/** The caches of this end that the peer follows. */
export class OwnedCaches {
  private _byNumber = new Map<number, Owned>();
  private _byCache = new Map<Cacheable, Owned>();
  private _caller: Caller;
  private _nextNumber: () => number;

  constructor(caller: Caller, nextNumber: () => number) {
    this._caller = caller;
    this._nextNumber = nextNumber;
  }

  /** Return the expression of a cache: its state for the first time, its number afterwards. */
  write(cache: Cacheable, out: Expression[], jellier: Jellier): void {
    const name = nameOf(cache);
    if (!name) throw new RemoteError(NAMES.cannot, "a Cacheable whose class is not registered");
    const known = this._byCache.get(cache);
    if (known) {
      known.count++;
      jellier.undo.push(() => known.count--);
      out.push(word("cached"), known.number);
      return;
    }
    const number = this._nextNumber();
    const observer: CacheObserver = {
      callRemote: (name, ...args) => this._caller.call(number, { name, args, options: {} }, true),
      send: (name, ...args) => this._caller.send(number, { name, args, options: {} }, true),
    };
    const owned = { cache, observer, number, count: 1 };
    this._byNumber.set(number, owned);
    this._byCache.set(cache, owned);
    jellier.undo.push(() => this._forget(owned));
    out.push(word(name), number);
    jellier.put(out, cache.getStateToCacheAndObserveFor(observer));
  }

  private _forget(owned: Owned): void {
    this._byNumber.delete(owned.number);
    this._byCache.delete(owned.cache);
    try {
      owned.cache.stoppedObserving(owned.observer);
    } catch (error) {
      // It is the program's own error: it costs neither the message nor the connection.
      console.error(error);
    }
  }

  get(number: number): Cacheable {
    const owned = this._byNumber.get(number);
    if (!owned)
      throw new RemoteError(NAMES.object, `cache ${number} is not published to this connection`);
    return owned.cache;
  }

  /** The peer has dropped a cache so many times; return whether it was the last. */
  release(number: number, count: number): boolean {
    const owned = this._byNumber.get(number);
    if (!owned || owned.count < count)
      throw new ProtocolError(`decache of cache ${number} by ${count} (held ${owned?.count ?? 0})`);
    owned.count -= count;
    if (!owned.count) this._forget(owned);
    return !owned.count;
  }

  clear(): void {
    for (const owned of [...this._byNumber.values()]) this._forget(owned);
  }
}
