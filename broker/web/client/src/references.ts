/** Objects that one end owns and the other end holds, and how often each was received. */
import { NAMES, ProtocolError, RemoteError } from "./errors.ts";
import type { Jellier } from "./jellier.ts";
import { type Referenceable } from "./registry.ts";
import type { CallOptions, Caller } from "./calls.ts";
import type { RemotePromise } from "./promise.ts";
import { type Contract, type Typed, typed } from "./contract.ts";

/** So many unknown objects end the connection. */
const MOST_UNKNOWN = 100;

/** An object of the peer. The peer is told when the last RemoteReference to it is collected. */
export class RemoteReference {
  /** @internal */
  readonly _caller: Caller;
  /** @internal */
  readonly _id: number | string;

  constructor(caller: Caller, id: number | string) {
    this._caller = caller;
    this._id = id;
  }

  /** Call a method. The promise can be called itself, before the answer has come. */
  callRemote(name: string, ...args: unknown[]): RemotePromise {
    return this._caller.call(this._id, { name, args, options: {} });
  }

  /** Call a method with keywords, a deadline, an AbortSignal, metadata. */
  callRemoteWith(options: CallOptions, name: string, ...args: unknown[]): RemotePromise {
    return this._caller.call(this._id, { name, args, options });
  }

  /** Call a method without an answer. A connection that has ended is not an error. */
  send(name: string, ...args: unknown[]): void {
    this._caller.send(this._id, { name, args, options: {} });
  }

  /** Return an object with the methods of a contract. */
  of<T extends object>(contract: Contract<T>, options: CallOptions = {}): Typed<T> {
    return typed(this, contract, options);
  }
}

interface Export {
  object: object;
  number: number;
  count: number;
}

/** The objects of this end that the peer holds. */
export class Exports {
  /** Objects under a name, which are not counted. */
  readonly named = new Map<string, object>();
  private _byNumber = new Map<number, Export>();
  private _byObject = new Map<object, Export>();
  private _nextNumber: () => number;
  private _unknown = 0;

  constructor(nextNumber: () => number) {
    this._nextNumber = nextNumber;
  }

  /** Count an object as sent once more; return its number. */
  add(object: Referenceable, jellier: Jellier): number {
    let found = this._byObject.get(object);
    if (!found) {
      found = { object, number: this._nextNumber(), count: 0 };
      this._byObject.set(object, found);
      this._byNumber.set(found.number, found);
    }
    const { number } = found;
    found.count++;
    jellier.undo.push(() => this.release(number, 1));
    return number;
  }

  /** Return the object with a number or a name. */
  get(id: number | string): object {
    const found = typeof id === "string" ? this.named.get(id) : this._byNumber.get(id)?.object;
    if (found) return found;
    const text = `object ${typeof id === "string" ? `'${id}'` : id} is not exported to this connection`;
    if (++this._unknown >= MOST_UNKNOWN) throw new ProtocolError(text);
    throw new RemoteError(NAMES.object, text);
  }

  /** The peer has dropped an object so many times. */
  release(number: number, count: number): void {
    const found = this._byNumber.get(number);
    if (!found || found.count < count)
      throw new ProtocolError(`decref of object ${number} by ${count} (held ${found?.count ?? 0})`);
    found.count -= count;
    if (found.count) return;
    this._byNumber.delete(number);
    this._byObject.delete(found.object);
  }

  clear(): void {
    this._byNumber.clear();
    this._byObject.clear();
  }
}

/** An object of the peer: what the program holds of it, and how often it was received. */
interface Import {
  reference: WeakRef<RemoteReference>;
  count: number;
}

/** The objects of the peer that this end holds. */
export class Imports {
  private _held = new Map<number, Import>();
  private _caller: Caller;
  private _decref: (number: number, count: number) => void;
  private _dropped = new FinalizationRegistry<number>((number) => this._collected(number));

  constructor(caller: Caller, decref: (number: number, count: number) => void) {
    this._caller = caller;
    this._decref = decref;
  }

  /** Return the reference with a number, received once more. */
  receive(number: number): RemoteReference {
    const known = this._held.get(number);
    let reference = known?.reference.deref();
    if (!reference) {
      reference = new RemoteReference(this._caller, number);
      this._dropped.register(reference, number);
      this._held.set(number, { reference: new WeakRef(reference), count: known?.count ?? 0 });
    }
    this._held.get(number)!.count++;
    return reference;
  }

  /** Drop a reference now; the program does not use it any more. */
  release(reference: RemoteReference): void {
    const number = reference._id as number;
    const known = this._held.get(number);
    if (known?.reference.deref() === reference) this._drop(number, known);
  }

  private _drop(number: number, known: Import): void {
    this._held.delete(number);
    this._decref(number, known.count);
  }

  private _collected(number: number): void {
    const known = this._held.get(number);
    // It may have been received again meanwhile.
    if (known && !known.reference.deref()) this._drop(number, known);
  }

  clear(): void {
    this._held.clear();
  }
}
