/**
 * The calls of this end: they are sent in their order, and get their answers. Calls on promises go out
 * before the result is there, or wait for it here.
 */
import { ConnectionLost, NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { type Target, isMeta } from "./frames.ts";
import { Jellier, arePlain, idOf, putGraph, word } from "./jellier.ts";
import { PendingCall, type Request, promisesIn, resultOf, settledValue } from "./pending.ts";
import type { RemotePromise } from "./promise.ts";
import { RemoteReference } from "./references.ts";
import { Referenceable } from "./registry.ts";
import { ROW_CACHE_CALL, ROW_CALL, ROW_CANCEL, ROW_GRAPH, ROW_SEND } from "./rows.ts";
import type { Session } from "./session.ts";
import type { Credit } from "./streams.ts";
import { type Expression, Tuple } from "./values.ts";

/** The most open calls behind which a call on a promise is sent, and the most that wait here. */
const MOST_OPEN = 1024;

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
  call(id: number | string, request: Request): RemotePromise;
  /** Call without an answer. */
  send(id: number | string, request: Request): void;
}

/** The calls of one connection. */
export class Calls implements Caller {
  private _open = new Map<number, PendingCall>();
  private _last = 0;
  private _session: Session;
  /** Calls that wait behind a call to the same object, whose arguments are promises. */
  private _held = new Map<number | string, (() => void)[]>();
  /** Calls that wait for a promise at the peer, and here. */
  private _sent = 0;
  private _queued = 0;

  constructor(session: Session) {
    this._session = session;
  }

  /** The number of calls that have no answer yet. */
  get openCount(): number {
    return this._open.size;
  }

  call(id: number | string, request: Request): RemotePromise {
    const call = this._made(request);
    this._inOrder(id, request, call);
    return call.promise;
  }

  send(id: number | string, request: Request): void {
    this._inOrder(id, request);
  }

  /** Make a call, which its AbortSignal or its deadline may end before it is sent. */
  private _made({ name, options: { signal, timeout, credit } }: Request): PendingCall {
    const call = new PendingCall(this, name, credit);
    if (!signal && timeout === undefined) return call;
    const giveUp = (error: unknown) => {
      // The number of a call that was sent is kept until its answer comes.
      if (!call.settled && call.id !== undefined) this._session.put([ROW_CANCEL, call.id]);
      call.fail(error);
    };
    const abort = () => giveUp(signal!.reason);
    const late = () => giveUp(new RemoteError(NAMES.timeout, `no answer in ${timeout} ms`));
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout);
    signal?.addEventListener("abort", abort);
    call.cleanup = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted) abort();
    return call;
  }

  /**
   * Send a call behind those to the same object that wait, or keep it until its promised arguments are
   * there; later calls wait behind it.
   */
  private _inOrder(id: number | string, request: Request, call?: PendingCall): void {
    const promises = promisesIn(request);
    const waits = promises.filter((promise) => !this._isPromisable(promise));
    const run = () => this._start(id, promises.length ? withValues(request) : request, call);
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
  private _start(target: Target, request: Request, call?: PendingCall): void {
    const { ended } = this._session;
    try {
      if (call?.settled || (ended && !call)) return;
      if (ended) throw ended;
      const id = ++this._last;
      this._write(id, target, request, call ? ROW_CALL : ROW_SEND);
      if (!call) return;
      call.id = id;
      this._open.set(id, call);
    } catch (error) {
      if (!call) throw error;
      call.fail(error);
    }
  }

  private _write(id: number, target: Target, request: Request, row: number): void {
    const { name, args, options, toCache } = request;
    const { kw = {}, timeout, credit, once } = options;
    if (once) throw new TypeError("once needs the avatar, the root or a recipe of a link");
    const meta = { ...options.meta };
    if (credit) meta.credit = `${credit.items},${credit.bytes}`;
    if (!isMeta(meta)) throw new TypeError("no such metadata");
    const tail: unknown[] = timeout === undefined ? [] : [Math.ceil(timeout)];
    if (Object.keys(meta).length) tail[1] = meta;
    const session = this._session;
    const head = [toCache ? row + ROW_CACHE_CALL - ROW_CALL : row, id, target, name];
    const jellier = new Jellier(session);
    if (arePlain([...args, ...Object.values(kw)])) session.put([...head, args, kw, ...tail]);
    else
      putGraph(session, jellier, () => {
        const graph = [jellier.write(Tuple.from(args)), jellier.write(kw)];
        return [ROW_GRAPH, ...head, graph, ...tail];
      });
  }

  /** Return the call that an answer is for. */
  answered(id: number): PendingCall {
    const call = this._open.get(id);
    if (!call) throw new ProtocolError(`answer to unknown request ${id}`);
    this._open.delete(id);
    const source = call.dependent?.[0]._call;
    if (source) {
      this._sent--;
      source.underWay--;
      source.flush();
    }
    return call;
  }

  /** Reject a call with the error of the peer. */
  reject(call: PendingCall, error: unknown): void {
    // The peer may have forgotten why the promise of the call has failed.
    call.fail(call.dependent?.[0]._call!.failure ?? error);
  }

  /** The connection has ended. */
  lost({ code, message }: ConnectionLost): void {
    const open = [...this._open.values()];
    this._open.clear();
    // They were sent. A peer that has drained has answered all that it has run.
    const why = new ConnectionLost(code, message, code !== "draining");
    for (const call of open) call.fail(why);
    // No call comes home.
    for (const { dependent } of open)
      if (dependent) {
        dependent[0]._call!.underWay = 0;
        dependent[0]._call!.flush();
      }
    for (const queue of [...this._held.values()]) for (const go of queue) go();
    this._held.clear();
  }

  // -- promises ------------------------------------------------------------------------------

  /** Call a method of the object that a promise becomes. */
  callOn(on: RemotePromise, request: Request): RemotePromise {
    const source = on._call!;
    const call = this._made(request);
    // Its failure is that of the calls on it.
    on.catch(() => {});
    if (source.isOpen) this._resolved(call, on, request);
    else if (
      !source.settled &&
      source.id !== undefined &&
      !source.queue.length &&
      this._sent < this._session.promised &&
      this.openCount < MOST_OPEN &&
      !promisesIn(request).length
    )
      this._send(call, on, request);
    else if (this._queued >= MOST_OPEN)
      call.fail(new RemoteError(NAMES.busy, `${MOST_OPEN} calls wait for promises here`));
    else {
      this._queued++;
      source.queue.push(() => {
        this._queued--;
        this._resolved(call, on, request);
      });
    }
    return call.promise;
  }

  private _send(call: PendingCall, on: RemotePromise, request: Request): void {
    const { _call: source, _step: step } = on;
    this._start(step === undefined ? [source!.id!] : [source!.id!, step], request, call);
    if (call.id === undefined) return;
    call.dependent = [on, request];
    source!.underWay++;
    this._sent++;
  }

  /** Make a call on a promise that has been settled. */
  private _resolved(call: PendingCall, on: RemotePromise, request: Request): void {
    const { failure, name } = on._call!;
    if (call.settled) return;
    if (failure !== undefined) return call.fail(failure);
    const target = resultOf(on);
    if (target instanceof RemoteReference) this._inOrder(target._id as number, request, call);
    else if (target instanceof Referenceable)
      (async () => this._session.callOwn(target, request))().then(
        (value) => call.settle(value),
        (error) => call.fail(error),
      );
    else {
      const text = `'${name}' returned a value that is not a reference; not run`;
      call.fail(new RemoteError(NAMES.broken, text));
    }
  }

  /** A call on a promise was not run by the peer: its target is an object of this end. */
  home(id: number): void {
    const call = this._open.get(id);
    const [on, request] = call?.dependent ?? [];
    const source = on?._call;
    if (!source?.cameHome && !(on && resultOf(on) instanceof Referenceable))
      throw new ProtocolError(`request ${id} did not come home`);
    call!.cameHome = true;
    const go = () => this._resolved(call!, on!, request!);
    if (source!.settled) go();
    else source!.queue.push(go);
    this.answered(id);
  }

  /** Whether a promise among arguments can be sent, or has its value. */
  private _isPromisable({ _call: call }: RemotePromise): boolean {
    const { settled, failure, id } = call!;
    return settled
      ? failure === undefined
      : id !== undefined && this._session.promised > this._sent;
  }

  /** Return the expression of a promise among the arguments. */
  write(promise: RemotePromise, jellier: Jellier): Expression {
    const { _call: call, _step: step } = promise;
    const { settled, id } = call!;
    if (settled) return jellier.put(resultOf(promise));
    if (id === undefined || !this._session.promised)
      throw new RemoteError(NAMES.cannot, "a promise within an argument cannot be sent; await it");
    promise.catch(() => {});
    return [word("promised"), id, ...(step === undefined ? [] : [idOf(step)])];
  }
}

/** Return a request with the values of its promises that are settled. */
function withValues(request: Request): Request {
  const { args, options } = request;
  const entries = Object.entries(options.kw ?? {});
  const kw: Record<string, unknown> = Object.fromEntries(
    entries.map(([key, value]) => [key, settledValue(value)]),
  );
  return { ...request, args: args.map(settledValue), options: { ...options, kw } };
}
