/** A client that keeps working over many connections. */
import { type Attempt, Attempts, nextConnection } from "./attempts.ts";
import type { Connection, Plan } from "./connection.ts";
import { ConnectionLost, RemoteError } from "./errors.ts";
import { Kept } from "./kept.ts";
import { LinkedReference } from "./linked.ts";
import type { RemoteReference } from "./references.ts";
import type { Session } from "./session.ts";

const PATIENCE = 30_000;
/** How often a connection that is left is asked whether its calls have ended. */
const LOOK = 100;

/** Whether calls of either end have no answer yet. */
const isBusy = ({ calls, running }: Session) => calls.open.size + running.size > 0;

/** What a link does. */
export type LinkState =
  | { kind: "connecting"; attempt: number; delay: number; reason: unknown }
  | { kind: "connected"; connection: Connection }
  | { kind: "lost"; reason: unknown }
  /** The server takes no more calls: the link connects elsewhere. */
  | { kind: "moving"; to: string }
  | { kind: "failed"; error: unknown };

/** What runs once on each connection; the signal fires when the connection goes. */
export type LinkTask = (connection: Connection, signal: AbortSignal) => Promise<void> | void;

/**
 * A client that connects again when its connection ends, and elsewhere when the server drains.
 * Calls on its references wait for a connection, and are made again if they have surely not run.
 */
export class Link {
  /** Resolves when the link has ended: with its error, or with undefined after `close`. */
  readonly closed: Promise<unknown>;
  /** Resolves at the first login. @internal */
  readonly _begun: Promise<void>;
  private _plan: Plan;
  private _kept: Kept;
  private _tasks: LinkTask[] = [];
  private _abort = new AbortController();
  private _state: LinkState | undefined;
  private _leaving = new Set<Connection>();
  private _aborts = new Map<Connection, AbortController>();
  private _isOver = false;
  private _wake: (() => void)[] = [];
  private _hasBegun!: () => void;
  private _hasEnded!: (error?: unknown) => void;

  /** @internal */
  constructor(plan: Plan) {
    const { signal, patience = PATIENCE } = plan.options;
    signal?.addEventListener("abort", () => this.close());
    this._plan = { ...plan, options: { ...plan.options, signal: this._abort.signal } };
    this._kept = new Kept(patience, (connection) =>
      plan.credentials ? connection.avatar : connection.root,
    );
    this.closed = new Promise((resolve) => (this._hasEnded = resolve));
    this._begun = new Promise((resolve, reject) => {
      this._hasBegun = resolve;
      void this.closed.then((error) => reject(error ?? signal?.reason));
    });
    this._begun.catch(() => {});
    if (signal?.aborted) this.close();
    else this._drive().catch((error) => this._over(error));
  }

  /** The avatar, on each connection. */
  get avatar(): LinkedReference {
    if (!this._plan.credentials) throw new TypeError("there is no login: use root");
    return this._kept.first;
  }

  /** The root of a server without a login, on each connection. */
  get root(): LinkedReference {
    if (this._plan.credentials) throw new TypeError("this link has a login: use avatar");
    return this._kept.first;
  }

  /** The connection on which calls are made now. */
  get connection(): Connection | undefined {
    return this._kept.open;
  }

  /** The newest state. */
  get state(): LinkState | undefined {
    return this._state;
  }

  /** Yield the newest state, and each that follows; a slow reader gets the newest. */
  async *states(): AsyncGenerator<LinkState, void> {
    for (let seen: LinkState | undefined; ; ) {
      if (this._state && seen !== this._state) yield (seen = this._state);
      else if (this._isOver) return;
      else await new Promise<void>((resolve) => this._wake.push(resolve));
    }
  }

  /**
   * Return the reference that a function yields, which is called again on each connection, with
   * the avatar or the root. It lives as long as the program holds it.
   */
  recipe(make: (first: RemoteReference) => unknown): LinkedReference {
    const kept = this._kept;
    const made = new LinkedReference(kept, (connection) =>
      make(kept.first._on(connection) as RemoteReference),
    );
    kept._addRecipe(made);
    return made;
  }

  /** Run a function once on each connection, behind the recipes. What it throws ends the link. */
  task(run: LinkTask): void {
    this._tasks.push(run);
    const now = this._kept.open;
    if (now) this._start(run, now);
  }

  /** Close the connection, and make no other; calls that wait for one fail. */
  close(): void {
    this._over(undefined);
  }

  // -- connections -----------------------------------------------------------------------------

  private async _drive(): Promise<void> {
    const attempts = new Attempts(this._plan);
    for (;;) {
      const next = await nextConnection(this._plan, attempts, (each) => this._trying(each));
      if (!next) return;
      const [address, connection] = next;
      const { terms, closed, drains } = connection._session;
      // Without a login, they may come a little later.
      const known = await Promise.race([terms, closed]);
      if (this._isOver) return;
      if (!(known instanceof ConnectionLost)) {
        this._kept.begin(connection, known);
        this._begin(connection);
      }
      await Promise.race([closed, drains]);
      if (this._isOver) return;
      let reason: unknown;
      if (connection.isOpen) {
        reason = new RemoteError("broker.errors.ServerDraining", "the server is shutting down");
        this._leaving.add(connection);
      } else {
        reason = await closed;
        this._tell({ kind: "lost", reason });
      }
      attempts.ended(address, reason, connection.draining);
    }
  }

  private _trying({ number, address, delay, reason }: Attempt): void {
    if (this._leaving.size) this._tell({ kind: "moving", to: address });
    else this._tell({ kind: "connecting", attempt: number, delay, reason });
  }

  private _begin(connection: Connection): void {
    const abort = new AbortController();
    this._aborts.set(connection, abort);
    void connection.closed.then((why) => {
      this._leaving.delete(connection);
      this._aborts.delete(connection);
      abort.abort(why);
    });
    for (const run of this._tasks) this._start(run, connection);
    this._tell({ kind: "connected", connection });
    this._hasBegun();
    for (const left of this._leaving) void this._leave(left);
  }

  /** Close a connection when its calls have ended: there is another one. */
  private async _leave(left: Connection): Promise<void> {
    while (left.isOpen && isBusy(left._session))
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    left._session.goodbye("moved", "the client has moved");
  }

  private async _start(run: LinkTask, connection: Connection): Promise<void> {
    const { signal } = this._aborts.get(connection)!;
    try {
      await run(connection, signal);
    } catch (error) {
      const isDraining = error instanceof RemoteError && error.is("broker.errors.ServerDraining");
      if (!signal.aborted && !(error instanceof ConnectionLost) && !isDraining) this._over(error);
    }
  }

  // -- the end ---------------------------------------------------------------------------------

  private _tell(state: LinkState): void {
    if (this._isOver) return;
    this._state = state;
    for (const wake of this._wake.splice(0)) wake();
  }

  private _over(error: unknown): void {
    if (this._isOver) return;
    if (error !== undefined) this._tell({ kind: "failed", error });
    this._isOver = true;
    for (const wake of this._wake.splice(0)) wake();
    // It closes the connections too.
    this._abort.abort(error);
    this._kept.end(error ?? new ConnectionLost("closing", "not run: the link is closed"));
    this._hasEnded(error);
  }
}
