/** The calls of the peer: they are run, and answered. */
import { type CurrentCall, currentCall, setCurrent } from "./current.ts";
import { ProtocolError, RemoteError } from "./errors.ts";
import { writeFailure } from "./failures.ts";
import type { Message, Target } from "./frames.ts";
import { arePlain } from "./jellier.ts";
import { NAMES } from "./names.ts";
import { type Request, resultOf } from "./pending.ts";
import { Referenceable } from "./registry.ts";
import { ROW_ANSWER, ROW_CACHE_CALL, ROW_CALL, ROW_GRAPH, ROW_HOME, ROW_TUPLE } from "./rows.ts";
import type { Session } from "./session.ts";
import { type Credit, streamOf } from "./streams.ts";
import { Tuple } from "./values.ts";

/** Throw a fault of the peer. */
const fault = (text: string): never => {
  throw new ProtocolError(text);
};

/** Throw an error with a name on the wire. */
const refuse = (type: string, text: string): never => {
  throw new RemoteError(type, text);
};

/** Return the first credit in the metadata of a call, if there is a legal one. */
function creditIn(meta: Record<string, string>): Credit | undefined {
  const [, items, bytes] = /^(\d{1,10}),(\d{1,10})$/.exec(meta.credit ?? "") ?? [];
  return items ? { items: +items || 1, bytes: +bytes! || 1 } : undefined;
}

/** The calls of the peer that run. */
export interface IncomingCalls {
  /** Run a call; or one of this end that was not run by the peer. */
  receive(message: Message): void;
  /** The caller does not wait any more. */
  cancelled(id: number): void;
  /** The connection has ended. */
  lost(why: Error): void;
}

/** Return the calls of the peer of a session. */
export function createIncomingCalls(session: Session): IncomingCalls {
  const { running } = session;
  /** The highest number of a call of the peer. */
  let highest = 0;

  const fail = (id: number, error: unknown) => {
    const put = (error: unknown) =>
      session.put([ROW_GRAPH, ROW_GRAPH, id, 0, "", writeFailure(error, session)]);
    try {
      put(error);
    } catch {
      put(new RemoteError(NAMES.large, "the error"));
    }
  };

  /** Return the object that a call is for. */
  const targetOf = (target: Target, isCache: boolean): object => {
    if (isCache) return session.followed.core(target as number);
    if (!Array.isArray(target)) return session.receiver.local(target) as object;
    return refuse(NAMES.object, "promises are not called here");
  };

  const answer = (id: number, value: unknown, meta: Record<string, string>) => {
    try {
      const items = value instanceof Tuple && Array.from(value);
      if (items && arePlain(items)) session.put([ROW_TUPLE, id, items]);
      else if (arePlain([value])) session.put([ROW_ANSWER, id, value]);
      else
        session.putGraph((jellier) => {
          jellier.granted = creditIn(meta);
          return [ROW_GRAPH, ROW_ANSWER, id, 0, "", jellier.write(value)];
        });
    } catch (error) {
      fail(id, error);
    }
  };

  /** Run a call; return false if it was refused before its method was called. */
  const called = (message: any[], isGraph: boolean) => {
    let [row, id, target, name, args, kw, deadline, meta] = message;
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
      if (end()) fail(id, error);
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
      const on = targetOf(target, isCache);
      if (isGraph) [args, kw] = [args, kw].map((each) => session.read(each));
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
  };

  return {
    receive([...message]) {
      if (message[0] === ROW_HOME) return home(session, message[1]);
      const isGraph = message[0] === ROW_GRAPH;
      // As a plain call: with arguments and keywords beside each other.
      if (isGraph) message.splice(0, 6, ...message.slice(1, 5), ...message[5]);
      session.reading.begin();
      const wasRun = called(message, isGraph);
      if (isGraph && !wasRun) session.reading.refuse(message.slice(4, 6));
    },

    cancelled(id) {
      running.get(id)?.abort(new DOMException("cancelled by the caller", "AbortError"));
    },

    lost(why) {
      const aborts = [...running.values()];
      running.clear();
      for (const abort of aborts) abort.abort(why);
    },
  };
}

/** A call on a promise was not run by the peer: its target is an object of this end. */
function home({ calls }: Session, id: number): void {
  const call = calls.open.get(id);
  const [on, request] = call?.dependent ?? [];
  const source = on?._call;
  if (!source?.cameHome && !(on && resultOf(on) instanceof Referenceable))
    fault(`request ${id} did not come home`);
  call!.cameHome = true;
  const go = () => calls.resolved(call!, on!, request!);
  if (source!.settled) go();
  else source!.queue.push(go);
  calls.answered(id);
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
  const before = currentCall();
  setCurrent(call);
  try {
    return method.call(target, ...args, ...(Object.keys(kw).length ? [kw] : []));
  } finally {
    setCurrent(before);
  }
}

/** Call a method of an object of this end, as the peer would. */
export const callOwn = (target: object, { method, args, options: { kw = {} } }: Request): unknown =>
  run(target, methodOf(target, "remote_", method), args, kw);
