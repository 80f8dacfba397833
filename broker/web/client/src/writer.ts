/** The writer of msgpack: a message becomes a frame. */
import { Float, encode, fits } from "./values.ts";

/** The most arrays in each other: a graph is 102 deep, within the array of its message. */
const DEEPEST = 103;

/** Writes frames. One writer is used again and again, and keeps its buffer. */
export class Writer {
  private _bytes = new Uint8Array(256);
  private _view = new DataView(this._bytes.buffer);
  private _at = 0;

  /** Return a message as a frame. */
  frame(message: unknown[]): Uint8Array {
    this._at = 4;
    this._value(message, 0);
    this._view.setUint32(0, this._at - 4);
    const frame = this._bytes.slice(0, this._at);
    // A large buffer is not kept.
    if (this._at > 1 << 20) this._use(new Uint8Array(256));
    return frame;
  }

  private _use(bytes: Uint8Array<ArrayBuffer>): void {
    this._bytes = bytes;
    this._view = new DataView(bytes.buffer);
  }

  private _room(size: number): number {
    const at = this._at;
    this._at += size;
    if (this._at > this._bytes.length) {
      const wider = new Uint8Array(Math.max(this._at, this._bytes.length * 2));
      wider.set(this._bytes);
      this._use(wider);
    }
    return at;
  }

  private _byte(value: number): void {
    const at = this._room(1);
    this._bytes[at] = value;
  }

  /** Write the head of a text, an array …: `short` holds lengths below `limit`; `code` is that of
   * 8 bits, or of 16 bits if `from16`. */
  private _head(short: number, limit: number, code: number, from16: boolean, length: number): void {
    if (length < limit) return this._byte(short | length);
    const bits = length < 256 && !from16 ? 0 : length < 65536 ? 1 : 2;
    this._byte(code + bits - (from16 ? 1 : 0));
    const at = this._room(1 << bits);
    if (bits === 0) this._bytes[at] = length;
    else if (bits === 1) this._view.setUint16(at, length);
    else this._view.setUint32(at, length);
  }

  private _raw(bytes: Uint8Array): void {
    const at = this._room(bytes.length);
    this._bytes.set(bytes, at);
  }

  private _value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "undefined":
        return this._byte(0xc0);
      case "boolean":
        return this._byte(value ? 0xc3 : 0xc2);
      case "number":
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) return this._int(value);
        return this._float(value);
      case "bigint":
        return this._bigint(value);
      case "string":
        if (value.length < 32 && this._ascii(value)) return;
        return this._text(encode(value));
      default:
        return this._object(value as object | null, depth + 1);
    }
  }

  private _text(bytes: Uint8Array): void {
    this._head(0xa0, 32, 0xd9, false, bytes.length);
    this._raw(bytes);
  }

  private _object(value: object | null, depth: number): void {
    if (value === null) return this._byte(0xc0);
    if (value instanceof Uint8Array) {
      this._head(0, 0, 0xc4, false, value.length);
      return this._raw(value);
    }
    if (value instanceof Float) return this._float(value.value);
    if (depth > DEEPEST) throw new RangeError("too deep");
    if (Array.isArray(value)) {
      this._head(0x90, 16, 0xdc, true, value.length);
      for (const each of value) this._value(each, depth);
      return;
    }
    const entries = value instanceof Map ? [...value] : Object.entries(value);
    this._head(0x80, 16, 0xde, true, entries.length);
    for (const [key, each] of entries) {
      this._value(key, depth);
      this._value(each, depth);
    }
  }

  /** Write a short text of ASCII, as names are; return false if it is not. */
  private _ascii(text: string): boolean {
    const at = this._room(text.length + 1);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) {
        this._at = at;
        return false;
      }
      this._bytes[at + 1 + i] = code;
    }
    this._bytes[at] = 0xa0 | text.length;
    return true;
  }

  private _float(value: number): void {
    this._byte(0xcb);
    const at = this._room(8);
    this._view.setFloat64(at, value);
  }

  private _int(value: number): void {
    if (value >= -32 && value < 128) return this._byte(value & 255);
    // A negative int of n bits has the range of a positive one of n − 1 bits.
    const reach = value < 0 ? -2 * value - 1 : value;
    const bits = reach < 256 ? 0 : reach < 65536 ? 1 : reach < 4294967296 ? 2 : 3;
    this._byte((value < 0 ? 0xd0 : 0xcc) + bits);
    const at = this._room(1 << bits);
    if (bits === 0) this._bytes[at] = value & 255;
    else if (bits === 1) this._view.setUint16(at, value & 65535);
    else if (bits === 2) this._view.setUint32(at, value >>> 0);
    else {
      this._view.setInt32(at, Math.floor(value / 4294967296));
      this._view.setUint32(at + 4, value >>> 0);
    }
  }

  private _bigint(value: bigint): void {
    if (Number.isSafeInteger(Number(value))) return this._int(Number(value));
    if (!fits(value)) throw new RangeError("int beyond 64 bits");
    this._byte(value < 0n ? 0xd3 : 0xcf);
    const at = this._room(8);
    this._view.setBigUint64(at, BigInt.asUintN(64, value));
  }
}
