/** Values become expressions. */
import { refuse } from "./errors.ts";
import { NAMES } from "./names.ts";
import { EnumMember, enumOf, nameOf } from "./registry.ts";
import type { Credit } from "./streams.ts";
import {
  Decimal,
  type Expression,
  Float,
  FrozenSet,
  TIMES,
  Tuple,
  UUID,
  encode,
  fits,
} from "./values.ts";

/** What a session does with references, caches, streams and promises. */
export interface Sender {
  /** Return the expression of an object that is known to the session, else undefined. */
  writeObject(value: object, jellier: Jellier): Expression | undefined;
}

const words: Record<string, Uint8Array> = Object.create(null);

/** Return a word as bytes. */
export const word = (text: string): Uint8Array => (words[text] ??= encode(text));

/** Return the expression of a name or a number. */
export const idOf = (id: string | number): Expression => (typeof id === "string" ? word(id) : id);

/** Return an int, as digits if it has more than 64 bits. */
const int = (value: bigint): Expression =>
  fits(value) ? value : [word("int"), encode(`${value}`)];

/** More than any message may have: the writer counts exactly. */
const DEEPEST = 110;

export const cannot = (what: string): never => refuse(NAMES.cannot, `a ${what} cannot be sent`);

/** Writes the values of one message. */
export interface Jellier {
  /** What is undone if the message is not sent, and what is done when it was. */
  readonly undo: (() => void)[];
  readonly sent: (() => void)[];
  /** The first credit of the streams in the message, if the caller has asked for less. */
  granted?: Credit | undefined;
  /** Return the expression of a value; each has a numbering of its own. */
  write(value: unknown): Expression;
  /** Return the expression of a value within the one that is being written. */
  put(value: unknown): Expression;
  /** Return the expression of a container, with its tag. What follows is added later. */
  begin(value: object, tag: string): Expression[];
}

/** Return what writes the values of one message. */
export function createJellier(sender: Sender): Jellier {
  /** The containers that were met: the expression of each, and its number if it was met twice. */
  let met: Map<object, { e: Expression[]; number: number }>;
  let count: number;
  let depth = 0;

  const put = (value: any): Expression => {
    switch (typeof value) {
      case "boolean":
        return [word("boolean"), word(`${value}`)];
      case "string":
        return [word("unicode"), encode(value)];
      case "number":
        return value;
      case "bigint":
        return int(value);
      case "function":
      case "symbol":
        return cannot(typeof value);
    }
    if (value == null) return [word("None")];
    if (++depth > DEEPEST) throw new RangeError("too deep");
    const written = leaf(value) ?? object(value);
    depth--;
    return written;
  };

  const object = (value: object): Expression => {
    const place = met.get(value);
    if (!place) return sender.writeObject(value, jellier) ?? container(value);
    return [word("dereference"), (place.number ||= ++count)];
  };

  const leaf = (value: object): Expression | undefined => {
    if (value instanceof Uint8Array || value instanceof Float) return value;
    if (value instanceof UUID) return [word("uuid.UUID"), value.bytes];
    if (value instanceof EnumMember) return [word(enumOf(value)), put(value.value)];
    if (value instanceof Decimal) return [word("decimal"), int(value.digits), value.exponent];
    for (const [tag, cls, { length }] of TIMES)
      if (value instanceof cls) {
        // The numbers are its fields, in order; the offset of a datetime is the last.
        const numbers = Object.values(value).filter((each) => each !== undefined);
        const text = encode(numbers.splice(0, length / 2).join(" "));
        return [word(tag), text, ...numbers];
      }
    return undefined;
  };

  const container = (value: any): Expression => {
    const all = (tag: string, values: Iterable<unknown>, write = put) => {
      const e = jellier.begin(value, tag);
      for (const each of values) e.push(write(each));
      return e;
    };
    const pairs = (entries: Iterable<unknown>) =>
      all("dictionary", entries, (pair: unknown[]) => pair.map(put));
    if (Array.isArray(value)) return all(value instanceof Tuple ? "tuple" : "list", value);
    if (value instanceof Set) return all(value instanceof FrozenSet ? "frozenset" : "set", value);
    if (value instanceof Map) return pairs(value);
    const name = nameOf(value);
    if (name) {
      const e = jellier.begin(value, name);
      e.push(put(value.getStateToCopy ? value.getStateToCopy() : { ...value }));
      return e;
    }
    const proto = Object.getPrototypeOf(value);
    if (proto && proto !== Object.prototype) cannot(value.constructor?.name);
    return pairs(Object.entries(value));
  };

  const jellier: Jellier = {
    undo: [],
    sent: [],
    put,

    write(value) {
      met = new Map();
      count = 0;
      const written = put(value);
      for (const { e, number } of met.values())
        if (number) e.push(word("reference"), number, e.splice(0));
      return written;
    },

    begin(value, tag) {
      const e = [word(tag)];
      met.set(value, { e, number: 0 });
      return e;
    },
  };
  return jellier;
}

/**
 * Whether values may cross in the plain form: trees of exactly these types, at most six containers
 * deep, in which no container is met twice.
 */
export function arePlain(values: unknown[]): boolean {
  const met = new Set<unknown>();
  const isPlain = (value: any, deepest: number): boolean => {
    const type = typeof value;
    if (type === "bigint") return fits(value);
    if (type !== "object" || !value || value instanceof Float)
      return type !== "function" && type !== "symbol";
    if (!deepest || met.has(value)) return false;
    met.add(value);
    const proto = Object.getPrototypeOf(value);
    if (proto === Map.prototype) {
      if (![...value.keys()].every((key) => typeof key === "string")) return false;
      value = [...value.values()];
    } else if (proto && proto !== Array.prototype && proto !== Object.prototype) return false;
    const all = Array.isArray(value) ? value : Object.values(value);
    return all.every((each) => isPlain(each, deepest - 1));
  };
  return values.every((value) => isPlain(value, 6));
}
