/** One connection without its transport: bytes come in, and bytes go out. */
import {
  ROW_ANSWER,
  ROW_CACHE_SEND,
  ROW_CANCEL,
  ROW_CREDIT,
  ROW_DECACHE,
  ROW_DECREF,
  ROW_DRAINING,
  ROW_END,
  ROW_GOODBYE,
  ROW_GRAPH,
  ROW_HOME,
  ROW_ITEM_GRAPH,
  ROW_ITEMS,
  ROW_PIECE,
  ROW_PING,
  ROW_PONG,
  ROW_STOP,
  ROW_TUPLE,
  ROW_UNCACHE,
  ROW_VERSION,
} from "./rows.ts";
import { type Calls, createCalls } from "./calls.ts";
import { createFollowed, createOwned } from "./caches.ts";
import { Bound } from "./contract.ts";
import { ConnectionLost, RemoteError, fault, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { readFrame } from "./frames.ts";
import { createFraming } from "./framing.ts";
import { choice, readOffer } from "./handshake.ts";
import type { IncomingCalls } from "./incoming.ts";
import { loadServed } from "./loaded.ts";
import { type Jellier, type Sender, cannot, createJellier, idOf, word } from "./jellier.ts";
import { RemotePromise } from "./promise.ts";
import { RemoteReference, createExports, createReceived } from "./references.ts";
import { Cacheable, Referenceable, RemoteCache, nameOf } from "./registry.ts";
import { type IncomingStreams, createIncomingStreams } from "./incoming_streams.ts";
import { createOutgoingStreams } from "./outgoing_streams.ts";
import { streamOf } from "./streams.ts";
import { BASELINE, TOLD, type Terms, readTerms } from "./terms.ts";
import type { Draining, Transport } from "./transport.ts";
import { type Receiver, unjelly } from "./unjellier.ts";
import { type Expression, Tuple } from "./values.ts";
import { frameWriter } from "./writer.ts";

const VERSION = 6;
const MOST_PINGS = 40;

/** A promise, and what resolves it. */
function deferred<T>(): [Promise<T>, (value: T) => void] {
  let settle!: (value: T) => void;
  const promise = new Promise<T>((resolve) => (settle = resolve));
  return [promise, settle];
}

/** The session of one connection. */
export interface Session extends Sender {
  /** What carries the bytes. */
  transport: Transport;
  /** The ways to log in that the server offers; undefined if it asks for no login. */
  mechanisms: string[] | undefined;
  /** Set when the peer takes no new calls. */
  draining: Draining | undefined;
  /** Why the connection has ended; undefined while it is open. */
  ended: ConnectionLost | undefined;
  /** Resolves when the server's offer has come; calls can be made then. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<ConnectionLost>;
  /** Resolves when the peer takes no new calls. */
  readonly drains: Promise<void>;
  /** Resolves with what the peer takes, when it has told it. */
  readonly terms: Promise<Terms>;
  /** The root of the peer. */
  readonly root: RemoteReference;
  readonly calls: Calls;
  readonly followed: ReturnType<typeof createFollowed>;
  readonly reading: IncomingStreams;
  readonly receiver: Receiver;

  /** Begin without a handshake, as either end after the choice of the dialect. */
  begin(): void;
  /** Receive bytes of the peer. */
  receive(bytes: Uint8Array): void;
  /** Write a message; return the bytes of its frame without its length. */
  put(message: unknown[], most?: number): number;
  nextNumber(): number;
  /** The calls of the peer that have no answer yet, by number. */
  readonly running: Map<number, AbortController>;
  /** Calls on promises that the peer takes. */
  promised(): number;
  /** Drop a reference, or a cache, now: the program does not use it any more. */
  release(value: RemoteReference | RemoteCache): void;
  /** Return the value of an expression of the peer. */
  read(expression: Expression): any;
  /** Return the expression of a value in which no object is. */
  jelly(value: unknown): Expression;
  /** Write a message with expressions; what it would open is undone if it cannot be written. */
  putGraph(make: (jellier: Jellier) => unknown[], most?: number): number;
  /** Ping a peer that is silent for so many milliseconds, and end the connection if it stays so. */
  watch(every: number): void;
  /** Say goodbye, and close. */
  goodbye(code?: string, text?: string): void;
  /** End the connection because of a fault of the peer. */
  fault(error: unknown): void;
  /** The connection has ended. */
  lost(why?: ConnectionLost): void;
}

/** Return a new session, without a transport. */
export function createSession(): Session {
  const framing = createFraming();
  const write = frameWriter();
  let hasBegun = false;
  let theirs = BASELINE;
  let number = 0;
  let pings = 0;
  /** Ticks of the watch without a byte of the peer. */
  let silence = 0;
  const [ready, isReady] = deferred<void>();
  const [closed, isClosed] = deferred<ConnectionLost>();
  const [drains, isDraining] = deferred<void>();
  const [terms, hasTerms] = deferred<Terms>();

  const session = {} as Session;

  const calls = createCalls(session);
  let incoming: IncomingCalls | undefined;
  let isLoading = false;
  const exports = createExports(session);
  const imports = createReceived<RemoteReference>(session, ROW_DECREF);
  const followed = createFollowed(session);
  const owned = createOwned(session);
  const reading = createIncomingStreams(session);
  const producing = createOutgoingStreams(session);
  const receiver: Receiver = {
    remote: (number) => imports.receive(number, () => new RemoteReference(calls, number)),
    local: exports.exported,
    lcache: owned.published,
    cached: followed.again,
    cache: followed.make,
    stream: reading.receive,
  };

  const offered = (data: Uint8Array) => {
    const offer = readOffer(data);
    if (!offer) return framing.keep(data, 0);
    session.mechanisms = offer.mechanisms;
    session.transport.write(choice());
    session.begin();
    return data.subarray(offer.size);
  };

  /** Handle a frame; return whether the connection goes on. */
  const frame = (body: Uint8Array) => {
    const message = readFrame(body);
    const [row, first, second, third] = message;
    if (theirs === BASELINE) version(row, first, second);
    else if (row === ROW_VERSION) fault("a second version");
    else if (row === ROW_HOME || (row === ROW_GRAPH ? first : row) <= ROW_CACHE_SEND) {
      if (!incoming) return serve();
      incoming.receive(message);
    } else if (row === ROW_GRAPH) answered(first, second, message[5]);
    else handlers[row]?.(first, second, third, body.length, row);
    return !session.ended;
  };

  /** Load what runs calls; the frames of the peer wait for it. Return that this one is not taken. */
  const serve = () => {
    if (!isLoading) {
      isLoading = true;
      loadServed().then(({ createIncomingCalls }) => {
        incoming = createIncomingCalls(session);
        framing.resume();
        session.receive(new Uint8Array());
      }, session.fault);
    }
    return false;
  };

  const version = (row: number, number: number, sent: Record<string, number>) => {
    if (row !== ROW_VERSION) fault("the first frame is not the version");
    if (number !== VERSION) fault(`the peer speaks version ${number}, not ${VERSION}`);
    theirs = readTerms(sent);
    producing.takeTerms(theirs);
    hasTerms(theirs);
  };

  /** An answer, or an error, that is not plain. */
  const answered = (kind: number, id: number, expression: Expression) => {
    const call = calls.answered(id);
    let value: any;
    let failure: unknown;
    reading.begin(call.granted);
    try {
      value = session.read(expression);
      if (kind === ROW_GRAPH)
        failure = value instanceof Error ? value : new RemoteError("", String(value));
    } catch (error) {
      failure = error;
      reading.refuse(expression);
    }
    if (call.settled) reading.refuse(expression);
    reading.begin();
    if (failure === undefined) call.settle(value);
    else calls.failed(call, failure);
  };

  /** What the messages do that are no calls, and no expressions. */
  const handlers: Record<
    number,
    (first: any, second: any, third: any, size: number, row: number) => void
  > = {
    [ROW_ANSWER]: (id, value) => calls.answered(id).settle(value),
    [ROW_TUPLE]: (id, values) => calls.answered(id).settle(Tuple.from(values)),
    [ROW_DECREF]: exports.drop,
    [ROW_DECACHE](number, count) {
      if (owned.drop(number, count)) session.put([ROW_UNCACHE, number]);
    },
    [ROW_UNCACHE]: followed.end,
    [ROW_CANCEL]: (id) => incoming?.cancelled(id),
    [ROW_PING](number) {
      if (++pings > MOST_PINGS) fault("too many pings");
      session.put([ROW_PONG, number]);
    },
    [ROW_GOODBYE](code, text) {
      session.lost(new ConnectionLost(code, text));
      session.transport.close();
    },
    [ROW_DRAINING](after, elsewhere) {
      session.draining = { after, elsewhere };
      isDraining();
    },
    [ROW_CREDIT]: producing.receiveCredit,
    [ROW_ITEMS]: reading.receiveItems,
    [ROW_ITEM_GRAPH]: reading.receiveItems,
    [ROW_PIECE]: reading.receiveItems,
    [ROW_END]: reading.receiveEnd,
    [ROW_STOP]: producing.stopped,
  };

  const members: Omit<Session, "mechanisms" | "draining" | "ended"> = {
    root: new RemoteReference(calls, "root"),
    calls,
    followed,
    reading,
    receiver,
    transport: { write() {}, close() {} },
    ready,
    closed,
    drains,
    terms,
    nextNumber: () => ++number,
    running: new Map(),
    promised: () => theirs.promised,

    begin() {
      hasBegun = true;
      session.put([ROW_VERSION, VERSION, TOLD]);
      isReady();
    },

    receive(bytes) {
      if (session.ended) return;
      silence = 0;
      try {
        let data = framing.collect(bytes);
        if (data && !hasBegun) data = offered(data);
        if (data) framing.cut(data, frame);
      } catch (error) {
        session.fault(error);
      }
    },

    put(message, most = theirs.frame) {
      if (session.ended) return 0;
      const frame = write(message);
      const size = frame.length - 4;
      if (size > most) refuse(NAMES.large, `${size} bytes; the peer takes ${most} (frame)`);
      session.transport.write(frame);
      return size;
    },

    writeObject(value, jellier) {
      if (value instanceof Bound) return jellier.put(value._on);
      if (value instanceof RemoteReference) {
        if (value._calls !== calls) cannot("reference of another connection");
        return [word("local"), idOf(value._id)];
      }
      if (value instanceof Referenceable) {
        serve();
        return [word("remote"), exports.again(value, jellier).number];
      }
      if (value instanceof RemoteCache) return followed.write(value);
      if (value instanceof Cacheable) return owned.write(value, jellier);
      if (value instanceof RemotePromise) return calls.write(value, jellier);
      if (value instanceof Error && !nameOf(value)) cannot("plain error");
      const stream = streamOf(value);
      return stream && producing.begin(stream, jellier);
    },

    release(value) {
      if (value instanceof RemoteReference) imports.drop(value);
      else followed.drop(value);
    },

    read: (expression) => unjelly(expression, receiver),

    jelly: (value) => createJellier(session).write(value),

    putGraph(make, most) {
      const jellier = createJellier(session);
      try {
        const size = session.put(make(jellier), most);
        for (const done of jellier.sent) done();
        return size;
      } catch (error) {
        for (const undo of jellier.undo.reverse()) undo();
        throw error;
      }
    },

    watch(every) {
      const timer = setInterval(() => {
        pings = 0;
        if (silence++) session.goodbye("lost", "no answer from the peer");
        else session.put([ROW_PING, 1]);
      }, every);
      void closed.then(() => clearInterval(timer));
    },

    goodbye(code = "closing", text = "the client has closed") {
      if (session.ended) return;
      if (hasBegun) session.put([ROW_GOODBYE, code, text.slice(0, 1024)]);
      session.lost(new ConnectionLost(code, text));
      session.transport.close();
    },

    fault(error) {
      session.goodbye("error", String((error as Error)?.message ?? error));
    },

    lost(why = new ConnectionLost()) {
      if (session.ended) return;
      session.ended = why;
      incoming?.lost(why);
      reading.lost(why);
      producing.lost();
      calls.lost(why);
      owned.forgetAll();
      followed.held.clear();
      imports.held.clear();
      exports.forgetAll();
      isClosed(why);
    },
  };
  return Object.assign(session, members);
}
