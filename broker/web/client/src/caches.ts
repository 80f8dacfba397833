/** Caches: those that this end follows, and those that it owns. */
import { fault, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { type Jellier, cannot, word } from "./jellier.ts";
import { type CacheObserver, type Cacheable, type RemoteCache, nameOf } from "./registry.ts";
import { createReceived, createSent } from "./references.ts";
import { ROW_DECACHE } from "./rows.ts";
import type { Session } from "./session.ts";
import { check } from "./unjellier.ts";
import type { Expression } from "./values.ts";

const unknown = (number: number, what: string) =>
  refuse(NAMES.object, `cache ${number} is not ${what}`);

/**
 * Return the caches of the peer that this end follows. Each has a core with its state, until the peer
 * says that the number is over; the program holds a proxy of it. When the proxy is collected, the peer
 * is told. A change may be on its way then.
 */
export function createFollowed(session: Session) {
  const received = createReceived<RemoteCache>(session, ROW_DECACHE);
  const { held, numberOf } = received;

  /** The object whose methods are called. */
  const core = (number: number): RemoteCache => (held.get(number) ?? unknown(number, "held")).core!;

  /** Return a cache that was received once more. */
  const again = (number: number): RemoteCache => {
    core(number);
    return received.receive(number, (core) => new Proxy(core, {}));
  };

  return {
    ...received,
    core,
    again,

    /** Make a cache; return what the program holds, and what takes its first state. */
    make(number: number, cls: new () => RemoteCache): [RemoteCache, (state: unknown) => void] {
      check(!held.has(number), `cache ${number} defined twice`);
      const core = new cls();
      held.set(number, { core, count: 0 });
      return [again(number), (state) => core.setCopyableState(state)];
    },

    /** Return the expression of a cache that goes back to its owner. */
    write(cache: RemoteCache): Expression {
      return [word("lcache"), numberOf(cache) ?? cannot("cache of another connection")];
    },

    /** The owner says that the number means nothing any more. */
    end(number: number): void {
      if (!held.delete(number)) fault(`uncache of cache ${number} that is not held`);
    },
  };
}

/** Return the caches of this end that the peer follows. */
export function createOwned(session: Session) {
  const sent = createSent<Cacheable>(session, "decache of cache", ({ object, observer }) => {
    try {
      object.stoppedObserving(observer!);
    } catch (error) {
      // It is the program's own error: it costs neither the message nor the connection.
      console.error(error);
    }
  });
  return {
    ...sent,

    /** Return the expression of a cache: its state for the first time, its number afterwards. */
    write(cache: Cacheable, jellier: Jellier): Expression {
      const name = nameOf(cache) ?? cannot("Cacheable that is not registered");
      const entry = sent.again(cache, jellier);
      const { number, count } = entry;
      const e = jellier.begin(cache, count > 1 ? "cached" : name);
      e.push(number);
      if (count > 1) return e;
      const { calls } = session;
      const request = (method: string, args: unknown[]) =>
        ({ method, args, options: {}, toCache: true }) as const;
      const observer: CacheObserver = {
        callRemote: (method, ...args) => calls.callTo(number, request(method, args)),
        send: (method, ...args) => calls.sendTo(number, request(method, args)),
      };
      entry.observer = observer;
      e.push(jellier.put(cache.getStateToCacheAndObserveFor(observer)));
      return e;
    },

    published: (number: number): Cacheable =>
      sent.objectOf(number) ?? unknown(number, "published to this connection"),
  };
}
