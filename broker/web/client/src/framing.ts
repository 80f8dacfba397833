/** The bytes of a connection become frames. Pieces are joined once, when a frame is complete. */
import { ProtocolError } from "./errors.ts";
import { MOST_FRAME } from "./frames.ts";

/** Collects the bytes that come in. */
export class Framing {
  private _pieces: Uint8Array[] = [];
  private _size = 0;
  private _needed = 0;

  /** Add bytes; return all that wait if there may be enough of them, else undefined. */
  add(bytes: Uint8Array): Uint8Array | undefined {
    if (!this._size) return bytes;
    this._pieces.push(bytes);
    this._size += bytes.length;
    if (this._size < this._needed) return undefined;
    const joined = joinBytes(this._pieces);
    this._pieces = [];
    this._size = 0;
    return joined;
  }

  /** Keep bytes until there are so many. */
  keep(bytes: Uint8Array, needed: number): void {
    if (!bytes.length) return;
    this._pieces = [bytes.slice()];
    this._size = bytes.length;
    this._needed = needed;
  }

  /** Call with the body of each complete frame, while it returns true; keep the rest. */
  split(data: Uint8Array, frame: (body: Uint8Array) => boolean): void {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    let at = 0;
    while (data.length - at >= 4) {
      const size = view.getUint32(at);
      if (size > MOST_FRAME)
        throw new ProtocolError(`expression larger than ${MOST_FRAME} bytes (max_expression)`);
      if (data.length - at - 4 < size) return this.keep(data.subarray(at), size + 4);
      at += 4 + size;
      if (!frame(data.subarray(at - size, at))) return;
    }
    this.keep(data.subarray(at), 4);
  }
}

/** Return pieces as one. */
export function joinBytes(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}
