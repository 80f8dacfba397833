/** The calls of the peer: they are run, and answered. */
import { NAMES, ProtocolError, RemoteError, fault, refuse } from "./errors.ts";
import { arePlain, putGraph } from "./jellier.ts";
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
export interface IncomingCalls {
  /** Run a call; return false if it was refused before its method was called. */
  receive(message: any[], isGraph: boolean): boolean;
  /** The caller does not wait any more. */
  cancel(id: number): void;
  /** The number of calls that have no answer yet. */
  count(): number;
  /** The connection has ended. */
  lost(why: Error): void;
}

/** Return the calls of the peer of a session. */
export function createIncomingCalls(session: Session): IncomingCalls {
  const running = new Map<number, AbortController>();
  /** The highest number of a call of the peer. */
  let highest = 0;

  const answer = (id: number, value: unknown, meta: Record<string, string>) => {
    try {
      const items = value instanceof Tuple && Array.from(value);
      if (items && arePlain(items)) session.put([ROW_TUPLE, id, items]);
      else if (arePlain([value])) session.put([ROW_ANSWER, id, value]);
      else
        putGraph(session, (jellier) => {
          jellier.credit = creditIn(meta);
          return [ROW_GRAPH, ROW_ANSWER, id, 0, "", jellier.write(value)];
        });
    } catch (error) {
      session.fail(id, error);
    }
  };

  return {
    receive([row, id, target, name, args, kw, deadline, meta], isGraph) {
      if (Array.isArray(target) && target[0] > highest)
        fault(`promise of request ${target[0]}, which has not been made`);
      if (id > highest) highest = id;
      const isCache = row >= ROW_CACHE_CALL;
      const wantsAnswer = row === ROW_CALL || row === ROW_CACHE_CALL;
      if (wantsAnswer && running.has(id)) fault(`request id ${id} already in use`);
      const abort = new AbortController();
      const { signal } = abort;
      meta ??= {};
      let timer: ReturnType<typeof setTimeout> | undefined;
      let wasRun = false;
      /** End the call; return whether it is still to be answered. */
      const end = () => {
        clearTimeout(timer);
        return running.get(id) === abort && running.delete(id);
      };
      const failed = (error: unknown) => {
        if (end()) session.fail(id, error);
        // The caller does not ask for the error of a method; its own mistakes are not logged.
        else if (!wantsAnswer && wasRun) console.error(error);
      };
      const done = (value: unknown) => {
        if (end()) answer(id, value, meta);
        else streamOf(value)?.close();
      };
      if (wantsAnswer) running.set(id, abort);
      signal.addEventListener("abort", () => failed(signal.reason));
      let result: any;
      try {
        const on = session.target(target, isCache);
        if (isGraph) [args, kw] = [args, kw].map((each) => unjelly(each, session.receiver));
        if (!Array.isArray(args) || !kw || Object.getPrototypeOf(kw))
          refuse(NAMES.malformed, "arguments");
        const method = methodOf(on, isCache ? "observe_" : "remote_", name);
        wasRun = true;
        result = run(on, method, args, kw, { signal, meta });
      } catch (error) {
        if (error instanceof ProtocolError && !wasRun) throw error;
        failed(error);
        return wasRun;
      }
      if (typeof result?.then === "function") {
        if (deadline != null) {
          const late = new RemoteError(NAMES.timeout, `no answer in ${deadline} ms`);
          timer = setTimeout(() => abort.abort(late), Math.min(Number(deadline), 2 ** 31 - 1));
        }
        result.then(done, failed);
      } else done(result);
      return true;
    },

    cancel(id) {
      running.get(id)?.abort(new DOMException("cancelled by the caller", "AbortError"));
    },

    count: () => running.size,

    lost(why) {
      const aborts = [...running.values()];
      running.clear();
      for (const abort of aborts) abort.abort(why);
    },
  };
}

/** Return the method with a name. */
function methodOf(target: any, prefix: string, name: string): Function {
  const method = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? target[prefix + name] : undefined;
  if (typeof method === "function") return method;
  return refuse(NAMES.method, `no remote method '${name}'`);
}

function run(
  target: object,
  method: Function,
  args: unknown[],
  kw: object,
  call?: CurrentCall,
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
export const callOwn = (target: object, { name, args, options: { kw = {} } }: Request): unknown =>
  run(target, methodOf(target, "remote_", name), args, kw);
