/** The writer of msgpack: a message becomes a frame. */
import { Float, NUMBER_TYPES, encode, fits } from "./values.ts";

/** The most arrays in each other: a graph is 102 deep, within the array of its message. */
const DEEPEST = 103;

/** The most bytes of a short text, and of another value without its text, bytes or elements. */
const HEAD = 32;

const SETTERS = NUMBER_TYPES.map((type) => `set${type}` as "setUint8");

/** As 2ⁿ bytes hold a length: n. */
const bitsOf = (length: number): number =>
  length < 256 ? 0 : length < 65536 ? 1 : length < 2 ** 32 ? 2 : 3;

/** Return a function that returns messages as frames. It keeps its buffer for the next one. */
export function frameWriter(): (message: unknown[]) => Uint8Array {
  let bytes = new Uint8Array(256);
  let view = new DataView(bytes.buffer);
  let at: number;

  const use = (size: number, before: Uint8Array) => {
    bytes = new Uint8Array(size);
    bytes.set(before);
    view = new DataView(bytes.buffer);
  };

  const reserve = (size: number) => {
    if (at + size > bytes.length) use(Math.max(at + size, 2 * bytes.length), bytes);
  };

  /** Write a code, and an int of 2ⁿ bytes. */
  const sized = (code: number, bits: number, value: number | bigint) => {
    bytes[at++] = code + bits;
    view[SETTERS[bits]!](at, (bits > 2 ? BigInt : Number)(value) as number);
    at += 1 << bits;
  };

  /** Write the head of a text, an array …: `short` holds lengths below `limit`; `code` is that of 8
   * bits, if there are so few. */
  const head = (short: number, limit: number, code: number, least: number, length: number) => {
    if (length < limit) bytes[at++] = short | length;
    else sized(code, Math.max(least, bitsOf(length)), length);
  };

  const raw = (more: Uint8Array) => {
    reserve(more.length);
    bytes.set(more, at);
    at += more.length;
  };

  const int = (value: number | bigint) => {
    const number = Number(value);
    if (number >= -32 && number < 128) bytes[at++] = number;
    // A negative int of n bits has the range of a positive one of n − 1 bits.
    else if (number < 0) sized(0xd0, bitsOf(-2 * number - 1), value);
    else sized(0xcc, bitsOf(number), value);
  };

  const float = (value: number) => {
    bytes[at++] = 0xcb;
    view.setFloat64(at, value);
    at += 8;
  };

  const text = (value: string) => {
    const { length } = value;
    let i = 0;
    if (length < 32)
      // Names and keys are short, and of ASCII.
      for (let code; i < length && (code = value.charCodeAt(i)) < 128;) bytes[at + ++i] = code;
    if (i === length) {
      bytes[at] = 0xa0 | length;
      at += length + 1;
    } else {
      const more = encode(value);
      head(0xa0, 32, 0xd9, 0, more.length);
      raw(more);
    }
  };

  const write = (value: unknown, depth: number): unknown => {
    reserve(HEAD);
    switch (typeof value) {
      case "boolean":
        return (bytes[at++] = value ? 0xc3 : 0xc2);
      case "number":
        return Number.isSafeInteger(value) && !Object.is(value, -0) ? int(value) : float(value);
      case "bigint":
        if (!fits(value)) throw new RangeError("int beyond 64 bits");
        return int(value);
      case "string":
        return text(value);
    }
    if (value == null) bytes[at++] = 0xc0;
    else if (value instanceof Float) float(value.value);
    else if (value instanceof Uint8Array) {
      head(0, 0, 0xc4, 0, value.length);
      raw(value);
    } else {
      if (depth > DEEPEST) throw new RangeError("too deep");
      if (Array.isArray(value)) {
        head(0x90, 16, 0xdb, 1, value.length);
        for (const each of value) write(each, depth + 1);
      } else {
        const entries = value instanceof Map ? [...value] : Object.entries(value);
        head(0x80, 16, 0xdd, 1, entries.length);
        for (const pair of entries) for (const each of pair) write(each, depth + 1);
      }
    }
    return undefined;
  };

  return (message) => {
    at = 4;
    write(message, 1);
    view.setUint32(0, at - 4);
    const frame = bytes.slice(0, at);
    // A large buffer is not kept.
    if (at > 1 << 20) use(256, frame.subarray(0, 0));
    return frame;
  };
}
