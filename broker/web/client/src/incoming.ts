/** The calls of the peer: they are run, and answered. */
import { ROW_ANSWER, ROW_GRAPH, ROW_TUPLE } from "./rows.ts";
import type { CallOptions } from "./calls.ts";
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { Jellier, type Sender, arePlain, putGraph } from "./jellier.ts";
import { creditIn, streamOf } from "./streams.ts";
import { Tuple } from "./values.ts";

/** What the running method knows of its call, until its first `await`. */
export interface CurrentCall {
  /** Fires when the caller does not wait any more: by a cancel, a deadline, a lost connection. */
  signal: AbortSignal;
  /** The metadata of the call; nothing in it is trusted. */
  meta: Record<string, string>;
}

let current: CurrentCall | undefined;

/** Return the call of the running method, until its first `await`; else undefined. */
export const currentCall = (): CurrentCall | undefined => current;

/** What calls of the peer ask of their session. */
export interface IncomingHost extends Sender {
  put(message: unknown[]): number;
  fail(id: number, error: unknown): void;
}

/** A call of the peer. */
export interface ReceivedCall {
  id: number;
  wantsAnswer: boolean;
  /** What stands before the names of methods. */
  prefix: string;
  name: string;
  /** Returns the object that is called. */
  find: () => object;
  /** Returns the arguments and the keywords. */
  read: () => [unknown[], Record<string, unknown>];
  /** Milliseconds. */
  deadline: number | null | undefined;
  meta: Record<string, string> | null | undefined;
}

const METHOD = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The calls of the peer that run. */
export class IncomingCalls {
  private _running = new Map<number, AbortController>();
  private _host: IncomingHost;

  constructor(host: IncomingHost) {
    this._host = host;
  }

  /** The number of calls that have no answer yet. */
  get count(): number {
    return this._running.size;
  }

  /** Run a call; return false if it was refused before its method was called. */
  receive(call: ReceivedCall): boolean {
    const { id, wantsAnswer, deadline } = call;
    if (wantsAnswer && this._running.has(id))
      throw new ProtocolError(`request id ${id} already in use`);
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wasRun = false;
    /** End the call; return whether it is still to be answered. */
    const end = () => {
      clearTimeout(timer);
      return this._running.get(id) === abort && this._running.delete(id);
    };
    const failed = (error: unknown) => {
      if (end()) this._host.fail(id, error);
      // The caller does not ask for the error of a method; its own mistakes are not logged.
      else if (!wantsAnswer && wasRun) console.error(error);
    };
    if (wantsAnswer) this._running.set(id, abort);
    abort.signal.addEventListener("abort", () => failed(abort.signal.reason));
    const meta = call.meta ?? {};
    const current = { signal: abort.signal, meta };
    let result: unknown;
    try {
      const target = call.find();
      const [args, kw] = call.read();
      const method = methodOf(target, call.prefix + call.name, call.name);
      wasRun = true;
      result = run(target, method, args, kw, current);
    } catch (error) {
      if (error instanceof ProtocolError && !wasRun) throw error;
      failed(error);
      return wasRun;
    }
    const done = (value: unknown) => {
      if (end()) this._answer(id, value, meta);
      else streamOf(value)?.close();
    };
    if (!isThenable(result)) {
      done(result);
      return true;
    }
    if (deadline != null) {
      const late = new RemoteError(NAMES.timeout, `not answered in ${deadline} ms`);
      timer = setTimeout(() => abort.abort(late), Math.min(Number(deadline), 2 ** 31 - 1));
    }
    result.then(done, failed);
    return true;
  }

  private _answer(id: number, value: unknown, meta: Record<string, string>): void {
    try {
      if (value instanceof Tuple && arePlain(value)) {
        this._host.put([ROW_TUPLE, id, Array.from(value)]);
      } else if (arePlain([value])) this._host.put([ROW_ANSWER, id, value]);
      else {
        const jellier = new Jellier(this._host);
        jellier.credit = creditIn(meta);
        putGraph(this._host, jellier, () => [
          ROW_GRAPH,
          ROW_ANSWER,
          id,
          0,
          "",
          jellier.write(value),
        ]);
      }
    } catch (error) {
      this._host.fail(id, error);
    }
  }

  /** The caller does not wait any more. */
  cancel(id: number): void {
    this._running.get(id)?.abort(new DOMException("cancelled by the caller", "AbortError"));
  }

  /** The connection has ended. */
  lost(why: Error): void {
    const running = [...this._running.values()];
    this._running.clear();
    for (const abort of running) abort.abort(why);
  }
}

const isThenable = (value: any): value is PromiseLike<unknown> => typeof value?.then === "function";

/** Return the method with a name. `path` is that name behind its prefix. */
function methodOf(target: any, path: string, name: string): Function {
  const method = METHOD.test(name) ? target[path] : undefined;
  if (typeof method === "function") return method;
  throw new RemoteError(NAMES.method, `no remote method '${name}'`);
}

function run(
  target: object,
  method: Function,
  args: unknown[],
  kw: Record<string, unknown>,
  call: CurrentCall | undefined,
): unknown {
  const before = current;
  current = call;
  try {
    return method.call(target, ...args, ...(Object.keys(kw).length ? [kw] : []));
  } finally {
    current = before;
  }
}

/** Call a method of an object of this end, as the peer would. */
export const callOwn = (
  target: object,
  name: string,
  args: unknown[],
  { kw = {} }: CallOptions,
): unknown => run(target, methodOf(target, "remote_" + name, name), args, kw, undefined);
