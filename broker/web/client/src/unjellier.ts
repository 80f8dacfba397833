/** Expressions become values. */
import { RemoteError, refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { RemoteCache, isClassOf, makeError, registeredAs, setFields } from "./registry.ts";
import {
  CONTAINERS,
  Decimal,
  type Expression,
  Float,
  FrozenSet,
  TIMES,
  Tuple,
  UUID,
  decode,
  midnight,
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

const wrong = (text: string): never => refuse(NAMES.malformed, text);

export function check(isRight: unknown, text: string): asserts isRight {
  if (!isRight) wrong(text);
}

const MOST_DIGITS = 135;

/** Return the text of bytes. */
function textOf(e: Expression | undefined): string {
  check(e instanceof Uint8Array, "no text");
  return decode(e, wrong);
}

const isInt = (e: unknown): e is number | bigint => Number.isInteger(e) || typeof e === "bigint";

/** Return the number in an expression, an int from 0. */
function numberOf(e: Expression[], at = 1): number {
  const number = e[at] as number;
  check(
    isInt(number) && number >= 0,
    `${textOf(e[0])} without a number`,
  );
  return number;
}

/** Return an int that was written as digits. */
function digitsOf(e: Expression[]): number | bigint {
  const text = textOf(e[1]);
  check(text.length <= MOST_DIGITS + 1 && /^-?\d+$/.test(text), "int");
  return narrow(BigInt(text));
}

function decimalOf([, digits, exponent]: Expression[]): Decimal {
  const read = Array.isArray(digits) ? digitsOf(digits) : digits;
  check(
    isInt(read) && Number.isInteger(exponent),
    "decimal",
  );
  return new Decimal(BigInt(read as number), exponent as number);
}

/** Return a date, a time or a duration, whose numbers have a least and a most. */
function timeOf(e: Expression[], [, cls, limits]: (typeof TIMES)[number]): object {
  const numbers = textOf(e[1]).split(" ");
  const offset = (e[2] ?? 0) as number;
  const fits = (text: string, i: number) =>
    /^-?\d{1,9}$/.test(text) && +text >= limits[2 * i]! && +text <= limits[2 * i + 1]!;
  const isDate = limits[1] === 9999;
  const made: any = new cls(...numbers.map(Number), ...(isDate ? [e[2]] : []));
  const { year, month, day } = made;
  check(
    numbers.length * 2 === limits.length &&
      numbers.every(fits) &&
      (!isDate || new Date(midnight(year, month, day)).getUTCDate() === day) &&
      Number.isInteger(offset) &&
      Math.abs(offset) < 86_400,
    "time",
  );
  return made;
}

/** Return a value, unless it is not a key or a member in Python. */
function keyOf<T>(value: T): T {
  const isMutable =
    (Array.isArray(value) && !(value instanceof Tuple)) ||
    (value instanceof Set && !(value instanceof FrozenSet)) ||
    value instanceof Map ||
    (value && Object.getPrototypeOf(value) === null);
  check(!isMutable, "key");
  return value;
}

/** The declared fields of an error. */
const fieldsOf = (state: any) => (state && typeof state === "object" ? state : {});

/** Return the error of a failure's state. */
function failureOf(state: any): RemoteError {
  const text = (value: any) => (typeof value === "string" ? value : textOf(value));
  check(state && !(state instanceof Map), "failure");
  const { type, value, parents, traceback = "", fields } = state;
  const names = Array.isArray(parents) ? parents.map(text) : [];
  return makeError(text(type), text(value), names, text(traceback), fieldsOf(fields));
}

/** Return the value of an expression. */
export function unjelly(expression: Expression, receiver: Receiver): any {
  const known = new Map<number, unknown>();

  /** Note the value that a number refers to, if there is one. */
  const keep = <T>(value: T, number: number | undefined): T => {
    if (number !== undefined) {
      check(!known.has(number), `reference ${number} defined twice`);
      known.set(number, value);
    }
    return value;
  };

  const dictionary = (pairs: Expression[], number: number | undefined) => {
    check(
      pairs.every((pair) => Array.isArray(pair) && pair.length === 2),
      "dictionary",
    );
    // What it becomes is known before its values are read: they may contain it.
    const isText = ([key]: any) => Array.isArray(key) && textOf(key[0]) === "unicode";
    const out = keep<any>(pairs.every(isText) ? Object.create(null) : new Map(), number);
    for (const [first, second] of pairs as Expression[][]) {
      const key = keyOf(read(first!));
      const value = read(second!);
      if (out instanceof Map) out.set(key, value);
      else out[key] = value;
    }
    return out;
  };

  /** Read containers, errors, times, Enums, caches and copies. */
  const instance = (tag: string, e: Expression[], number: number | undefined) => {
    const inner = (at: number) => read(e[at] ?? []);
    const container = CONTAINERS.find((each) => each[0] === tag);
    if (container) {
      const made = keep(new container[1](), number);
      for (const each of e.slice(1))
        if (Array.isArray(made)) made.push(read(each));
        else made.add(keyOf(read(each)));
      return made;
    }
    const time = TIMES.find((each) => each[0] === tag);
    if (time) return keep(timeOf(e, time), number);
    const cls = registeredAs(tag) ?? refuse(NAMES.insecure, `type '${tag}' is not registered`);
    if (Array.isArray(cls)) {
      const value = inner(1);
      const found = cls.find((member) => member.value === value);
      check(found, `${tag}: no such member`);
      return keep(found, number);
    }
    if (isClassOf(cls, RemoteCache)) {
      const [cache, setState] = receiver.cache(numberOf(e), cls);
      keep(cache, number);
      setState(inner(2));
      return cache;
    }
    check(e.length > 1, tag);
    // An error that its sender has declared as a copy.
    if (isClassOf(cls, RemoteError))
      return keep(makeError(tag, "", [tag], "", fieldsOf(inner(1))), number);
    const copy = keep(new cls(), number);
    const state = inner(1);
    if (copy.setCopyableState) copy.setCopyableState(state);
    else setFields(copy, state);
    return copy;
  };

  /** Return the value of an expression, which has a number if others refer to it. */
  const read = (e: Expression, number?: number): any => {
    if (!Array.isArray(e)) return keep(e instanceof Float ? e.value : e, number);
    const tag = textOf(e[0]);
    const of = <T>(value: T) => keep(value, number);
    switch (tag) {
      case "None":
        return of(null);
      case "boolean":
        check(/^(true|false)$/.test(textOf(e[1])), tag);
        return of(textOf(e[1]) === "true");
      case "unicode":
        return of(textOf(e[1]));
      case "int":
        return of(digitsOf(e));
      case "decimal":
        return of(decimalOf(e));
      case "uuid.UUID":
        check(e[1] instanceof Uint8Array && e[1].length === 16, tag);
        return of(new UUID(e[1]));
      case "dictionary":
        return dictionary(e.slice(1), number);
      case "reference":
        return of(read(e[2] ?? [], numberOf(e)));
      case "dereference": {
        const other = numberOf(e);
        check(known.has(other), `reference ${other} was never defined`);
        return of(known.get(other));
      }
      case "local":
      case "remote":
      case "lcache":
      case "cached":
      case "stream": {
        // The root is known by its name.
        const isNamed = tag === "local" && e[1] instanceof Uint8Array;
        const size = e.length > 2 ? numberOf(e, 2) : undefined;
        return of(receiver[tag as "stream"](isNamed ? (textOf(e[1]) as any) : numberOf(e), size));
      }
      case "twisted.spread.pb.CopyableFailure":
        return of(failureOf(read(e[1] ?? [])));
    }
    return instance(tag, e, number);
  };

  return read(expression);
}
