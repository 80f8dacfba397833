/** The bytes of a connection become frames. Pieces are joined once, when a frame is complete. */
import { fault } from "./errors.ts";
import { MOST_FRAME } from "./frames.ts";

/** Return what collects the bytes that come in. */
export function createFraming() {
  let pieces: Uint8Array[] = [];
  let size = 0;
  let needed = 0;

  /** Keep bytes until there are so many. */
  const keep = (bytes: Uint8Array, enough: number): undefined => {
    pieces = [bytes.slice()];
    size = bytes.length;
    needed = enough;
  };

  return {
    keep,

    /** Add bytes; return all that wait if there may be enough of them, else undefined. */
    collect(bytes: Uint8Array): Uint8Array | undefined {
      if (!size) return bytes;
      pieces.push(bytes);
      size += bytes.length;
      if (size > 2 * MOST_FRAME) fault("too many bytes");
      if (size < needed) return undefined;
      size = 0;
      return joinBytes(pieces);
    },

    /** Go on with what was kept because a frame was not taken. */
    resume(): void {
      needed = 0;
    },

    /** Call with the body of each complete frame, while it is taken; keep the rest. */
    cut(data: Uint8Array, frame: (body: Uint8Array) => boolean): void {
      const view = new DataView(data.buffer, data.byteOffset, data.length);
      let at = 0;
      let enough = 4;
      while (data.length - at >= 4) {
        const size = view.getUint32(at);
        if (size > MOST_FRAME) fault(`expression larger than ${MOST_FRAME} bytes (max_expression)`);
        enough = 4 + size;
        if (data.length - at < enough) break;
        if (!frame(data.subarray(at + 4, at + enough))) {
          enough = Infinity;
          break;
        }
        at += enough;
        enough = 4;
      }
      if (at < data.length) keep(data.subarray(at), enough);
    },
  };
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
