/** The handshake: the server's offer, in banana, and this end's choice. */
import { ProtocolError } from "./errors.ts";
import { word } from "./jellier.ts";
import { decode } from "./values.ts";

const DIALECT = "msgpack/1";
const MOST_OFFER = 4096;

/** What a server offers. */
export interface Offer {
  /** The ways to log in, strongest first; undefined if the server asks for no login. */
  mechanisms: string[] | undefined;
  /** The bytes of the offer. */
  size: number;
}

/** The choice of the dialect, in banana. */
export function choice(): Uint8Array {
  const name = word(DIALECT);
  return Uint8Array.of(name.length, 0x82, ...name);
}

/** Return the offer at the beginning of some bytes, or undefined if it is not complete. */
export function readOffer(bytes: Uint8Array): Offer | undefined {
  let at = 0;
  const head = (code: number): number | undefined => {
    let number = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++];
      if (at > MOST_OFFER || scale > 2 ** 28) throw new ProtocolError("no offer");
      if (byte === undefined) return undefined;
      if (byte >= 128) {
        if (byte !== code) throw new ProtocolError("no offer: not a Perspective Broker server");
        return number;
      }
      number += byte * scale;
      scale *= 128;
    }
  };
  const count = head(0x80);
  if (count === undefined) return undefined;
  const offered: string[] = [];
  for (let i = 0; i < count; i++) {
    const length = head(0x82);
    if (length !== undefined && length > MOST_OFFER) throw new ProtocolError("no offer");
    if (length === undefined || at + length > bytes.length) return undefined;
    offered.push(decode(bytes.subarray(at, (at += length))));
  }
  if (!offered.includes(DIALECT))
    throw new ProtocolError(`the server offers ${offered.join(", ")}, and not ${DIALECT}`);
  const logins = offered.filter((each) => /^login( |$)/.test(each));
  if (logins.length > 1 || (logins[0]?.length ?? 0) > 256)
    throw new ProtocolError("no offer: its logins");
  return { mechanisms: logins[0]?.split(" ").slice(1), size: at };
}
