/** Connections: made once, or again and again, each with its login. */
import { ConnectionLost, LoginFailed, ProtocolError, RemoteError } from "./errors.ts";
import { type Channel, type Credentials, login } from "./login.ts";
import { RemoteReference } from "./references.ts";
import type { RemoteCache } from "./registry.ts";
import { Session } from "./session.ts";
import type { Draining } from "./transport.ts";

const SILENCE = 20_000;

/** Gives a session its transport; resolves when that is open. */
export type Opener = (address: string, session: Session) => Promise<Channel>;

/** The delays between attempts: random, from 0 to a number that grows. Seconds. */
export interface Retry {
  first?: number;
  most?: number;
  factor?: number;
  /** A connection that lasted so long begins the delays again. */
  healthyAfter?: number;
  /** Without a healthy connection for so long, the last error is raised. */
  giveUpAfter?: number;
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
  /** For `for await` only. */
  retry?: Retry;
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
  private _session: Session;

  /** @internal */
  constructor(session: Session, avatar: RemoteReference | undefined) {
    this._session = session;
    this._avatar = avatar;
    this.root = session.root;
    this.closed = session.closed;
  }

  /** The avatar, if credentials were given. */
  get avatar(): RemoteReference {
    if (!this._avatar) throw new TypeError("no avatar: connect was called without credentials");
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

/** Whether another attempt may succeed. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionLost) return error.code !== "replaced" && error.code !== "error";
  if (error instanceof LoginFailed || error instanceof ProtocolError) return false;
  if (!(error instanceof RemoteError)) return false;
  return /\.(ServerBusy|ServerDraining|LoginExpired|TooManyAttempts|LoginUnavailable)$/.test(
    error.type,
  );
}

/** The arguments of `connect`. */
interface Plan {
  opener: Opener;
  addresses: string[];
  credentials: CredentialSource | undefined;
  options: ConnectOptions;
}

async function attempt(plan: Plan, address: string): Promise<Connection> {
  const { opener, credentials, options } = plan;
  const { timeout = 10_000, signal, mind = null, insecurePlaintext } = options;
  const session = new Session();
  const end = () => session.goodbye();
  const late = `no connection to ${address} in ${timeout} ms`;
  const timer = setTimeout(() => session.goodbye("lost", late), timeout);
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  const steps = async () => {
    const channel = await opener(address, session);
    await session.ready;
    const given = typeof credentials === "function" ? await credentials() : credentials;
    if (insecurePlaintext) channel.isPrivate = true;
    return given && login(session, given, mind, channel);
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

/**
 * A connection that is being made: `await` it for one, or read it with `for await` for one after
 * the other. Leaving the loop closes the connection.
 */
export class Connecting implements PromiseLike<Connection>, AsyncIterable<Connection> {
  private _plan: Plan;
  private _made: Promise<Connection> | undefined;

  /** @internal */
  constructor(plan: Plan) {
    this._plan = plan;
  }

  then<A = Connection, B = never>(
    done?: ((connection: Connection) => A | PromiseLike<A>) | null,
    failed?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this._made ??= attempt(this._plan, this._plan.addresses[0]!);
    return this._made.then(done, failed);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection, void> {
    const { addresses, options } = this._plan;
    const { retry = {}, signal } = options;
    const { first = 0.5, most = 30, factor = 2, healthyAfter = 60, giveUpAfter } = retry;
    let failures = 0;
    let healthy = Date.now();
    let next = Math.floor(Math.random() * addresses.length);
    for (;;) {
      let least = 0;
      let reason: unknown;
      try {
        const connection = await attempt(this._plan, addresses[next]!);
        const begun = Date.now();
        try {
          yield connection;
          // The body of the loop may be done before the connection is.
          reason = await connection.closed;
        } finally {
          connection.close();
        }
        if (Date.now() - begun >= healthyAfter * 1000) {
          failures = 0;
          healthy = Date.now();
        }
        least = (connection.draining?.after ?? 0) / 1000;
        if ((reason as ConnectionLost).code === "kicked") least = most;
      } catch (error) {
        reason = error;
        least = Number((error as RemoteError)?.fields?.after ?? 0);
        next = (next + 1) % addresses.length;
      }
      if (signal?.aborted) return;
      const isLate = giveUpAfter !== undefined && Date.now() - healthy > giveUpAfter * 1000;
      if (!isTransient(reason) || isLate) throw reason;
      const longest = Math.min(most, first * factor ** failures++);
      await sleep(Math.max(least, Math.random() * longest) * 1000, signal);
      if (signal?.aborted) return;
    }
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
  });
}

/** Return the function `connect` of a kind of transport. */
export const connector =
  (opener: Opener) =>
  (
    address: string | string[],
    credentials?: CredentialSource,
    options: ConnectOptions = {},
  ): Connecting =>
    new Connecting({ opener, addresses: [address].flat(), credentials, options });
