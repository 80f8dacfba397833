/** The handshake: the server's offer, in banana, and this end's choice. */
import { fault } from "./errors.ts";
import { word } from "./jellier.ts";

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
export const choice = (): Uint8Array => Uint8Array.of(DIALECT.length, 0x82, ...word(DIALECT));

function check(isRight: boolean, text = "not a Perspective Broker server"): void {
  if (!isRight) fault("no offer: " + text);
}

/** Return the offer at the beginning of some bytes, or undefined if it is not complete. */
export function readOffer(bytes: Uint8Array): Offer | undefined {
  let at = 0;
  /** Read a number, and its code. */
  const head = (code: number): number => {
    let number = 0;
    let scale = 1;
    for (; bytes[at]! < 128; scale *= 128) number += bytes[at++]! * scale;
    check(scale < 2 ** 29 && number <= MOST_OFFER && (bytes[at++] ?? code) === code);
    return number;
  };
  const offered: string[] = [];
  for (let left = head(0x80); left; left--) {
    const length = head(0x82);
    offered.push(String.fromCharCode(...bytes.subarray(at, (at += length))));
  }
  check(at <= MOST_OFFER);
  if (at > bytes.length) return undefined;
  check(offered.includes(DIALECT), `${offered.join(", ")}, and not ${DIALECT}`);
  const logins = offered.filter((each) => /^login( |$)/.test(each));
  check(logins.length < 2 && (logins[0]?.length ?? 0) <= 256, "its logins");
  return { mechanisms: logins[0]?.split(" ").slice(1), size: at };
}
