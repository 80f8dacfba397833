/**
 * The calls of this end: they are sent in their order, and get their answers. Calls on promises go out
 * before the result is there, or wait for it here.
 */
import { ConnectionLost, NAMES, RemoteError, fault } from "./errors.ts";
import { type Target, isMeta } from "./frames.ts";
import { callOwn } from "./incoming.ts";
import { type Jellier, arePlain, cannot, idOf, putGraph, word } from "./jellier.ts";
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

/** The calls of one connection. */
export interface Calls {
  call(id: number | string, request: Request): RemotePromise;
  /** Call without an answer; or with one, if there is a call for it. */
  send(id: number | string, request: Request, call?: PendingCall): void;
  /** Call a method of the object that a promise becomes. */
  callOn(on: RemotePromise, request: Request): RemotePromise;
  /** The number of calls that have no answer yet. */
  count(): number;
  /** Return the call that an answer is for. */
  answered(id: number): PendingCall;
  /** Reject a call with the error of the peer. */
  reject(call: PendingCall, error: unknown): void;
  /** A call on a promise was not run by the peer: its target is an object of this end. */
  home(id: number): void;
  /** Return the expression of a promise among the arguments. */
  write(promise: RemotePromise, jellier: Jellier): Expression;
  /** The connection has ended. */
  lost(why: ConnectionLost): void;
}

/** Return the calls of a session. */
export function createCalls(session: Session): Calls {
  const open = new Map<number, PendingCall>();
  let last = 0;
  /** When the calls to an object have left that wait for promises among their arguments. */
  const held = new Map<Target, Promise<void>>();
  const waiting = new Set<PendingCall | undefined>();
  /** Calls that wait for a promise at the peer, and here. */
  let sent = 0;
  let queued = 0;

  /** Make a call, which its AbortSignal or its deadline may end before it is sent. */
  const make = ({ name, options: { signal, timeout, credit } }: Request): PendingCall => {
    const call = new PendingCall(calls, name, credit);
    if (!signal && timeout === undefined) return call;
    const giveUp = (error: unknown) => {
      // The number of a call that was sent is kept until its answer comes.
      if (!call.settled && call.id !== undefined) session.put([ROW_CANCEL, call.id]);
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
  };

  const write = (id: number, target: Target, request: Request, row: number) => {
    const { name, args, options, toCache } = request;
    const { kw = {}, timeout, meta, credit, once } = options;
    if (once) throw new TypeError("once needs the avatar, the root or a recipe of a link");
    const isPlain = arePlain(args.concat(Object.values(kw)));
    const message: unknown[] = isPlain ? [] : [ROW_GRAPH];
    message.push(toCache ? row + ROW_CACHE_CALL - ROW_CALL : row, id, target, name);
    /** Add the arguments, and what stands behind them. */
    const complete = (...given: unknown[]) => {
      message.push(...given);
      if (timeout !== undefined) message.push(Math.ceil(timeout));
      const sent = credit ? { ...meta, credit: `${credit.items},${credit.bytes}` } : (meta ?? {});
      if (!Object.keys(sent).length) return message;
      if (!isMeta(sent)) throw new TypeError("no such metadata");
      if (timeout === undefined) message.push(null);
      message.push(sent);
      return message;
    };
    if (isPlain) session.put(complete(args, kw));
    else
      putGraph(session, (jellier) =>
        complete([jellier.write(Tuple.from(args)), jellier.write(kw)]),
      );
  };

  /** Send a call now. */
  const start = (target: Target, request: Request, call?: PendingCall) => {
    const { ended } = session;
    try {
      if (call?.settled || (ended && !call)) return;
      if (ended) throw ended;
      write(++last, target, request, call ? ROW_CALL : ROW_SEND);
      if (call) open.set((call.id = last), call);
    } catch (error) {
      if (!call) throw error;
      call.fail(error);
    }
  };

  /** Whether a promise among arguments can be sent, or has its value. */
  const isPromisable = ({ _call: call }: RemotePromise) => {
    const { settled, failure, id } = call!;
    if (settled) return failure === undefined;
    return call!.calls === calls && id !== undefined && session.promised() > sent;
  };

  /**
   * Send a call behind those to the same object that wait, or keep it until its promised arguments are
   * there; later calls wait behind it.
   */
  const send = (id: number | string, request: Request, call?: PendingCall): void => {
    const promises = promisesIn(request);
    const waits = promises.filter((promise) => !isPromisable(promise));
    const run = () => start(id, promises.length ? withValues(request) : request, call);
    const before = held.get(id);
    if (!before && !waits.length) return run();
    const after = Promise.resolve(before)
      .then(() => Promise.all(waits))
      .then(run, (error) => call?.fail(error))
      // The error of a call without an answer has no place to go.
      .catch(() => {})
      .then(() => {
        waiting.delete(call);
        if (held.get(id) === after) held.delete(id);
      });
    waiting.add(call);
    held.set(id, after);
  };

  /** Return the call that an answer is for. */
  const answered = (id: number): PendingCall => {
    const call = open.get(id) ?? fault(`answer to unknown request ${id}`);
    open.delete(id);
    const source = call.dependent?.[0]._call;
    if (source) {
      sent--;
      source.underWay--;
      source.flush();
    }
    return call;
  };

  /** Make a call on a promise that has been settled. */
  const resolved = (call: PendingCall, on: RemotePromise, request: Request) => {
    const { failure, name } = on._call!;
    if (call.settled) return;
    if (failure !== undefined) return call.fail(failure);
    const target = resultOf(on);
    if (target instanceof RemoteReference) send(target._id, request, call);
    else if (target instanceof Referenceable)
      (async () => callOwn(target, request))().then(
        (value) => call.settle(value),
        (error) => call.fail(error),
      );
    else {
      const text = `'${name}' returned a value that is not a reference; not run`;
      call.fail(new RemoteError(NAMES.broken, text));
    }
  };

  const calls: Calls = {
    send,
    answered,
    count: () => open.size,

    call(id, request) {
      const call = make(request);
      send(id, request, call);
      return call.promise;
    },

    callOn(on, request) {
      const { _call: source, _step: step } = on;
      const { id, queue, settled, isOpen } = source!;
      const call = make(request);
      const go = () => resolved(call, on, request);
      const isSent =
        !settled &&
        id !== undefined &&
        !queue.length &&
        sent < session.promised() &&
        open.size < MOST_OPEN &&
        !promisesIn(request).length;
      // Its failure is that of the calls on it.
      on.catch(() => {});
      if (isOpen) go();
      else if (isSent) {
        start(step === undefined ? [id] : [id, step], request, call);
        if (call.id !== undefined) {
          call.dependent = [on, request];
          source!.underWay++;
          sent++;
        }
      } else if (queued >= MOST_OPEN)
        call.fail(new RemoteError(NAMES.busy, `${MOST_OPEN} calls wait for promises here`));
      else {
        queued++;
        queue.push(() => {
          queued--;
          go();
        });
      }
      return call.promise;
    },

    reject(call, error) {
      // The peer may have forgotten why the promise of the call has failed.
      call.fail(call.dependent?.[0]._call!.failure ?? error);
    },

    home(id) {
      const call = open.get(id);
      const [on, request] = call?.dependent ?? [];
      const source = on?._call;
      if (!source?.cameHome && !(on && resultOf(on) instanceof Referenceable))
        fault(`request ${id} did not come home`);
      call!.cameHome = true;
      const go = () => resolved(call!, on!, request!);
      if (source!.settled) go();
      else source!.queue.push(go);
      answered(id);
    },

    write(promise, jellier) {
      const { _call: call, _step: step } = promise;
      const { settled, id } = call!;
      if (settled) return jellier.put(resultOf(promise));
      if (call!.calls !== calls || id === undefined || !session.promised())
        return cannot("promise within an argument");
      promise.catch(() => {});
      return [word("promised"), id, ...(step === undefined ? [] : [idOf(step)])];
    },

    lost({ code, message }) {
      const pending = [...open.values()];
      open.clear();
      // They were sent. A peer that has drained has answered all that it has run.
      const why = new ConnectionLost(code, message, code !== "draining");
      for (const call of pending) call.fail(why);
      // No call comes home.
      for (const { dependent } of pending)
        if (dependent) {
          dependent[0]._call!.underWay = 0;
          dependent[0]._call!.flush();
        }
      for (const call of waiting) call?.fail(session.ended);
    },
  };
  return calls;
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
