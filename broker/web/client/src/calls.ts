/** The calls of this end: they are sent in their order, and get their answers. */
import { ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import type { Target } from "./frames.ts";
import { Jellier, type Sender, arePlain, putGraph } from "./jellier.ts";
import { PendingCall, type Request, promisesIn, settledValue } from "./pending.ts";
import type { RemotePromise } from "./promise.ts";
import { PromisedCalls } from "./promised.ts";
import {
  ROW_CACHE_CALL,
  ROW_CACHE_SEND,
  ROW_CALL,
  ROW_CANCEL,
  ROW_GRAPH,
  ROW_SEND,
} from "./rows.ts";
import type { Credit } from "./streams.ts";
import { Tuple } from "./values.ts";

/** What a call has beside its arguments. */
export interface CallOptions {
  /** Keyword arguments of Python. */
  kw?: Record<string, unknown> | undefined;
  /** Milliseconds after which the call fails, here and at the peer. */
  timeout?: number;
  /** Ends the call. */
  signal?: AbortSignal;
  /** Metadata; keys of an application begin with `x-`. */
  meta?: Record<string, string>;
  /** The first credit of the streams in the result. */
  credit?: Credit;
  /** For references of a Link: run it at most once, although it is made again if need be. */
  once?: boolean;
}

/** What makes calls. */
export interface Caller {
  call(id: number | string, request: Request, toCache?: boolean): RemotePromise;
  /** Call without an answer. */
  send(id: number | string, request: Request, toCache?: boolean): void;
}

/** What calls ask of their session. */
export interface CallHost extends Sender {
  put(message: unknown[]): number;
  /** Why calls cannot be made; undefined if they can. */
  readonly ended: Error | undefined;
  /** Calls on promises that the peer takes. */
  readonly promised: number;
  /** Call a method of an object of this end. */
  callOwn(target: object, name: string, args: unknown[], options: CallOptions): unknown;
}

/** The calls of one connection. */
export class Calls implements Caller {
  readonly promised: PromisedCalls;
  private _open = new Map<number, PendingCall>();
  private _last = 0;
  private _host: CallHost;
  /** Calls that wait behind a call to the same object, whose arguments are promises. */
  private _held = new Map<number | string, (() => void)[]>();

  constructor(host: CallHost) {
    this._host = host;
    this.promised = new PromisedCalls(this, host);
  }

  /** The number of calls that have no answer yet. */
  get openCount(): number {
    return this._open.size;
  }

  call(id: number | string, request: Request, toCache = false): RemotePromise {
    const call = this.made(request.name, request.options);
    this.sendInOrder(call, id, request, toCache);
    return call.promise;
  }

  send(id: number | string, request: Request, toCache = false): void {
    if (this._host.ended) return;
    this._inOrder(id, request, undefined, (ready) =>
      this._write(toCache ? ROW_CACHE_SEND : ROW_SEND, ++this._last, id, ready),
    );
  }

  /** Make a call, which its AbortSignal or its deadline may end before it is sent. */
  made(name: string, { signal, timeout, credit }: CallOptions): PendingCall {
    const call = new PendingCall(this, name, credit);
    if (!signal && timeout === undefined) return call;
    const giveUp = (error: unknown) => {
      // The number of a call that was sent is kept until its answer comes.
      if (!call.settled && call.id !== undefined) this._host.put([ROW_CANCEL, call.id]);
      call.fail(error);
    };
    const abort = () => giveUp(signal!.reason);
    const late = () => giveUp(new RemoteError(NAMES.timeout, `no answer in ${timeout} ms`));
    signal?.addEventListener("abort", abort);
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout);
    call.cleanup = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted) abort();
    return call;
  }

  /** Send a call behind those to the same object that wait. */
  sendInOrder(call: PendingCall, id: number | string, request: Request, toCache = false): void {
    this._inOrder(id, request, call, (ready) => this.start(call, id, ready, toCache));
  }

  /** Send a call, or keep it until its promised arguments are there; later calls wait behind it. */
  private _inOrder(
    id: number | string,
    request: Request,
    call: PendingCall | undefined,
    go: (request: Request) => void,
  ): void {
    const promises = promisesIn(request.args, request.options.kw);
    const waits = promises.filter((promise) => !this.promised.isPromisable(promise));
    const run = () => {
      if (call?.settled) return;
      try {
        go(promises.length ? withValues(request) : request);
      } catch (error) {
        if (!call) throw error;
        call.fail(error);
      }
    };
    const start = () => {
      if (!waits.length) return run();
      const queue: (() => void)[] = [];
      this._held.set(id, queue);
      const next = () => {
        this._held.delete(id);
        while (queue.length) {
          queue.shift()!();
          const again = this._held.get(id);
          if (again) return void again.push(...queue);
        }
      };
      Promise.all(waits)
        .then(run, (error) => call?.fail(error))
        // The error of a call without an answer has no place to go.
        .then(next, next);
    };
    const held = this._held.get(id);
    if (held) held.push(start);
    else start();
  }

  /** Send a call now. */
  start(call: PendingCall, target: Target, request: Request, toCache = false): void {
    if (call.settled) return;
    if (this._host.ended) throw this._host.ended;
    const id = ++this._last;
    this._write(toCache ? ROW_CACHE_CALL : ROW_CALL, id, target, request);
    call.id = id;
    this._open.set(id, call);
  }

  private _write(row: number, id: number, target: Target, { name, args, options }: Request): void {
    const { kw = {}, timeout, meta, credit, once } = options;
    if (once) throw new TypeError("once needs the avatar, the root or a recipe of a link");
    const all = credit ? { ...meta, credit: `${credit.items},${credit.bytes}` } : (meta ?? {});
    const tail: unknown[] = timeout === undefined ? [] : [Math.ceil(timeout)];
    if (Object.keys(all).length) tail[1] = checked(all);
    if (arePlain([...args, ...Object.values(kw)])) {
      this._host.put([row, id, target, name, args, kw, ...tail]);
      return;
    }
    const jellier = new Jellier(this._host);
    putGraph(this._host, jellier, () => {
      const graph = [jellier.write(Tuple.from(args)), jellier.write(kw)];
      return [ROW_GRAPH, row, id, target, name, graph, ...tail];
    });
  }

  /** Return the call that an answer is for. */
  answered(id: number): PendingCall {
    const call = this._open.get(id);
    if (!call) throw new ProtocolError(`answer to unknown request ${id}`);
    this._open.delete(id);
    this.promised.answered(call);
    return call;
  }

  /** Reject a call with the error of the peer. */
  reject(call: PendingCall, error: unknown): void {
    // The peer may have forgotten why the promise of the call has failed.
    call.fail(call.dependent?.[0]._call!.failure ?? error);
  }

  /** A call on a promise was not run by the peer: its target is an object of this end. */
  home(id: number): void {
    this.promised.home(id, this._open.get(id));
    this.answered(id);
  }

  /** The connection has ended. */
  lost(why: ConnectionLost): void {
    const open = [...this._open.values()];
    this._open.clear();
    // They were sent. A peer that has drained has answered all that it has run.
    const { code, message } = why;
    if (code !== "draining") why = new ConnectionLost(code, message, true);
    for (const call of open) call.fail(why);
    this.promised.lost(open);
    for (const queue of [...this._held.values()]) for (const go of queue) go();
    this._held.clear();
  }
}

/** Return a request with the values of its promises that are settled. */
function withValues({ name, args, options }: Request): Request {
  const entries = Object.entries(options.kw ?? {}).map(([key, value]) => [
    key,
    settledValue(value),
  ]);
  const kw: Record<string, unknown> = Object.fromEntries(entries);
  return { name, args: args.map(settledValue), options: { ...options, kw } };
}

function checked(meta: Record<string, string>): Record<string, string> {
  const entries = Object.entries(meta);
  const isLegal = ([key, value]: [string, string]) =>
    /^[a-z0-9-]{1,64}$/.test(key) && value.length <= 512;
  if (entries.length > 8 || !entries.every(isLegal)) throw new TypeError("no such metadata");
  return meta;
}
