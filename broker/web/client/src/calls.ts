/** The calls of this end: those that wait for an answer, and those that wait for a promise. */
import {
  ROW_CACHE_CALL,
  ROW_CACHE_SEND,
  ROW_CALL,
  ROW_CANCEL,
  ROW_GRAPH,
  ROW_SEND,
} from "./rows.ts";
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { type Target } from "./frames.ts";
import { Jellier, type Sender, arePlain, word } from "./jellier.ts";
import { RemotePromise, promiseOf, stepInto } from "./promise.ts";
import { RemoteReference } from "./references.ts";
import { Referenceable } from "./registry.ts";
import { type Credit, putGraph } from "./streams.ts";
import { type Expression, Tuple } from "./values.ts";

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
}

/** What makes calls. */
export interface Caller {
  call(
    target: number | string,
    name: string,
    args: unknown[],
    options: CallOptions,
    toCache?: boolean,
  ): RemotePromise;
  send(
    target: number | string,
    name: string,
    args: unknown[],
    options: CallOptions,
    toCache?: boolean,
  ): void;
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

/** A call on a promise, as it is kept in case that it comes home. */
interface Dependent {
  on: RemotePromise;
  name: string;
  args: unknown[];
  options: CallOptions;
}

/** A call that wants an answer. */
export class PendingCall {
  readonly calls: Calls;
  readonly name: string;
  /** Its number; undefined until it is sent. */
  id: number | undefined;
  promise!: RemotePromise;
  resolve!: (value: any) => void;
  reject!: (error: unknown) => void;
  settled = false;
  /** It was not run by the peer: its target is an object of this end. */
  cameHome = false;
  value: any;
  failure: unknown;
  /** The promise that it is made on, if it was sent so. */
  dependent: Dependent | undefined;
  /** Calls on this one that were sent, and are not answered. */
  underWay = 0;
  /** Calls on this one that wait here. */
  queue: (() => void)[] = [];
  cleanup: (() => void) | undefined;
  credit: Credit | undefined;

  constructor(calls: Calls, name: string) {
    this.calls = calls;
    this.name = name;
    promiseOf(this);
  }
}

const MOST_OPEN = 1024;

const brokenPromise = (text: string) => new RemoteError(NAMES.broken, text);

/** The calls of one connection. */
export class Calls implements Caller {
  private _open = new Map<number, PendingCall>();
  private _last = 0;
  private _host: CallHost;
  private _waiting = 0;
  private _queued = 0;
  /** Calls that wait behind a call to the same object, whose arguments are promises. */
  private _held = new Map<number | string, (() => void)[]>();

  constructor(host: CallHost) {
    this._host = host;
  }

  call(
    target: number | string,
    name: string,
    args: unknown[],
    options: CallOptions,
    toCache = false,
  ): RemotePromise {
    const call = this._made(name, options);
    this._inOrder(target, args, options, call, (ready, kw) =>
      this._start(call, target, name, ready, { ...options, kw }, toCache),
    );
    return call.promise;
  }

  send(
    target: number | string,
    name: string,
    args: unknown[],
    options: CallOptions,
    toCache = false,
  ): void {
    if (this._host.ended) return;
    this._inOrder(target, args, options, undefined, (ready, kw) =>
      this._write(toCache ? ROW_CACHE_SEND : ROW_SEND, ++this._last, target, name, ready, {
        ...options,
        kw,
      }),
    );
  }

  /** Make a call, which its AbortSignal or its deadline may end before it is sent. */
  private _made(name: string, { signal, timeout, credit }: CallOptions): PendingCall {
    const call = new PendingCall(this, name);
    call.credit = credit;
    if (!signal && timeout === undefined) return call;
    const giveUp = (error: unknown) => {
      if (call.settled) return;
      // The number of a call that was sent is kept until its answer comes.
      if (call.id !== undefined && !this._host.ended) this._host.put([ROW_CANCEL, call.id]);
      this._settle(call, undefined, error);
    };
    const abort = () => giveUp(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => giveUp(new RemoteError(NAMES.timeout, `no answer in ${timeout} ms`)), timeout);
    call.cleanup = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted) abort();
    return call;
  }

  /** Send a call, or keep it until its promised arguments are there; later calls wait behind it. */
  private _inOrder(
    target: number | string,
    args: unknown[],
    options: CallOptions,
    call: PendingCall | undefined,
    go: (args: unknown[], kw: Record<string, unknown> | undefined) => void,
  ): void {
    const { kw } = options;
    const held = this._held.get(target);
    const promises = promisesIn(args, kw);
    const waits = promises.filter((promise) => !this._isPromisable(promise));
    const run = () => {
      if (call?.settled) return;
      try {
        if (promises.length) go(args.map(settledValue), kw && mapValues(kw, settledValue));
        else go(args, kw);
      } catch (error) {
        if (!call) throw error;
        this._settle(call, undefined, error);
      }
    };
    const start = () => {
      if (!waits.length) return run();
      const queue: (() => void)[] = [];
      this._held.set(target, queue);
      const next = () => {
        this._held.delete(target);
        while (queue.length) {
          queue.shift()!();
          const again = this._held.get(target);
          if (again) return void again.push(...queue);
        }
      };
      Promise.all(waits).then(run, (error) => call && this._settle(call, undefined, error)).then(next);
    };
    if (held) held.push(start);
    else start();
  }

  /** Whether a promise among the arguments can be sent, or has its value. */
  private _isPromisable(promise: RemotePromise): boolean {
    const call = promise._call!;
    if (call.settled) return call.failure === undefined;
    return call.id !== undefined && this._host.promised > this._waiting;
  }

  private _start(
    call: PendingCall,
    target: Target,
    name: string,
    args: unknown[],
    options: CallOptions,
    toCache = false,
  ): void {
    if (call.settled) return;
    if (this._host.ended) throw this._host.ended;
    const id = this._last + 1;
    this._last = id;
    this._write(toCache ? ROW_CACHE_CALL : ROW_CALL, id, target, name, args, options);
    call.id = id;
    this._open.set(id, call);
  }

  private _write(
    row: number,
    id: number,
    target: Target,
    name: string,
    args: unknown[],
    { kw = {}, timeout, meta, credit }: CallOptions,
  ): void {
    const all = credit ? { ...meta, credit: `${credit.items},${credit.bytes}` } : (meta ?? {});
    const tail: unknown[] = timeout === undefined ? [] : [Math.ceil(timeout)];
    if (Object.keys(all).length) tail[1] = checked(all);
    if (arePlain([...args, ...Object.values(kw)])) {
      this._host.put([row, id, target, name, args, kw, ...tail]);
      return;
    }
    const jellier = new Jellier(this._host);
    putGraph(this._host, jellier, () => [
      ROW_GRAPH,
      row,
      id,
      target,
      name,
      [jellier.write(Tuple.from(args)), jellier.write(kw)],
      ...tail,
    ]);
  }

  // -- promises ------------------------------------------------------------------------------

  /** Call a method of the object that a promise becomes. */
  callPromise(
    on: RemotePromise,
    name: string,
    args: unknown[],
    options: CallOptions,
  ): RemotePromise {
    const source = on._call!;
    const call = this._made(name, options);
    // Its failure is that of the calls on it.
    on.catch(() => {});
    if (isOpen(source)) this._resolved(call, on, name, args, options);
    else if (this._canPipeline(source, args, options)) this._pipeline(call, on, name, args, options);
    else this._wait(call, on, name, args, options);
    return call.promise;
  }

  private _canPipeline(source: PendingCall, args: unknown[], { kw }: CallOptions): boolean {
    return (
      !source.settled &&
      source.id !== undefined &&
      !source.queue.length &&
      this._waiting < this._host.promised &&
      this._open.size < MOST_OPEN &&
      !promisesIn(args, kw).length
    );
  }

  private _pipeline(
    call: PendingCall,
    on: RemotePromise,
    name: string,
    args: unknown[],
    options: CallOptions,
  ): void {
    const source = on._call!;
    const target: Target = on._step === undefined ? [source.id!] : [source.id!, on._step];
    try {
      this._start(call, target, name, args, options);
    } catch (error) {
      return this._settle(call, undefined, error);
    }
    if (call.id === undefined) return;
    call.dependent = { on, name, args, options };
    source.underWay++;
    this._waiting++;
  }

  private _wait(
    call: PendingCall,
    on: RemotePromise,
    name: string,
    args: unknown[],
    options: CallOptions,
  ): void {
    if (this._queued >= MOST_OPEN)
      return this._settle(
        call,
        undefined,
        new RemoteError(NAMES.busy, `${MOST_OPEN} calls wait for promises here`),
      );
    this._queued++;
    on._call!.queue.push(() => {
      this._queued--;
      this._resolved(call, on, name, args, options);
    });
  }

  /** Make a call on a promise that has been settled. */
  private _resolved(
    call: PendingCall,
    on: RemotePromise,
    name: string,
    args: unknown[],
    options: CallOptions,
  ): void {
    if (call.settled) return;
    const source = on._call!;
    if (source.failure !== undefined) return this._settle(call, undefined, source.failure);
    const target = stepInto(source.value, on._step);
    if (target instanceof RemoteReference) {
      this._inOrder(target._id, args, options, call, (ready, kw) =>
        this._start(call, target._id, name, ready, { ...options, kw }),
      );
    } else if (target instanceof Referenceable) {
      try {
        const result = this._host.callOwn(target, name, args, options);
        Promise.resolve(result).then(
          (value) => this._settle(call, value),
          (error) => this._settle(call, undefined, error),
        );
      } catch (error) {
        this._settle(call, undefined, error);
      }
    } else {
      const text = `'${source.name}' returned a value that is not a reference; not run`;
      this._settle(call, undefined, brokenPromise(text));
    }
  }

  /** Write a promise among the arguments. */
  writePromise(promise: RemotePromise, out: Expression[], jellier: Jellier): void {
    const { _call: call, _step: step } = promise;
    if (call!.settled) return jellier.put(out, settledValue(promise));
    if (call!.id === undefined || this._host.promised === 0)
      throw new RemoteError(NAMES.cannot, "a promise within an argument cannot be sent; await it");
    const tail = step === undefined ? [] : [typeof step === "string" ? word(step) : step];
    out.push([word("promised"), call!.id, ...tail]);
    promise.catch(() => {});
  }

  // -- answers -------------------------------------------------------------------------------

  /** Return the call that an answer is for. */
  answered(id: number): PendingCall {
    const call = this._open.get(id);
    if (!call) throw new ProtocolError(`answer to unknown request ${id}`);
    this._close(id, call);
    return call;
  }

  private _close(id: number, call: PendingCall): void {
    this._open.delete(id);
    if (!call.dependent) return;
    this._waiting--;
    const source = call.dependent.on._call!;
    source.underWay--;
    if (source.settled) this._flush(source);
  }

  /** The first credit of the streams in the answer of a call. */
  creditOf(id: number): Credit | undefined {
    return this._open.get(id)?.credit;
  }

  resolve(call: PendingCall, value: unknown): void {
    this._settle(call, value);
  }

  reject(call: PendingCall, error: unknown): void {
    // The peer may have forgotten why the promise of the call has failed.
    this._settle(call, undefined, call.dependent?.on._call!.failure ?? error);
  }

  private _settle(call: PendingCall, value: unknown, failure?: unknown): void {
    if (call.settled) return;
    call.settled = true;
    call.value = value;
    call.failure = failure;
    call.cleanup?.();
    // Calls that wait go out before the program sees the result, so that they keep their order.
    this._flush(call);
    if (failure === undefined) call.resolve(value);
    else call.reject(failure);
  }

  /** Let calls that waited for a promise go, unless calls on an object of this end are under way. */
  private _flush(call: PendingCall): void {
    if (!isOpen(call)) return;
    const { queue } = call;
    call.queue = [];
    for (const go of queue) go();
  }

  /** A call on a promise was not run by the peer: its target is an object of this end. */
  home(id: number): void {
    const call = this._open.get(id);
    const dependent = call?.dependent;
    const source = dependent?.on._call as PendingCall;
    const isHome =
      source?.cameHome || stepInto(source?.value, dependent?.on._step) instanceof Referenceable;
    if (!call || !dependent || !isHome) throw new ProtocolError(`request ${id} did not come home`);
    call.cameHome = true;
    const { on, name, args, options } = dependent;
    const go = () => this._resolved(call, on, name, args, options);
    if (source.settled) go();
    else source.queue.push(go);
    this._close(id, call);
  }

  /** The connection has ended. */
  lost(why: Error): void {
    const open = [...this._open.values()];
    this._open.clear();
    for (const call of open) this._settle(call, undefined, why);
    for (const { dependent } of open) {
      if (!dependent) continue;
      dependent.on._call!.underWay = 0;
      this._flush(dependent.on._call!);
    }
    for (const queue of [...this._held.values()]) for (const go of queue) go();
    this._held.clear();
  }
}

function promisesIn(args: unknown[], kw: Record<string, unknown> = {}): RemotePromise[] {
  return [...args, ...Object.values(kw)].filter((each) => each instanceof RemotePromise);
}

/** Whether calls on a promise need not wait: it is settled, and no call on it may still come home. */
function isOpen(call: PendingCall): boolean {
  if (!call.settled) return false;
  return !call.underWay || call.failure !== undefined || call.value instanceof RemoteReference;
}

function settledValue(value: unknown): unknown {
  if (!(value instanceof RemotePromise) || !value._call!.settled) return value;
  return stepInto(value._call!.value, value._step);
}

function mapValues(
  record: Record<string, unknown>,
  change: (value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

function checked(meta: Record<string, string>): Record<string, string> {
  const entries = Object.entries(meta);
  const isLegal = ([key, value]: [string, string]) =>
    /^[a-z0-9-]{1,64}$/.test(key) && value.length <= 512;
  if (entries.length > 8 || !entries.every(isLegal)) throw new TypeError("no such metadata");
  return meta;
}
