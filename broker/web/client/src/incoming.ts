/** The calls of the peer: they are run, and answered. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import { Jellier, arePlain, putGraph } from "./jellier.ts";
import type { Request } from "./pending.ts";
import { ROW_ANSWER, ROW_CACHE_CALL, ROW_CALL, ROW_GRAPH, ROW_TUPLE } from "./rows.ts";
import type { Session } from "./session.ts";
import { creditIn, streamOf } from "./streams.ts";
import { unjelly } from "./unjellier.ts";
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

/** The calls of the peer that run. */
export class IncomingCalls {
  private _running = new Map<number, AbortController>();
  /** The highest number of a call of the peer. */
  private _highest = 0;
  private _session: Session;

  constructor(session: Session) {
    this._session = session;
  }

  /** The number of calls that have no answer yet. */
  get count(): number {
    return this._running.size;
  }

  /** Run a call; return false if it was refused before its method was called. */
  receive(row: number, fields: any[], isGraph: boolean): boolean {
    const [id, target, name, args, kw, deadline, meta] = fields;
    const session = this._session;
    if (Array.isArray(target) && target[0] > this._highest)
      throw new ProtocolError(`promise of request ${target[0]}, which has not been made`);
    if (id > this._highest) this._highest = id;
    const wantsAnswer = row === ROW_CALL || row === ROW_CACHE_CALL;
    if (wantsAnswer && this._running.has(id))
      throw new ProtocolError(`request id ${id} already in use`);
    const abort = new AbortController();
    const { signal } = abort;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wasRun = false;
    /** End the call; return whether it is still to be answered. */
    const end = () => {
      clearTimeout(timer);
      return this._running.get(id) === abort && this._running.delete(id);
    };
    const failed = (error: unknown) => {
      if (end()) session.fail(id, error);
      // The caller does not ask for the error of a method; its own mistakes are not logged.
      else if (!wantsAnswer && wasRun) console.error(error);
    };
    const done = (value: unknown) => {
      if (end()) this._answer(id, value, meta);
      else streamOf(value)?.close();
    };
    if (wantsAnswer) this._running.set(id, abort);
    signal.addEventListener("abort", () => failed(signal.reason));
    let result: any;
    try {
      const isCache = row >= ROW_CACHE_CALL;
      const on = isCache ? session.core(target) : session.target(target);
      const given = isGraph ? this._arguments(args, kw) : [args, kw];
      const method = methodOf(on, isCache ? "observe_" : "remote_", name);
      wasRun = true;
      result = run(on, method, given, { signal, meta: meta ?? {} });
    } catch (error) {
      if (error instanceof ProtocolError && !wasRun) throw error;
      failed(error);
      return wasRun;
    }
    if (typeof result?.then === "function") {
      if (deadline != null) {
        const late = new RemoteError(NAMES.timeout, `not answered in ${deadline} ms`);
        timer = setTimeout(() => abort.abort(late), Math.min(Number(deadline), 2 ** 31 - 1));
      }
      result.then(done, failed);
    } else done(result);
    return true;
  }

  private _arguments(...graph: any[]): any[] {
    const [args, kw] = graph.map((each) => unjelly(each, this._session));
    if (!Array.isArray(args) || !kw || Object.getPrototypeOf(kw) !== null)
      throw new RemoteError(NAMES.malformed, "arguments");
    return [args, kw];
  }

  private _answer(id: number, value: unknown, meta: Record<string, string> | null): void {
    const session = this._session;
    try {
      const isTuple = value instanceof Tuple && arePlain(Array.from(value));
      if (isTuple) session.put([ROW_TUPLE, id, Array.from(value)]);
      else if (arePlain([value])) session.put([ROW_ANSWER, id, value]);
      else {
        const jellier = new Jellier(session);
        jellier.credit = creditIn(meta ?? {});
        putGraph(session, jellier, () => [ROW_GRAPH, ROW_ANSWER, id, 0, "", jellier.write(value)]);
      }
    } catch (error) {
      session.fail(id, error);
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

/** Return the method with a name. */
function methodOf(target: any, prefix: string, name: string): Function {
  const method = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? target[prefix + name] : undefined;
  if (typeof method === "function") return method;
  throw new RemoteError(NAMES.method, `no remote method '${name}'`);
}

function run(target: object, method: Function, [args, kw]: any[], call?: CurrentCall): unknown {
  const before = current;
  current = call;
  try {
    return method.call(target, ...args, ...(Object.keys(kw).length ? [kw] : []));
  } finally {
    current = before;
  }
}

/** Call a method of an object of this end, as the peer would. */
export const callOwn = (target: object, { name, args, options: { kw = {} } }: Request): unknown =>
  run(target, methodOf(target, "remote_", name), [args, kw]);
