/** The reader of msgpack: it takes the kinds of values that its caller names, and no others. */
import { malformed } from "./errors.ts";
import { NUMBER_TYPES, decode, narrow } from "./values.ts";

/** The kinds of values. */
export const NIL = 1;
export const BOOL = 2;
export const INT = 4;
export const FLOAT = 8;
export const TEXT = 16;
export const ARRAY = 32;
export const MAP = 64;
export const BYTES = 128;

export const PLAIN = NIL | BOOL | INT | FLOAT | TEXT | ARRAY | MAP;
export const GRAPH = INT | FLOAT | BYTES | ARRAY;

/** The kinds of the codes 0xc0 to 0xdf, as letters in the order above; no kind is for the others. */
const KINDS = Array.from(
  "n-bbBBB---ffiiiiiiii-----TTTaamm",
  (letter) => 1 << "nbifTamB".indexOf(letter),
);
/** What reads the number of such a code, or its length: a method, of so many bytes. */
const NUMBERS = Array.from("----012---8901234567-----0121212", Number);
const METHODS = NUMBER_TYPES.map((type) => `get${type}` as const);
const SIZES = Array.from("1248124848", Number);

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
function head(kinds: number): number {
  if (--left < 0) malformed("nodes");
  const code = bytes[take(1)]!;
  let kind = INT;
  number = code;
  if (code >= 0xe0) number -= 256;
  else if (code >= 0xc0) {
    kind = KINDS[code - 0xc0]!;
    const method = NUMBERS[code - 0xc0]!;
    if (method >= 0) number = view[METHODS[method]!](take(SIZES[method]!));
    if (typeof number === "bigint") number = narrow(number);
  } else if (code >= 0xa0) {
    kind = TEXT;
    number &= 31;
  } else if (code >= 0x80) {
    kind = code < 0x90 ? MAP : ARRAY;
    number &= 15;
  }
  if (!(kinds & kind)) malformed("kind");
  // Each element has one byte at least.
  if (kind >= TEXT && number > bytes.length - at) malformed("end");
  return kind;
}

/** Read the head of an array; return its length. */
export function arrayLength(): number {
  head(ARRAY);
  return number as number;
}

/**
 * Read a value of one of these kinds, of at most so many containers in each other. Its elements are
 * of the kinds `inner`.
 */
export function value(kinds: number, deepest = 0, inner = kinds): any {
  const kind = head(kinds);
  const length = number as number;
  if (kind === NIL) return null;
  if (kind === BOOL) return length === 0xc3;
  if (kind === TEXT) return string(length);
  if (kind === BYTES) return bytes.slice(take(length), at);
  if (kind < TEXT) return length;
  if (!deepest) malformed("depth");
  const isArray = kind === ARRAY;
  const out: any = isArray ? new Array(length) : Object.create(null);
  for (let i = 0; i < length; i++) out[isArray ? i : value(TEXT)] = value(inner, deepest - 1);
  return out;
}

function string(length: number): string {
  let next = take(length);
  let text = "";
  // Names and keys are short, and of ASCII.
  while (length < 16 && next < at && bytes[next]! < 128) text += String.fromCharCode(bytes[next++]!);
  return next < at ? decode(bytes.subarray(at - length, at), malformed) : text;
}
