/** Connections: made once, or again and again, each with its login. */
import {
  type ConnectOptions,
  type Connection,
  type CredentialSource,
  type Opener,
  type Plan,
  attempt,
} from "./connection.ts";
import type { Link } from "./link.ts";

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
    yield* (await import("./again.ts")).connections(this._plan);
  }

  /**
   * Return a Link, which connects again when a connection ends, after its first login. Calls on its
   * references wait for a connection, and are made again if they have surely not run.
   */
  async link(): Promise<Link> {
    return (await import("./again.ts")).openLink(this._plan);
  }
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
