/** Values become expressions. */
import { NAMES, RemoteError } from "./errors.ts";
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
  /** Add an object that is not plain data to an expression; return false if it is a copy or data. */
  writeObject(value: object, out: Expression[], jellier: Jellier): boolean;
}

const words: Record<string, Uint8Array> = Object.create(null);

/** Return a word as bytes. */
export const word = (text: string): Uint8Array => (words[text] ??= encode(text));

/** More than any message may have: the writer counts exactly. */
const DEEPEST = 110;

const cannot = (what: string) => new RemoteError(NAMES.cannot, what + " cannot be sent");

/** The place of an object: the expression that holds it, and where. */
interface Place {
  list: Expression[];
  at: number;
  number: number;
}

/** Writes the values of one message. */
export class Jellier {
  /** What is undone if the message is not sent, and what is done when it was. */
  readonly undo: (() => void)[] = [];
  readonly sent: (() => void)[] = [];
  /** The first credit of the streams in the message, if the caller has asked for less. */
  credit: Credit | undefined;
  private _sender: Sender;
  private _met = new Map<object, Place>();
  private _count = 0;
  private _depth = 0;

  constructor(sender: Sender) {
    this._sender = sender;
  }

  /** Return the expression of a value; each has a numbering of its own. */
  write(value: unknown): Expression {
    this._met = new Map();
    this._count = 0;
    const out: Expression[] = [];
    this.put(out, value);
    return out[0]!;
  }

  /** Add a value to an expression. */
  put(out: Expression[], value: any): void {
    switch (typeof value) {
      case "undefined":
        out.push([word("None")]);
        return;
      case "boolean":
        out.push([word("boolean"), word(value ? "true" : "false")]);
        return;
      case "string":
        out.push([word("unicode"), encode(value)]);
        return;
      case "number":
        out.push(value);
        return;
      case "bigint":
        out.push(fits(value) ? value : [word("int"), encode(String(value))]);
        return;
      case "object":
        if (++this._depth > DEEPEST) throw new RangeError("too deep");
        if (value === null) out.push([word("None")]);
        else this._object(out, value);
        this._depth--;
        return;
    }
    throw cannot("a " + typeof value);
  }

  private _object(out: Expression[], value: any): void {
    const leaf = this._leaf(value);
    if (leaf !== undefined) {
      out.push(leaf);
      return;
    }
    const place = this._met.get(value);
    if (place) {
      if (!place.number) {
        place.number = ++this._count;
        place.list[place.at] = [word("reference"), place.number, place.list[place.at]!];
      }
      out.push([word("dereference"), place.number]);
      return;
    }
    if (!this._sender.writeObject(value, out, this)) this._container(value, this.begin(out, value));
  }

  /** Add an expression that is filled later, as the place of an object. */
  begin(out: Expression[], value: object): Expression[] {
    const expression: Expression[] = [];
    this._met.set(value, { list: out, at: out.length, number: 0 });
    out.push(expression);
    return expression;
  }

  private _leaf(value: object): Expression | undefined {
    if (value instanceof Uint8Array || value instanceof Float) return value;
    for (const [tag, cls, { length }] of TIMES)
      if (value instanceof cls) {
        // The numbers are its fields, in order; the offset of a datetime is the last.
        const numbers = Object.values(value).filter((each) => each !== undefined);
        const text = encode(numbers.splice(0, length / 2).join(" "));
        return [word(tag), text, ...numbers];
      }
    if (value instanceof Decimal) {
      const { digits, exponent } = value;
      return [
        word("decimal"),
        fits(digits) ? digits : [word("int"), encode(`${digits}`)],
        exponent,
      ];
    }
    if (value instanceof EnumMember) {
      const out: Expression[] = [word(enumOf(value))];
      this.put(out, value.value);
      return out;
    }
    return value instanceof UUID ? [word("uuid.UUID"), value.bytes] : undefined;
  }

  private _container(value: any, out: Expression[]): void {
    const all = (tag: string, values: Iterable<unknown>) => {
      out.push(word(tag));
      for (const each of values) this.put(out, each);
    };
    const pairs = (entries: Iterable<[unknown, unknown]>) => {
      out.push(word("dictionary"));
      for (const [key, each] of entries) {
        const pair: Expression[] = [];
        out.push(pair);
        this.put(pair, key);
        this.put(pair, each);
      }
    };
    if (value instanceof Tuple) return all("tuple", value);
    if (Array.isArray(value)) return all("list", value);
    if (value instanceof FrozenSet) return all("frozenset", value);
    if (value instanceof Set) return all("set", value);
    if (value instanceof Map) return pairs(value);
    const name = nameOf(value);
    if (name !== undefined) {
      out.push(word(name));
      return this.put(out, value.getStateToCopy ? value.getStateToCopy() : { ...value });
    }
    const proto = Object.getPrototypeOf(value);
    if (proto !== null && proto !== Object.prototype)
      throw cannot(`an object of class ${value.constructor?.name}`);
    pairs(Object.entries(value));
  }
}

/**
 * Whether values may cross in the plain form: trees of exactly these types, at most six containers
 * deep, in which no container is met twice.
 */
export function arePlain(values: Iterable<unknown>): boolean {
  const met = new Set<object>();
  const isPlain = (value: unknown, deepest: number): boolean => {
    switch (typeof value) {
      case "bigint":
        return fits(value);
      case "function":
      case "symbol":
        return false;
      case "object":
        break;
      default:
        return true;
    }
    if (value === null || value instanceof Float) return true;
    if (deepest === 0 || met.has(value)) return false;
    const proto = Object.getPrototypeOf(value);
    met.add(value);
    if (proto === Array.prototype)
      return (value as unknown[]).every((each) => isPlain(each, deepest - 1));
    if (proto === Map.prototype)
      return [...(value as Map<unknown, unknown>)].every(
        ([key, each]) => typeof key === "string" && isPlain(each, deepest - 1),
      );
    if (proto !== null && proto !== Object.prototype) return false;
    return Object.values(value).every((each) => isPlain(each, deepest - 1));
  };
  for (const value of values) if (!isPlain(value, 6)) return false;
  return true;
}

/** Write a message with expressions; what it would open is undone if it cannot be written. */
export function putGraph(
  host: { put(message: unknown[], most?: number): number },
  jellier: Jellier,
  make: () => unknown[],
  most?: number,
): number {
  let size: number;
  try {
    size = host.put(make(), most);
  } catch (error) {
    for (const undo of jellier.undo.reverse()) undo();
    throw error;
  }
  for (const done of jellier.sent) done();
  return size;
}
