/** Expressions become values. */
import { NAMES, RemoteError } from "./errors.ts";
import { RemoteCache, classOf, makeError, membersOf, setFields } from "./registry.ts";
import {
  Decimal,
  type Expression,
  Float,
  FrozenSet,
  TIMES,
  Tuple,
  UUID,
  decode,
  narrow,
} from "./values.ts";

/** What a session does with references, caches and streams that come in. */
export interface Receiver {
  remote(number: number): unknown;
  local(name: number | string): unknown;
  lcache(number: number): unknown;
  cached(number: number): unknown;
  stream(number: number, size: number | undefined): unknown;
  /** Make a cache: what the program holds, and what takes its first state. */
  cache(number: number, cls: new () => RemoteCache): [unknown, (state: unknown) => void];
}

export const malformedJelly = (text: string): RemoteError => new RemoteError(NAMES.malformed, text);

const FAILURE = "twisted.spread.pb.CopyableFailure";
const MOST_DIGITS = 135;

/** Reads the expressions of one message. */
export class Unjellier {
  private _receiver: Receiver;
  private _known = new Map<unknown, unknown>();

  constructor(receiver: Receiver) {
    this._receiver = receiver;
  }

  /** Return the value of an expression; each has a numbering of its own. */
  read(expression: Expression): any {
    this._known = new Map();
    return this._read(expression);
  }

  private _read(e: Expression, number?: Expression): any {
    if (!Array.isArray(e)) {
      const value = e instanceof Float ? e.value : e;
      return this._keep(value, number);
    }
    const tag = this._word(e[0]);
    switch (tag) {
      case "None":
        return this._keep(null, number);
      case "list":
      case "tuple":
        return this._fill(e, number, tag === "list" ? [] : new Tuple(), "push");
      case "set":
      case "frozenset":
        return this._fill(e, number, tag === "set" ? new Set() : new FrozenSet(), "add");
      case "dictionary":
        return this._dictionary(e, number);
      case "reference":
        return this._keep(this._read(e[2] ?? [], this._number(e, "reference")), number, false);
      case "dereference": {
        const known = this._number(e, "dereference");
        if (!this._known.has(known)) throw malformedJelly(`reference ${known} was never defined`);
        return this._keep(this._known.get(known), number);
      }
    }
    const leaf = this._leaf(tag, e) ?? this._held(tag, e);
    return leaf === undefined ? this._instance(tag, e, number) : this._keep(leaf, number);
  }

  private _keep<T>(value: T, number: Expression | undefined, isNew = true): T {
    if (number !== undefined) {
      if (isNew && this._known.has(number))
        throw malformedJelly(`reference ${number} defined twice`);
      this._known.set(number, value);
    }
    return value;
  }

  /** Return the text of bytes. */
  private _word(e: Expression | undefined): string {
    if (!(e instanceof Uint8Array)) throw malformedJelly("no text");
    try {
      return decode(e);
    } catch {
      throw malformedJelly("text that is not UTF-8");
    }
  }

  /** Return the number of an expression, an int from 0. */
  private _number(e: Expression[], tag: string): number {
    const number = e[1] as number;
    if (!(Number.isInteger(number) || typeof number === "bigint") || number < 0)
      throw malformedJelly(`${tag} without a number`);
    return number;
  }

  /** Return a date, a time or a duration, whose numbers have a least and a most. */
  private _time(e: Expression[], [, cls, limits]: (typeof TIMES)[number]): object {
    const numbers = this._word(e[1]).split(" ");
    const offset = e[2] as number | undefined;
    const [year, month, day] = numbers.map(Number);
    const fits = (text: string, i: number) =>
      /^-?\d{1,9}$/.test(text) && +text >= limits[2 * i]! && +text <= limits[2 * i + 1]!;
    const isDate = limits[1] === 9999;
    const isReal =
      !isDate || new Date(Date.UTC(2000 + (year! % 400), month! - 1, day)).getUTCDate() === day;
    const isOffset = Number.isInteger(offset ?? 0) && Math.abs(offset ?? 0) < 86_400;
    if (numbers.length * 2 !== limits.length || !numbers.every(fits) || !isReal || !isOffset)
      throw malformedJelly("time");
    return new cls(...numbers.map(Number), ...(isDate ? [offset] : []));
  }

  private _leaf(tag: string, e: Expression[]): unknown {
    const time = TIMES.find((each) => each[0] === tag);
    if (time) return this._time(e, time);
    switch (tag) {
      case "boolean": {
        const text = this._word(e[1]);
        if (text !== "true" && text !== "false") throw malformedJelly(tag);
        return text === "true";
      }
      case "unicode":
        return this._word(e[1]);
      case "int":
        return this._digits(e);
      case "decimal":
        return this._decimal(e);
      case "uuid.UUID":
        if (e[1] instanceof Uint8Array && e[1].length === 16) return new UUID(e[1]);
        throw malformedJelly(tag);
    }
    return undefined;
  }

  private _digits(e: Expression[]): number | bigint {
    const text = this._word(e[1]);
    if (text.length > MOST_DIGITS + 1 || !/^-?\d+$/.test(text)) throw malformedJelly("int");
    return narrow(BigInt(text));
  }

  private _decimal(e: Expression[]): Decimal {
    const [, digits, exponent] = e;
    if (!Number.isInteger(exponent)) throw malformedJelly("decimal");
    const read = Array.isArray(digits) ? this._digits(digits) : digits;
    if (typeof read !== "bigint" && !Number.isInteger(read)) throw malformedJelly("decimal");
    return new Decimal(BigInt(read as bigint), exponent as number);
  }

  private _fill(e: Expression[], number: Expression | undefined, out: any, add: string): unknown {
    this._keep(out, number);
    for (let i = 1; i < e.length; i++) {
      const value = this._read(e[i]!);
      if (add === "add") this._checkKey(value);
      out[add](value);
    }
    return out;
  }

  /** Refuse what is not a key or a member in Python. */
  private _checkKey(value: unknown): void {
    const isTuple = value instanceof Tuple;
    if (
      (Array.isArray(value) && !isTuple) ||
      (value instanceof Set && !(value instanceof FrozenSet))
    )
      throw malformedJelly("key");
    if (value instanceof Map || (value && Object.getPrototypeOf(value) === null))
      throw malformedJelly("key");
  }

  private _dictionary(e: Expression[], number: Expression | undefined): unknown {
    const pairs = e.slice(1) as Expression[][];
    for (const pair of pairs)
      if (!Array.isArray(pair) || pair.length !== 2) throw malformedJelly("dictionary");
    // What it becomes is known before its values are read: they may contain it.
    const isText = ([key]: Expression[]) => Array.isArray(key) && this._word(key[0]) === "unicode";
    const texts = pairs.every(isText);
    const out = this._keep<any>(texts ? Object.create(null) : new Map(), number);
    for (const pair of pairs) {
      const key = this._read(pair[0]!);
      this._checkKey(key);
      const value = this._read(pair[1]!);
      if (texts) out[key] = value;
      else out.set(key, value);
    }
    return out;
  }

  /** Read references, caches and streams: what the session knows by a number. */
  private _held(tag: string, e: Expression[]): unknown {
    const receiver = this._receiver;
    if (tag === "local" && e[1] instanceof Uint8Array) return receiver.local(this._word(e[1]));
    if (!/^(remote|local|lcache|cached|stream)$/.test(tag)) return undefined;
    const size = e.length > 2 ? this._number(e.slice(1), tag) : undefined;
    return receiver[tag as "stream"](this._number(e, tag), size);
  }

  /** Read errors, Enums, caches and copies. */
  private _instance(tag: string, e: Expression[], number: Expression | undefined): unknown {
    if (tag === FAILURE) return this._keep(this._failure(this._read(e[1] ?? [])), number);
    const members = membersOf(tag);
    if (members) {
      const value = this._read(e[1] ?? []);
      const found = members.find((member) => member.value === value);
      if (!found) throw malformedJelly(`${tag}: no such member`);
      return this._keep(found, number);
    }
    const cls = classOf(tag);
    if (!cls) throw new RemoteError(NAMES.insecure, `type '${tag}' is not registered`);
    if (cls.prototype instanceof RemoteCache) {
      const [cache, setState] = this._receiver.cache(this._number(e, tag), cls);
      this._keep(cache, number);
      setState(this._read(e[2] ?? []));
      return cache;
    }
    if (e.length < 2) throw malformedJelly(tag);
    if (cls.prototype instanceof RemoteError) return this._keep(this._failureOf(tag, e), number);
    const copy = this._keep(new cls(), number);
    const state = this._read(e[1]!);
    if (copy.setCopyableState) copy.setCopyableState(state);
    else setFields(copy, state);
    return copy;
  }

  /** An error that its sender has declared as a copy. */
  private _failureOf(tag: string, e: Expression[]): RemoteError {
    const fields = this._read(e[1]!);
    return makeError(tag, "", [tag], "", fields && typeof fields === "object" ? fields : {});
  }

  private _failure(state: any): RemoteError {
    const text = (value: unknown) =>
      typeof value === "string" ? value : this._word(value as Expression);
    if (!state || state instanceof Map) throw malformedJelly("failure");
    const parents = Array.isArray(state.parents) ? state.parents.map(text) : [];
    return makeError(
      text(state.type),
      text(state.value),
      parents,
      text(state.traceback ?? ""),
      state.fields && typeof state.fields === "object" ? state.fields : {},
    );
  }
}
