/** The notation of the vectors: see tests/vectors/README.md. */
import { readFileSync } from "node:fs";
import { readFrame } from "../../broker/web/client/src/frames.ts";
import type { Session } from "../../broker/web/client/src/session.ts";
import { type Expression, Float, narrow } from "../../broker/web/client/src/values.ts";

const folder = new URL("../vectors/", import.meta.url);

/** Return the vectors of a file. */
export const load = (name: string): any[] =>
  JSON.parse(readFileSync(new URL(name, folder), "utf8"));

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

/** Return a float that Python's float.hex() wrote. */
function float(text: string): number {
  if (text === "nan") return NaN;
  if (text.endsWith("inf")) return text[0] === "-" ? -Infinity : Infinity;
  const [, sign, whole, fraction, power] = /^(-?)0x(\d)\.?([0-9a-f]*)p([+-]\d+)$/.exec(text)!;
  let value = parseInt(whole!, 16);
  [...fraction!].forEach((digit, i) => (value += parseInt(digit, 16) / 16 ** (i + 1)));
  value *= 2 ** Number(power);
  return sign ? -value : value;
}

/** Return an expression, or a field of a frame. */
export function read(json: any): any {
  if (Array.isArray(json)) return json.map(read);
  if (typeof json === "string") return new TextEncoder().encode(json);
  if (json === null || typeof json !== "object") return json;
  if (json.str !== undefined) return json.str;
  if (json.map !== undefined) return new Map(json.map.map(read));
  if (json.bytes !== undefined) return unhex(json.bytes);
  if (json.int !== undefined) return narrow(BigInt(json.int));
  if (json.float !== undefined) return new Float(float(json.float));
  if (typeof json.repeat === "string")
    return new TextEncoder().encode(json.repeat.repeat(json.times));
  if (json.repeat !== undefined) return Array(json.times).fill(read(json.repeat));
  throw new Error("not in the notation: " + JSON.stringify(json));
}

/** Return an expression as text, to be compared. */
export function shown(e: Expression): string {
  if (Array.isArray(e)) return `[${e.map(shown).join(" ")}]`;
  if (e instanceof Uint8Array) return Buffer.from(e).toString("latin1");
  if (e instanceof Float) return `f${Object.is(e.value, -0) ? "-0" : e.value}`;
  if (Object.is(e, -0)) return "f-0";
  return (typeof e === "number" && !Number.isInteger(e) ? "f" : "") + String(e);
}

/** Return what is compared of frames: errors by call and type; items that follow each other at once. */
export function outline(frames: Uint8Array[]): { messages: string[]; errors: string[] } {
  const messages: string[] = [];
  const errors: string[] = [];
  let items: [number, string] | undefined;
  for (const frame of frames) {
    const [row, first, second, ...rest] = readFrame(frame.subarray(4));
    if (row === 7 && first === 7) {
      const type = rest[2][1].find((pair: any) => shown(pair[0]) === "[unicode type]");
      errors.push(`${second}: ${shown(type[1])}`);
    } else if (row === 17 && items?.[0] === first) {
      items = [first, items![1] + itemsOf(second)];
      messages[messages.length - 1] = `items ${items}`;
      continue;
    } else messages.push(row === 17 ? `items ${[first, itemsOf(second)]}` : hex(frame));
    items = row === 17 ? [first, itemsOf(second)] : undefined;
  }
  return { messages, errors };
}

/** The bytes of the items of a message, without the head of their array. */
const itemsOf = (bytes: Uint8Array) => hex(bytes.subarray(bytes[0] === 0xdc ? 3 : 1));

/** Let the peer of a session call an object by a name. A client has no such objects. */
export function publish(session: Session, name: string, object: object): void {
  const { receiver } = session;
  const { local } = receiver;
  receiver.local = (at) => (at === name ? object : local(at));
}
