/** The reader of msgpack: it takes the kinds of values that its caller names, and no others. */
import { malformed } from "./errors.ts";
import { NUMBER_TYPES, decode, narrow } from "./values.ts";

/** The kinds of plain values, and of expressions. Each is a letter: see `KINDS`. */
export const PLAIN = "nbifTam";
export const GRAPH = "ifBa";

/** Codes 0xc0 to 0xdf: nil, bool, Bytes, float, int, Text, array, map. No kind is for the others. */
const KINDS = "n-bbBBB---ffiiiiiiii-----TTTaamm";
/** What reads the number of such a code, or its length: a method, of so many bytes. */
const NUMBERS = "----012---8901234567-----0121212";
const METHODS = NUMBER_TYPES.map((type) => `get${type}` as const);
const SIZES = "1248124848";

const MOST_NODES = 1_000_000;

// What is read now. Nothing else is read, and no code of the program runs, meanwhile.
let bytes: Uint8Array;
let view: DataView;
let at: number;
/** Values that may still come. */
let left: number;
/** The int, the float, or the length, whose head was read. */
let number: number | bigint;

/** Begin to read bytes. */
export function begin(from: Uint8Array): void {
  bytes = from;
  view = new DataView(from.buffer, from.byteOffset, from.length);
  at = 0;
  left = MOST_NODES;
}

/** Return the rest of the bytes, as a copy. */
export const rest = (): Uint8Array => bytes.slice(take(bytes.length - at));

/** Check that all bytes were read. */
export function end(): void {
  if (at < bytes.length) malformed("bytes behind");
}

function take(size: number): number {
  const start = at;
  at += size;
  if (at > bytes.length) malformed("end");
  return start;
}

/** Read the head of a value; return its kind. */
function head(kinds: string): string {
  if (--left < 0) malformed("nodes");
  const code = bytes[take(1)]!;
  let kind: string | undefined = "i";
  number = code;
  if (code >= 0xe0) number -= 256;
  else if (code >= 0xc0) {
    kind = KINDS[code - 0xc0];
    const method = +NUMBERS[code - 0xc0]!;
    if (method >= 0) number = view[METHODS[method]!](take(+SIZES[method]!));
    if (typeof number === "bigint") number = narrow(number);
  } else if (code >= 0xa0) {
    kind = "T";
    number &= 31;
  } else if (code >= 0x80) {
    kind = code < 0x90 ? "m" : "a";
    number &= 15;
  }
  if (!kinds.includes(kind!)) malformed("kind");
  // Each element has one byte at least.
  if ("BTam".includes(kind!) && number > bytes.length - at) malformed("end");
  return kind!;
}

/** Read the head of an array; return its length. */
export function arrayLength(): number {
  head("a");
  return number as number;
}

/**
 * Read a value of one of these kinds, of at most so many containers in each other. Its elements are
 * of the kinds `inner`.
 */
export function value(kinds: string, deepest = 0, inner = kinds): any {
  const kind = head(kinds);
  const length = number as number;
  if (kind === "n") return null;
  if (kind === "b") return length === 0xc3;
  if (kind === "T") return string(length);
  if (kind === "B") return bytes.slice(take(length), at);
  if (kind === "i" || kind === "f") return length;
  if (!deepest) malformed("depth");
  const out: any = kind === "a" ? new Array(length) : Object.create(null);
  for (let i = 0; i < length; i++)
    out[kind === "a" ? i : value("T")] = value(inner, deepest - 1);
  return out;
}

function string(length: number): string {
  const start = take(length);
  let text = "";
  // Names and keys are short, and of ASCII.
  if (length < 16)
    for (let i = start; i < at && bytes[i]! < 128; i++) text += String.fromCharCode(bytes[i]!);
  if (text.length === length) return text;
  try {
    return decode(bytes.subarray(start, at));
  } catch {
    return malformed("UTF-8");
  }
}
