/** One connection: it is made, with its login. */
import { ConnectionLost } from "./errors.ts";
import type { Credentials } from "./login.ts";
import type { RemoteReference } from "./references.ts";
import type { RemoteCache } from "./registry.ts";
import { type Session, createSession } from "./session.ts";
import type { Draining } from "./transport.ts";

const SILENCE = 20_000;

/** Gives a session its transport; resolves when that is open, with its binding if there is one. */
export type Opener = (address: string, session: Session) => Promise<Uint8Array | void>;

/** The delays between attempts: random, from 0 to a number that grows. Seconds. */
export interface Retry {
  first?: number;
  most?: number;
  factor?: number;
  /** A connection that lasted so long begins the delays again. */
  healthyAfter?: number;
  /** Without a healthy connection for so long, the last error is raised. */
  giveUpAfter?: number;
  /** Whether an error ends the attempts; undefined leaves it to `isTransient`. */
  isFatal?: (error: unknown) => boolean | undefined;
}

export interface ConnectOptions {
  /** The object that the server's realm gets, to call this client; often a Referenceable. */
  mind?: unknown;
  /** Milliseconds for all steps, from the first packet to the avatar; 10,000 unless given. */
  timeout?: number;
  /** Ends attempts and connections. */
  signal?: AbortSignal;
  /** Sends tokens and plain passwords without TLS too. */
  insecurePlaintext?: boolean;
  /** For `for await` and links only. */
  retry?: Retry;
  /** For links only: milliseconds that a call waits for a connection; 30,000 unless given. */
  patience?: number;
}

/** Credentials, or a function that returns them, which is asked for each login. */
export type CredentialSource = Credentials | (() => Credentials | Promise<Credentials>);

/** A connection, and the login on it. */
export class Connection {
  /** The root of the server. */
  readonly root: RemoteReference;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<ConnectionLost>;
  private _avatar: RemoteReference | undefined;
  /** @internal */
  readonly _session: Session;

  /** @internal */
  constructor(session: Session, avatar: RemoteReference | undefined) {
    this._session = session;
    this._avatar = avatar;
    this.root = session.root;
    this.closed = session.closed;
  }

  /** The avatar, if credentials were given. */
  get avatar(): RemoteReference {
    if (!this._avatar) throw new TypeError("no avatar without credentials");
    return this._avatar;
  }

  /** Whether calls can be made. */
  get isOpen(): boolean {
    return !this._session.ended;
  }

  /** Set when the server takes no new calls. */
  get draining(): Draining | undefined {
    return this._session.draining;
  }

  /** Drop a reference, or a cache, now: the program does not use it any more. */
  release(value: RemoteReference | RemoteCache): void {
    this._session.release(value);
  }

  /** Close, after all that was written. */
  close(): void {
    this._session.goodbye();
  }
}

/** The arguments of `connect`. */
export interface Plan {
  opener: Opener;
  addresses: string[];
  credentials: CredentialSource | undefined;
  options: ConnectOptions;
}

/** Connect to an address, and log in. */
export async function attempt(plan: Plan, address: string): Promise<Connection> {
  const { opener, credentials, options } = plan;
  const { timeout = 10_000, signal, mind = null } = options;
  const session = createSession();
  // It is loaded while the connection is made.
  const logins =
    credentials && credentials !== "anonymous" ? import("./login.ts") : undefined;
  logins?.catch(() => {});
  const end = () => session.goodbye();
  const late = `no connection to ${address} in ${timeout} ms`;
  const timer = setTimeout(() => session.goodbye("lost", late), timeout);
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  const steps = async () => {
    const binding = await opener(address, session);
    await session.ready;
    const given = typeof credentials === "function" ? await credentials() : credentials;
    if (given === "anonymous") return session.root.callRemote("loginAnonymous", mind);
    return given && (await logins!).login(session, given, options, address, binding);
  };
  const ended = session.closed.then((why) => {
    signal?.removeEventListener("abort", end);
    throw why;
  });
  try {
    const avatar = await Promise.race([steps(), ended]);
    session.watch(SILENCE);
    return new Connection(session, avatar || undefined);
  } catch (error) {
    // Why the connection has ended says more than that a call could not be made.
    const why = error instanceof ConnectionLost ? (session.ended ?? error) : error;
    end();
    throw signal?.aborted ? signal.reason : why;
  } finally {
    clearTimeout(timer);
  }
}
