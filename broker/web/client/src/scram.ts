/** SCRAM-SHA-256, RFC 5802 and RFC 7677: the password does not cross, and the server proves itself. */
import { LoginFailed } from "./errors.ts";
import type { RemoteReference } from "./references.ts";
import { saslprep } from "./saslprep.ts";
import { decode, encode } from "./values.ts";

const LEAST_ROUNDS = 10_000;
const MOST_ROUNDS = 5_000_000;

const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text: string) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));

type Bytes = Uint8Array<ArrayBuffer>;

const wrong = (): never => {
  throw new LoginFailed("the server's SCRAM message is not right");
};

async function hmac(key: Bytes, message: Bytes): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const made = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", made, message));
}

async function salted(password: string, salt: Bytes, iterations: number): Promise<Bytes> {
  const raw = encode(saslprep(password)) as Bytes;
  const key = await crypto.subtle.importKey("raw", raw, "PBKDF2", false, ["deriveBits"]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
}

/** Log in; `binding` is that of the TLS connection, for the mechanism SCRAM-SHA-256-PLUS. */
export async function scram(
  root: RemoteReference,
  mechanism: string,
  username: string,
  password: string,
  mind: unknown,
  head: string,
  binding: Uint8Array,
): Promise<RemoteReference> {
  const nonce = toBase64(crypto.getRandomValues(new Uint8Array(18)));
  const name = saslprep(username).replace(/=/g, "=3D").replace(/,/g, "=2C");
  const bare = `n=${name},r=${nonce}`;
  const [first, exchange] = await root.callRemote("loginScram", mechanism, encode(head + bare));
  const serverFirst = decode(first, wrong);
  const { r, s, i } = Object.fromEntries(
    serverFirst.split(",").map((part) => [part[0], part.slice(2)]),
  );
  const rounds = Number(i);
  if (!(rounds >= LEAST_ROUNDS && rounds <= MOST_ROUNDS) || !r?.startsWith(nonce) || r === nonce)
    wrong();
  const key = await salted(password, fromBase64(s ?? ""), rounds);
  const clientKey = await hmac(key, encode("Client Key") as Bytes);
  const stored = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
  const last = `c=${toBase64(new Uint8Array([...encode(head), ...binding]))},r=${r}`;
  const message = encode(`${bare},${serverFirst},${last}`) as Bytes;
  const signature = await hmac(stored, message);
  const proof = toBase64(clientKey.map((byte, at) => byte ^ signature[at]!));
  const [final, avatar] = await exchange.callRemote("finish", encode(`${last},p=${proof}`), mind);
  const serverKey = await hmac(key, encode("Server Key") as Bytes);
  if (decode(final, wrong) !== "v=" + toBase64(await hmac(serverKey, message)))
    throw new LoginFailed("the server does not know the password");
  return avatar;
}
