/** The reader of msgpack: it checks every field as it reads it. */
import { malformed } from "./errors.ts";
import { type Expression, decode, narrow } from "./values.ts";

/** The number of an object, a cache, a stream or a request; a bigint beyond 2⁵³ − 1. */
export type Id = number;

/** The methods of a DataView for the codes 0xcc to 0xd3. */
const INTS = [
  "getUint8",
  "getUint16",
  "getUint32",
  "getBigUint64",
  "getInt8",
  "getInt16",
  "getInt32",
  "getBigInt64",
] as const;

const MOST_ID = (1n << 63n) - 1n;

/** Reads the values of one frame, or of a part of one. */
export class Reader {
  private _bytes: Uint8Array;
  private _at = 0;
  private _view: DataView;
  /** Values that may still come. */
  private _left: number;

  constructor(bytes: Uint8Array, most = 1_000_000) {
    this._bytes = bytes;
    this._view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this._left = most;
  }

  /** Check that all bytes were read. */
  end(): void {
    if (this._at < this._bytes.length) throw malformed("bytes behind");
  }

  /** Whether the next value is nil; it is taken then. */
  nil(): boolean {
    const found = this._bytes[this._at] === 0xc0;
    if (found) this._at++;
    return found;
  }

  /** What the next value is: `"text"`, `"array"`, or something else. */
  kind(): string {
    const code = this._bytes[this._at] ?? 0;
    if (code >> 5 === 5 || (code >= 0xd9 && code < 0xdc)) return "text";
    return code >> 4 === 9 || code >> 1 === 0x6e ? "array" : "other";
  }

  /** The rest of the bytes, as a copy. */
  rest(): Uint8Array {
    const at = this._at;
    this._at = this._bytes.length;
    return this._bytes.slice(at);
  }

  private _take(size: number): number {
    const at = this._at;
    this._at += size;
    if (this._at > this._bytes.length) throw malformed("end");
    return at;
  }

  private _code(): number {
    if (--this._left < 0) throw malformed("nodes");
    return this._bytes[this._take(1)]!;
  }

  /** Read a length of 2ⁿ bytes. */
  private _length(bits: number): number {
    const at = this._take(1 << bits);
    return this._view[INTS[bits]!](at) as number;
  }

  /** Return the length of an array whose code was read, or -1 if it is the code of something else. */
  private _arrayLength(code: number): number {
    const length =
      code >> 4 === 9 ? code & 15 : code >> 1 === 0x6e ? this._length(code - 0xdb) : -1;
    if (length > this._bytes.length - this._at) throw malformed("end");
    return length;
  }

  private _textLength(code: number): number {
    return code >> 5 === 5
      ? code & 31
      : code >= 0xd9 && code < 0xdc
        ? this._length(code - 0xd9)
        : -1;
  }

  private _number(code: number): number | bigint | undefined {
    if (code < 0x80) return code;
    if (code >= 0xe0) return code - 256;
    if (code < 0xcc || code > 0xd3) return undefined;
    const at = this._take(1 << (code & 3));
    const value = this._view[INTS[code - 0xcc]!](at);
    return typeof value === "bigint" ? narrow(value) : value;
  }

  /** Read a float or a bin, whose code was read. */
  private _float(code: number): number | undefined {
    if (code === 0xca) return this._view.getFloat32(this._take(4));
    return code === 0xcb ? this._view.getFloat64(this._take(8)) : undefined;
  }

  private _bin(code: number): Uint8Array | undefined {
    if (code < 0xc4 || code > 0xc6) return undefined;
    const size = this._length(code - 0xc4);
    const at = this._take(size);
    return this._bytes.slice(at, at + size);
  }

  private _string(length: number): string {
    const at = this._take(length);
    if (length < 16) {
      // Names and keys are short, and of ASCII.
      let text = "";
      let i = at;
      for (; i < this._at && this._bytes[i]! < 128; i++)
        text += String.fromCharCode(this._bytes[i]!);
      if (i === this._at) return text;
    }
    try {
      return decode(this._bytes.subarray(at, this._at));
    } catch {
      throw malformed("UTF-8");
    }
  }

  /** Read the head of an array; return its length. */
  array(): number {
    const length = this._arrayLength(this._code());
    if (length < 0) throw malformed("array");
    return length;
  }

  /** Read an int from `least` to `most`. */
  int(least: number | bigint, most: number | bigint): number {
    const value = this._number(this._code());
    if (value === undefined || value < least || value > most) throw malformed("int");
    return value as number;
  }

  /** Read an id: a bigint beyond 2⁵³ − 1, which the types do not say. */
  id(): Id {
    return this.int(0, MOST_ID);
  }

  /** Read a text of at most so many characters. */
  text(most: number): string {
    const length = this._textLength(this._code());
    if (length < 0) throw malformed("text");
    const text = this._string(length);
    if (text.length > most && [...text].length > most) throw malformed("text");
    return text;
  }

  /** Read bytes. */
  bytes(): Uint8Array {
    const bytes = this._bin(this._code());
    if (!bytes) throw malformed("bytes");
    return bytes;
  }

  /** Read a map of texts to values; return its entries. */
  map<T>(most: number, mostKey: number, value: () => T): Record<string, T> {
    return this._entries(this._code(), most, mostKey, value);
  }

  private _entries<T>(
    code: number,
    most: number,
    mostKey: number,
    value: () => T,
  ): Record<string, T> {
    let length =
      code >> 4 === 8 ? code & 15 : code >> 1 === 0x6f ? this._length(code - 0xdd) : Infinity;
    if (length > most || length === Infinity) throw malformed("map");
    const out: Record<string, T> = Object.create(null);
    while (length--) out[this.text(mostKey)] = value();
    return out;
  }

  private _list<T>(length: number, value: () => T): T[] {
    const out = new Array<T>(length);
    for (let i = 0; i < length; i++) out[i] = value();
    return out;
  }

  /** Read an array of plain values, each of so many containers in each other. */
  plains(deepest: number): unknown[] {
    return this._list(this.array(), () => this.plain(deepest));
  }

  /** Read a plain value of at most so many containers in each other. */
  plain(deepest: number): unknown {
    const code = this._code();
    if (code === 0xc0) return null;
    if (code >> 1 === 0x61) return code === 0xc3;
    const number = this._number(code) ?? this._float(code);
    if (number !== undefined) return number;
    const text = this._textLength(code);
    if (text >= 0) return this._string(text);
    if (deepest === 0) throw malformed("depth");
    const array = this._arrayLength(code);
    const read = () => this.plain(deepest - 1);
    return array < 0 ? this._entries(code, Infinity, Infinity, read) : this._list(array, read);
  }

  /** Read an expression of at most so many arrays in each other. */
  graph(deepest: number): Expression {
    const code = this._code();
    const leaf = this._number(code) ?? this._float(code) ?? this._bin(code);
    if (leaf !== undefined) return leaf;
    const length = this._arrayLength(code);
    if (length < 0) throw malformed("value");
    if (deepest === 0) throw malformed("depth");
    return this._list(length, () => this.graph(deepest - 1));
  }
}
