/** Calls on promises: they go out before the result is there, or wait for it here. */
import type { CallHost, Calls } from "./calls.ts";
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import type { Target } from "./frames.ts";
import { type Jellier, word } from "./jellier.ts";
import { PendingCall, type Request, promisesIn, settledValue } from "./pending.ts";
import { type RemotePromise, stepInto } from "./promise.ts";
import { RemoteReference } from "./references.ts";
import { Referenceable } from "./registry.ts";
import type { Expression } from "./values.ts";

/** The most open calls behind which a call on a promise is sent, and the most that wait here. */
const MOST_OPEN = 1024;

/** The calls on promises of one connection. */
export class PromisedCalls {
  private _calls: Calls;
  private _host: CallHost;
  /** Calls that wait for a promise at the peer, and here. */
  private _sent = 0;
  private _queued = 0;

  constructor(calls: Calls, host: CallHost) {
    this._calls = calls;
    this._host = host;
  }

  /** Call a method of the object that a promise becomes. */
  call(on: RemotePromise, request: Request): RemotePromise {
    const source = on._call!;
    const call = this._calls.made(request.name, request.options);
    // Its failure is that of the calls on it.
    on.catch(() => {});
    if (source.isOpen) this._resolved(call, on, request);
    else if (this._canBeSent(source, request)) this._send(call, on, request);
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

  private _canBeSent(source: PendingCall, { args, options }: Request): boolean {
    return (
      !source.settled &&
      source.id !== undefined &&
      !source.queue.length &&
      this._sent < this._host.promised &&
      this._calls.openCount < MOST_OPEN &&
      !promisesIn(args, options.kw).length
    );
  }

  private _send(call: PendingCall, on: RemotePromise, request: Request): void {
    const { id } = on._call!;
    const target: Target = on._step === undefined ? [id!] : [id!, on._step];
    try {
      this._calls.start(call, target, request);
    } catch (error) {
      return call.fail(error);
    }
    if (call.id === undefined) return;
    call.dependent = [on, request];
    on._call!.underWay++;
    this._sent++;
  }

  /** Make a call on a promise that has been settled. */
  private _resolved(call: PendingCall, on: RemotePromise, request: Request): void {
    const source = on._call!;
    if (call.settled) return;
    if (source.failure !== undefined) return call.fail(source.failure);
    const target = stepInto(source.value, on._step);
    if (target instanceof RemoteReference) this._calls.sendInOrder(call, target._id, request);
    else if (target instanceof Referenceable) {
      const { name, args, options } = request;
      const run = async () => this._host.callOwn(target, name, args, options);
      run().then(
        (value) => call.settle(value),
        (error) => call.fail(error),
      );
    } else {
      const text = `'${source.name}' returned a value that is not a reference; not run`;
      call.fail(new RemoteError(NAMES.broken, text));
    }
  }

  /** A call that was sent on a promise has its answer. */
  answered({ dependent }: PendingCall): void {
    if (!dependent) return;
    const source = dependent[0]._call!;
    this._sent--;
    source.underWay--;
    source.flush();
  }

  /** A call was not run by the peer: its target is an object of this end. */
  home(id: number, call: PendingCall | undefined): void {
    const [on, request] = call?.dependent ?? [];
    const source = on?._call;
    const isHome = source?.cameHome || stepInto(source?.value, on?._step) instanceof Referenceable;
    if (!isHome) throw new ProtocolError(`request ${id} did not come home`);
    call!.cameHome = true;
    const go = () => this._resolved(call!, on!, request!);
    if (source!.settled) go();
    else source!.queue.push(go);
  }

  /** The connection has ended: no call comes home. */
  lost(calls: PendingCall[]): void {
    for (const { dependent } of calls) {
      if (!dependent) continue;
      dependent[0]._call!.underWay = 0;
      dependent[0]._call!.flush();
    }
  }

  /** Whether a promise among arguments can be sent, or has its value. */
  isPromisable(promise: RemotePromise): boolean {
    const { settled, failure, id } = promise._call!;
    if (settled) return failure === undefined;
    return id !== undefined && this._host.promised > this._sent;
  }

  /** Write a promise among the arguments. */
  write(promise: RemotePromise, out: Expression[], jellier: Jellier): void {
    const { _call: call, _step: step } = promise;
    if (call!.settled) return jellier.put(out, settledValue(promise));
    if (call!.id === undefined || this._host.promised === 0)
      throw new RemoteError(NAMES.cannot, "a promise within an argument cannot be sent; await it");
    const tail = step === undefined ? [] : [typeof step === "string" ? word(step) : step];
    out.push([word("promised"), call!.id, ...tail]);
    promise.catch(() => {});
  }
}
