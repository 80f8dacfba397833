/** The classes whose instances cross, by their names on the wire; and their base classes. */
import { RemoteError } from "./errors.ts";

/** The class of a value that crosses. */
export type Class<T = any> = new (...args: any[]) => T;

/** An object of this end that the peer may call: its methods `remote_…`. */
export class Referenceable {}

/**
 * An object that crosses as a copy; its class is registered. Any class will do: this one names the
 * methods that may be there. Without them its own fields are sent, and set.
 */
export interface Copyable {
  getStateToCopy?(): unknown;
  setCopyableState?(state: any): void;
}

/** A follower of a Cacheable of the peer. Changes arrive as calls of its methods `observe_…`. */
export class RemoteCache {
  /** Take the first state. */
  setCopyableState(state: any): void {
    setFields(this, state);
  }
}

/** A follower of a Cacheable of this end: calls are calls of its methods `observe_…`. */
export interface CacheObserver {
  callRemote(name: string, ...args: unknown[]): Promise<any>;
  /** Call without an answer. */
  send(name: string, ...args: unknown[]): void;
}

/** An object whose changes the peer follows; its class is registered. */
export abstract class Cacheable {
  /** Return the state for a new follower, and keep the follower, to tell it of changes. */
  abstract getStateToCacheAndObserveFor(observer: CacheObserver): unknown;
  /** Forget a follower. */
  stoppedObserving(_observer: CacheObserver): void {}
}

/** Classes, and the members of Enums, by their names. */
const registered = new Map<string, Class | EnumMember[]>();
const names = new Map<object, string>();

/** Register a class under its name on the wire; return the class. */
export function register<T extends Class>(cls: T, name: string): T {
  if (!/^[A-Za-z][\w.-]{0,127}$/.test(name)) throw new TypeError("no name for a class: " + name);
  if ((registered.get(name) ?? cls) !== cls) throw new TypeError(`type '${name}' is registered`);
  registered.set(name, cls);
  names.set(cls, name);
  return cls;
}

/** The class, or the members of the Enum, that is registered under a name. */
export const registeredAs = (name: string): Class | EnumMember[] | undefined =>
  registered.get(name);

/** The name under which the class of an object is registered. */
export const nameOf = (value: object): string | undefined => names.get(value.constructor);

/** A member of a registered Enum. */
export class EnumMember<T = any> {
  readonly name: string;
  readonly value: T;
  constructor(name: string, value: T) {
    this.name = name;
    this.value = value;
  }
}

/** Register an Enum of Python: its members by their names, each with its value; return them. */
export function registerEnum<T extends Record<string, string | number>>(
  values: T,
  name: string,
): { readonly [K in keyof T]: EnumMember<T[K]> } {
  const made = Object.entries(values).map(([key, value]) => new EnumMember(key, value));
  registered.set(name, made);
  for (const member of made) names.set(member, name);
  return Object.fromEntries(made.map((member) => [member.name, member])) as any;
}

/** The name under which the Enum of a member is registered. */
export const enumOf = (member: EnumMember): string => names.get(member)!;

/** Set the fields of a state, except those that would change what the object is. */
export function setFields(object: any, state: unknown): void {
  const fields = state instanceof Map || !state || typeof state !== "object" ? {} : state;
  for (const [key, value] of Object.entries(fields))
    if (!/^(__proto__|constructor|prototype)$/.test(key)) object[key] = value;
}

/** Make the error of a failure's state: of the first registered class among its names. */
export function makeError(
  type: string,
  message: string,
  parents: string[],
  traceback: string,
  fields: Record<string, unknown>,
): RemoteError {
  const classes = [type, ...parents.slice(0, 100)].map(registeredAs);
  const cls: any = classes.find((each) => isClassOf(each, RemoteError));
  const error: RemoteError = new (cls ?? RemoteError)(type, message, parents, traceback, fields);
  if (!cls) return error;
  setFields(error, fields);
  // A class with a constructor of its own may have set others.
  return Object.assign(error, { type, message, parents, traceback, fields });
}

/** Whether something is a class with this base class. */
export const isClassOf = (cls: any, base: Class): boolean => cls?.prototype instanceof base;
