/** References of a link: they mean the same object on each of its connections. */
import type { CallOptions } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { Bound, type Contract, type Typed, typed } from "./contract.ts";
import type { Request } from "./pending.ts";
import { RemotePromise } from "./promise.ts";
import { RemoteReference } from "./references.ts";

/** What a link has for its references. */
export interface Linking {
  _call(target: LinkedReference, request: Request): RemotePromise;
  _send(target: LinkedReference, name: string, args: unknown[]): void;
  _addRecipe(reference: LinkedReference): void;
}

/** What calls can be made on: a reference, its promise, or a promise that cannot be called itself. */
export type Place = RemoteReference | RemotePromise | PromiseLike<RemoteReference>;

/** Whether calls can be made on a value as it is. */
export const isCallable = (value: unknown): value is RemoteReference | RemotePromise =>
  value instanceof RemoteReference || value instanceof RemotePromise;

/** The avatar, the root, or a recipe of a link. It is made anew on each connection. */
export class LinkedReference {
  private _link: Linking;
  private _make: (connection: Connection) => unknown;
  private _made = new WeakMap<Connection, Place>();

  /** @internal */
  constructor(link: Linking, make: (connection: Connection) => unknown) {
    this._link = link;
    this._make = make;
  }

  /** Call a method, on the next connection if there is none now. */
  callRemote(method: string, ...args: unknown[]): RemotePromise {
    return this._link._call(this, { method, args, options: {} });
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata; or at most once. */
  callRemoteWith(options: CallOptions, method: string, ...args: unknown[]): RemotePromise {
    return this._link._call(this, { method, args, options });
  }

  /** Call a method without an answer; nothing is sent while there is no connection. */
  send(name: string, ...args: unknown[]): void {
    this._link._send(this, name, args);
  }

  /** Return an object with the methods of a contract. */
  of<T extends object>(contract: Contract<T>, options: CallOptions = {}): Typed<T> {
    return typed(this, contract, options);
  }

  /** Return the reference that a method returns, which is called again on each connection. */
  recipe(name: string, ...args: unknown[]): LinkedReference {
    if (args.some((each) => isCallable(placeless(each))))
      throw new TypeError("a recipe cannot hold a reference of one connection");
    const made = new LinkedReference(this._link, (connection) => {
      const here = args.map((each) => onConnection(each, connection));
      return withPlace(this._on(connection), (on) => on.callRemote(name, ...here));
    });
    this._link._addRecipe(made);
    return made;
  }

  /** What it is on a connection. @internal */
  _on(connection: Connection): Place {
    let place = this._made.get(connection);
    if (!place) {
      place = placeOf(() => this._make(connection));
      this._made.set(connection, place);
    }
    return place;
  }
}

/** Return what a function of a recipe has returned, as something that calls are made on. */
function placeOf(make: () => unknown): Place {
  const checked = (made: unknown): any => {
    const value = placeless(made);
    if (isCallable(value)) return value;
    throw new TypeError("a recipe has returned something that is not a reference");
  };
  let made: any;
  try {
    made = placeless(make());
    if (typeof made?.then !== "function") return checked(made);
  } catch (error) {
    made = Promise.reject(error);
  }
  const place = made instanceof RemotePromise ? made : Promise.resolve(made).then(checked);
  // Calls on it have its error.
  place.then(null, () => {});
  return place;
}

/** Return what the methods of a contract are called on; other values as they are. */
const placeless = (value: unknown): unknown => (value instanceof Bound ? value._on : value);

/** Call with what calls can be made on: now, if that is known. */
export function withPlace<T>(place: Place, use: (on: RemoteReference | RemotePromise) => T): any {
  return isCallable(place) ? use(place) : place.then(use);
}

/** Return an argument of a call on a connection: references of the link are those of it. */
export function onConnection(value: unknown, connection: Connection): unknown {
  const plain = placeless(value);
  return plain instanceof LinkedReference ? plain._on(connection) : value;
}
