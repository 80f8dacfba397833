/** Caches: those that this end follows, and those that it owns. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { type Jellier, word } from "./jellier.ts";
import { type CacheObserver, type Cacheable, type RemoteCache, nameOf } from "./registry.ts";
import { ReceivedObjects, SentObjects } from "./references.ts";
import type { Caller } from "./calls.ts";
import type { Expression } from "./values.ts";
import { malformedJelly } from "./unjellier.ts";

const unknown = (number: number, what: string) =>
  new RemoteError(NAMES.object, `cache ${number} is not ${what}`);

/**
 * The caches of the peer that this end follows. Each has a core with its state, until the peer says
 * that the number is over; the program holds a proxy of it. When the proxy is collected, the peer is
 * told. A change may be on its way then.
 */
export class FollowedCaches extends ReceivedObjects<RemoteCache> {
  /** Make a cache; return what the program holds, and what takes its first state. */
  make(number: number, cls: new () => RemoteCache): [RemoteCache, (state: unknown) => void] {
    if (this.held.has(number)) throw malformedJelly(`cache ${number} defined twice`);
    const core = new cls();
    this.held.set(number, { core, count: 0 });
    return [this.again(number), (state) => core.setCopyableState(state)];
  }

  /** Return a cache that was received once more. */
  again(number: number): RemoteCache {
    this.core(number);
    return this.receive(number, (core) => new Proxy(core, {}));
  }

  /** The object whose methods are called. */
  core(number: number): RemoteCache {
    const followed = this.held.get(number);
    if (!followed) throw unknown(number, "held");
    return followed.core!;
  }

  /** Return the expression of a cache that goes back to its owner. */
  write(cache: RemoteCache): Expression {
    const number = this.numberOf(cache);
    if (number === undefined) throw new RemoteError(NAMES.cannot, "a cache of another connection");
    return [word("lcache"), number];
  }

  /** The owner says that the number means nothing any more. */
  end(number: number): void {
    if (!this.held.delete(number))
      throw new ProtocolError(`uncache of cache ${number} that is not held`);
  }
}

/** The caches of this end that the peer follows. */
export class OwnedCaches extends SentObjects<Cacheable> {
  private _caller: Caller;

  constructor(caller: Caller, nextNumber: () => number) {
    super(nextNumber, "decache of cache", ({ object, observer }) => {
      try {
        object.stoppedObserving(observer!);
      } catch (error) {
        // It is the program's own error: it costs neither the message nor the connection.
        console.error(error);
      }
    });
    this._caller = caller;
  }

  /** Return the expression of a cache: its state for the first time, its number afterwards. */
  write(cache: Cacheable, jellier: Jellier): Expression {
    const name = nameOf(cache);
    if (!name) throw new RemoteError(NAMES.cannot, "a Cacheable whose class is not registered");
    const sent = this.add(cache, jellier.undo);
    const { number, count } = sent;
    const e = jellier.begin(cache, count > 1 ? "cached" : name);
    e.push(number);
    if (count > 1) return e;
    const request = (name: string, args: unknown[]) =>
      ({ name, args, options: {}, toCache: true }) as const;
    const observer: CacheObserver = {
      callRemote: (name, ...args) => this._caller.call(number, request(name, args)),
      send: (name, ...args) => this._caller.send(number, request(name, args)),
    };
    sent.observer = observer;
    e.push(jellier.put(cache.getStateToCacheAndObserveFor(observer)));
    return e;
  }

  find(number: number): Cacheable {
    const cache = this.get(number);
    if (!cache) throw unknown(number, "published to this connection");
    return cache;
  }
}
