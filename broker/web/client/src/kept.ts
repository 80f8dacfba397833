/** What a link keeps over its connections: its recipes, and the calls that wait for the next one. */
import type { Calls } from "./calls.ts";
import type { Connection } from "./connection.ts";
import { ConnectionLost, RemoteError } from "./errors.ts";
import { LinkedReference, type Linking, isCallable, onConnection, withPlace } from "./linked.ts";
import { OnceCall, OnceKeys } from "./once.ts";
import { PendingCall, type Request } from "./pending.ts";
import type { RemotePromise } from "./promise.ts";
import type { RemoteReference } from "./references.ts";
import type { Terms } from "./terms.ts";

const MOST_WAITING = 1000;
const MOST_RECIPES = 1000;

/** A call of a link. */
interface LinkedCall {
  pending: PendingCall;
  target: LinkedReference;
  request: Request;
  /** Calls that wait are made in the order of their numbers. */
  number: number;
  once: OnceCall | undefined;
  /** When its deadline is over. */
  ends: number;
  /** The connection on which it was made last. */
  tried: Connection | undefined;
  timer?: ReturnType<typeof setTimeout>;
}

/** The recipes and the calls of a link. */
export class Kept implements Linking {
  /** The avatar, or the root. */
  readonly first: LinkedReference;
  /** The connection on which calls are made. */
  connection: Connection | undefined;
  private _terms: Terms | undefined;
  private _patience: number;
  private _recipes = new Set<WeakRef<LinkedReference>>();
  private _waiting = new Map<number, LinkedCall>();
  private _made = 0;
  private _end: unknown;
  private _keys = new OnceKeys();
  /** The calls of results: they wait for the result. */
  private _onResults = { callOn: callOnResult } as unknown as Calls;

  constructor(patience: number, first: (connection: Connection) => RemoteReference) {
    this._patience = patience;
    this.first = new LinkedReference(this, first);
  }

  /** The connection on which calls can be made now. */
  get open(): Connection | undefined {
    const now = this.connection;
    return now?.isOpen && !now.draining ? now : undefined;
  }

  _call(target: LinkedReference, request: Request): RemotePromise {
    const { method, options } = request;
    const { signal, timeout = Infinity, credit } = options;
    const pending = new PendingCall(this._onResults, method, credit);
    const once = options.once ? new OnceCall(this._keys) : undefined;
    const number = ++this._made;
    const ends = Date.now() + timeout;
    const call: LinkedCall = { pending, target, request, number, once, ends, tried: undefined };
    const abort = () => pending.fail(signal!.reason);
    signal?.addEventListener("abort", abort);
    pending.cleanup = () => {
      signal?.removeEventListener("abort", abort);
      clearTimeout(call.timer);
      this._waiting.delete(number);
      once?.end();
    };
    if (signal?.aborted) abort();
    else this._put(call, this.open);
    return pending.promise;
  }

  _send(target: LinkedReference, name: string, args: unknown[]): void {
    const now = this.open;
    if (!now) return;
    const here = args.map((each) => onConnection(each, now));
    const sent = withPlace(target._on(now), (on) => on.send(name, ...here));
    sent?.catch(() => {});
  }

  _addRecipe(reference: LinkedReference): void {
    for (const each of this._recipes) if (!each.deref()) this._recipes.delete(each);
    if (this._recipes.size >= MOST_RECIPES) throw new RangeError(`${MOST_RECIPES} recipes`);
    this._recipes.add(new WeakRef(reference));
    const now = this.open;
    if (now) reference._on(now);
  }

  /** Make a call on a connection, or let it wait for one. */
  private _put(call: LinkedCall, on: Connection | undefined): void {
    const { pending, target, request, once, ends } = call;
    if (pending.settled) return;
    if (!on) return this._wait(call);
    call.tried = on;
    const begin = (place: RemoteReference | RemotePromise) => {
      if (pending.settled) return;
      const { once: _, ...options } = request.options;
      if (ends !== Infinity) options.timeout = Math.max(1, ends - Date.now());
      if (once) options.meta = { ...options.meta, once: once.keyFor(this._terms!) };
      const args = request.args.map((each) => onConnection(each, on));
      const inner = place.callRemoteWith(options, request.method, ...args);
      inner.then(
        (value) => pending.settle(value),
        (error) => this._failed(call, error, inner._call.id !== undefined),
      );
    };
    const failed = (error: unknown) => this._failed(call, error, false);
    try {
      const place = target._on(on);
      // A key is for an object that is known, and not for a promise.
      const ready = once && isCallable(place) && "then" in place ? place.then((it) => it) : place;
      withPlace(ready, begin)?.then?.(null, failed);
    } catch (error) {
      failed(error);
    }
  }

  /** A call has failed on a connection: it is made again if it has surely not run, or has a key. */
  private _failed(call: LinkedCall, error: unknown, wasSent: boolean): void {
    const { pending, once } = call;
    const isLost = error instanceof ConnectionLost;
    const isRefused = error instanceof RemoteError && error.is("broker.errors.ServerDraining");
    const mayHaveRun = isLost && wasSent && error.mayHaveRun;
    const isNotAgain = isLost && error.mayHaveRun && !wasSent && once?.mayHaveRun;
    if ((isLost || isRefused) && (once || !mayHaveRun) && !isNotAgain) {
      once?.lost(mayHaveRun);
      const now = this.open;
      return this._put(call, now === call.tried ? undefined : now);
    }
    // A server that is too busy has not looked whether the call has run before.
    const isBusy = error instanceof RemoteError && error.is("broker.errors.ServerBusy");
    pending.fail(once && (isBusy || !(error instanceof RemoteError)) ? once.ending(error) : error);
  }

  private _wait(call: LinkedCall): void {
    if (this._end) return call.pending.fail(call.once?.ending(this._end) ?? this._end);
    if (this._waiting.size >= MOST_WAITING)
      return this._refuse(call, `${MOST_WAITING} calls wait for a connection`);
    this._waiting.set(call.number, call);
    const wait = Math.max(0, Math.min(this._patience, call.ends - Date.now()));
    const late = () => this._refuse(call, `no connection in ${Math.round(wait / 10) / 100} s`);
    call.timer = setTimeout(late, wait);
  }

  private _refuse(call: LinkedCall, why: string): void {
    const mayHaveRun = !!call.once?.mayHaveRun;
    const text = `${mayHaveRun ? "may have run" : "not run"}: ${why}`;
    call.pending.fail(new ConnectionLost("lost", text, mayHaveRun));
  }

  private _takeWaiting(): LinkedCall[] {
    const calls = [...this._waiting.values()];
    this._waiting.clear();
    for (const call of calls) clearTimeout(call.timer);
    return calls.sort((one, other) => one.number - other.number);
  }

  /** Make the recipes, and then the calls that wait, on a new connection. */
  begin(connection: Connection, terms: Terms): void {
    this.connection = connection;
    this._terms = terms;
    this.first._on(connection);
    for (const recipe of this._recipes) recipe.deref()?._on(connection);
    for (const call of this._takeWaiting()) this._put(call, connection);
  }

  /** Refuse the calls that wait, and all that would wait. */
  end(error: unknown): void {
    this._end ??= error;
    this.connection = undefined;
    for (const call of this._takeWaiting()) this._wait(call);
  }
}

/** Call a method of the result of a call of a link, when it has come. */
function callOnResult(on: RemotePromise, { method, args, options }: Request): RemotePromise {
  const pending = new PendingCall(on._call.calls, method, options.credit);
  const call = (value: any) => {
    if (isCallable(value)) return value.callRemoteWith(options, method, ...args);
    throw new TypeError(`'${on._call.method}' returned a value that is not a reference; not run`);
  };
  on.then(call).then(
    (value) => pending.settle(value),
    (error) => pending.fail(error),
  );
  return pending.promise;
}
