/** Logins: the strongest way that the server offers and the credentials fit. */
import type { ConnectOptions } from "./connection.ts";
import { LoginFailed } from "./errors.ts";
import type { RemoteReference } from "./references.ts";
import { scram } from "./scram.ts";
import type { Session } from "./session.ts";
import { encode } from "./values.ts";

/** Credentials: a password, a token, a guest, or the certificate of the TLS handshake. */
export type Credentials =
  { username: string; password: string } | { token: string } | "anonymous" | "certificate";

/** Whether other people cannot listen: inside TLS, and on the loopback. */
function isPrivateAddress(address: string): boolean {
  const { protocol, hostname } = new URL(address);
  return /^(wss|pbs):$/.test(protocol) || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/**
 * Log in; return the avatar. `binding` is that of a TLS 1.3 connection, 32 bytes; no browser gives it.
 */
export async function login(
  session: Session,
  credentials: Exclude<Credentials, "anonymous">,
  { mind = null, insecurePlaintext }: ConnectOptions,
  address: string,
  binding?: Uint8Array | void,
): Promise<RemoteReference> {
  const { root, mechanisms } = session;
  const isPrivate = insecurePlaintext || isPrivateAddress(address);
  if (!mechanisms) throw new LoginFailed("the server asks for no login");
  for (const mechanism of mechanisms) {
    if (credentials === "certificate") {
      if (mechanism === "certificate") return root.callRemote("loginCertificate", mind);
    } else if ("token" in credentials) {
      if (mechanism === "token" && isPrivate)
        return root.callRemote("loginToken", credentials.token, mind);
    } else {
      const { username, password } = credentials;
      const isPlus = mechanism === "SCRAM-SHA-256-PLUS";
      if ((isPlus && binding) || mechanism === "SCRAM-SHA-256") {
        if (!globalThis.crypto?.subtle) throw new LoginFailed("a login needs https, or localhost");
        const head = isPlus ? "p=tls-exporter,," : binding ? "y,," : "n,,";
        const bound = isPlus ? binding! : new Uint8Array();
        return scram(root, mechanism, username, password, mind, head, bound);
      }
      if (mechanism === "password" && isPrivate)
        return root.callRemote("loginPassword", encode(username), encode(password), mind);
    }
  }
  const offered = mechanisms.join(", ") || "nothing";
  const reason = isPrivate ? "" : "; a token or a plain password needs TLS";
  throw new LoginFailed(`these credentials do not fit: the server takes ${offered}${reason}`);
}
