/**
 * The calls of this end: they are sent in their order, and get their answers. Calls on promises go out
 * before the result is there, or wait for it here.
 */
import { ConnectionLost, RemoteError, fault } from "./errors.ts";
import { NAMES } from "./names.ts";
import { type Target, isMeta } from "./frames.ts";
import { loadServed } from "./loaded.ts";
import { type Jellier, arePlain, cannot, idOf, word } from "./jellier.ts";
import { PendingCall, type Request, promisesIn, resultOf } from "./pending.ts";
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
  callTo(id: number | string, request: Request): RemotePromise;
  /** Call without an answer; or with one, if there is a call for it. */
  sendTo(id: number | string, request: Request, call?: PendingCall): void;
  /** Call a method of the object that a promise becomes. */
  callOn(on: RemotePromise, request: Request): RemotePromise;
  /** The calls that have no answer yet, by number. */
  readonly open: Map<number, PendingCall>;
  /** Return the call that an answer is for. */
  answered(id: number): PendingCall;
  /** Reject a call with the error of the peer. */
  failed(call: PendingCall, error: unknown): void;
  /** Make a call on a promise that has been settled. */
  resolved(call: PendingCall, on: RemotePromise, request: Request): void;
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
  const make = ({ method, options: { signal, timeout, credit } }: Request): PendingCall => {
    const call = new PendingCall(calls, method, credit);
    if (!signal && timeout === undefined) return call;
    const giveUp = (error: unknown) => {
      // The number of a call that was sent is kept until its answer comes.
      if (!call.settled && call.id) session.put([ROW_CANCEL, call.id]);
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
    const { method, args, options, toCache } = request;
    const { kw = {}, timeout, meta, credit, once } = options;
    if (once) throw new TypeError("once needs the avatar, the root or a recipe of a link");
    const isPlain = arePlain(args.concat(Object.values(kw)));
    const sent = { ...meta, ...(credit && { credit: `${credit.items},${credit.bytes}` }) };
    if (!isMeta(sent)) throw new TypeError("no such metadata");
    const head = [toCache ? row + ROW_CACHE_CALL - ROW_CALL : row, id, target, method];
    const tail: unknown[] = timeout === undefined ? [] : [Math.ceil(timeout)];
    if (Object.keys(sent).length) tail[1] = sent;
    if (isPlain) session.put([...head, args, kw, ...tail]);
    else
      session.putGraph((jellier) => [
        ROW_GRAPH,
        ...head,
        [jellier.write(Tuple.from(args)), jellier.write(kw)],
        ...tail,
      ]);
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
    return call.calls === calls && !!id && session.promised() > sent;
  };

  /**
   * Send a call behind those to the same object that wait, or keep it until its promised arguments are
   * there; later calls wait behind it.
   */
  const sendTo = (id: number | string, request: Request, call?: PendingCall): void => {
    const waits = promisesIn(request).filter((promise) => !isPromisable(promise));
    const run = () => start(id, request, call);
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
    const { failure, method } = on._call;
    if (call.settled) return;
    if (failure !== undefined) return call.fail(failure);
    const target = resultOf(on);
    if (target instanceof RemoteReference) sendTo(target._id, request, call);
    else if (target instanceof Referenceable)
      loadServed()
        .then(({ callOwn }) => callOwn(target, request))
        .then(
          (value) => call.settle(value),
          (error) => call.fail(error),
        );
    else {
      const text = `'${method}' returned a value that is not a reference; not run`;
      call.fail(new RemoteError(NAMES.broken, text));
    }
  };

  const calls: Calls = {
    sendTo,
    answered,
    resolved,
    open,

    callTo(id, request) {
      const call = make(request);
      sendTo(id, request, call);
      return call.promise;
    },

    callOn(on, request) {
      const { _call: source, _path } = on;
      const { id, queue, settled, isReady } = source!;
      const call = make(request);
      const go = () => resolved(call, on, request);
      const isSent =
        !settled &&
        id &&
        !queue.length &&
        sent < session.promised() &&
        open.size < MOST_OPEN &&
        !promisesIn(request).length;
      // Its failure is that of the calls on it.
      on.catch(() => {});
      if (isReady) go();
      else if (isSent) {
        start([id!, ..._path], request, call);
        if (call.id) {
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

    failed(call, error) {
      // The peer may have forgotten why the promise of the call has failed.
      call.fail(call.dependent?.[0]._call.failure ?? error);
    },

    write(promise, jellier) {
      const { _call: call, _path } = promise;
      const { settled, id } = call!;
      if (settled) return jellier.put(resultOf(promise));
      if (call.calls !== calls || !id || !session.promised())
        return cannot("promise within an argument");
      promise.catch(() => {});
      return [word("promised"), id, ..._path.map(idOf)];
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
          dependent[0]._call.underWay = 0;
          dependent[0]._call.flush();
        }
      for (const call of waiting) call?.fail(session.ended);
    },
  };
  return calls;
}
