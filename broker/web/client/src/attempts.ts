/** When and where a client connects again: delays, addresses, and which errors end it. */
import { type Connection, type Plan, attempt } from "./connection.ts";
import { ConnectionLost, RemoteError, isTransient } from "./errors.ts";
import type { Draining } from "./transport.ts";

/** As many addresses as a server may name when it drains. */
const MOST_ELSEWHERE = 8;

/** The next attempt to connect. */
export interface Attempt {
  /** 0 for the first; counted from 1 after a connection that was healthy. */
  number: number;
  address: string;
  /** Milliseconds to wait before. */
  delay: number;
  /** The error that ended the attempt or the connection before. */
  reason: unknown;
}

/** The attempts of one client to be connected. */
export class Attempts {
  private _plan: Plan;
  private _given: string[];
  /** Addresses are tried in this order; one that failed goes last. */
  private _order: string[];
  private _next = 0;
  private _error: unknown;
  private _began: number | undefined;
  private _lacksSince = Date.now();
  /** Times before which nothing is tried, and an address is not tried. */
  private _notBefore = 0;
  private _backAt = new Map<string, number>();

  constructor(plan: Plan) {
    this._plan = plan;
    const given = (this._given = [...new Set(plan.addresses)]);
    const begin = Math.floor(Math.random() * given.length);
    this._order = [...given.slice(begin), ...given.slice(0, begin)];
  }

  private get _retry() {
    const { first = 0.5, most = 30, factor = 2, ...rest } = this._plan.options.retry ?? {};
    return { first, most, factor, healthyAfter: 60, ...rest };
  }

  /** Return the next attempt. */
  next(): Attempt {
    const { first, most, factor, giveUpAfter } = this._retry;
    const now = Date.now();
    const at = (address: string) => Math.max(now, this._backAt.get(address) ?? 0);
    const address = this._order.reduce((best, each) => (at(each) < at(best) ? each : best));
    const number = this._next++;
    const longest = number && Math.min(most, first * factor ** (number - 1));
    const wait = Math.max(0, this._notBefore - now, at(address) - now);
    let delay = Math.random() * longest * 1000 + wait;
    if (giveUpAfter !== undefined && this._error)
      delay = Math.min(delay, this._lacksSince + giveUpAfter * 1000 - now);
    return { number, address, delay, reason: this._error };
  }

  /** Note that a connection has been made. */
  connected(): void {
    this._began = Date.now();
  }

  /** Note that a connection has ended, or is left for another one; an error that ends it all is thrown. */
  ended(address: string, reason: unknown, notice?: Draining): void {
    const now = Date.now();
    if (this._began !== undefined && now - this._began >= this._retry.healthyAfter * 1000) {
      this._next = 1;
      this._lacksSince = now;
    }
    this._began = undefined;
    this.failed(address, reason, notice);
  }

  /** Note that an attempt has failed; an error that ends all attempts is thrown. */
  failed(address: string, error: any, notice?: Draining): void {
    const { most, giveUpAfter, isFatal } = this._retry;
    const now = Date.now();
    this._error = error;
    const isLate = giveUpAfter !== undefined && now - this._lacksSince >= giveUpAfter * 1000;
    if (isLate || (isFatal?.(error) ?? !isTransient(error))) throw error;
    this._putLast(address);
    if (error instanceof ConnectionLost && error.code === "kicked")
      this._notBefore = now + most * 1000;
    const { after, elsewhere } = fieldsOf(error);
    if (named(error, "TooManyAttempts")) this._notBefore = now + after * 1000;
    else if (named(error, "ServerBusy")) this._backAt.set(address, now + after * 1000);
    else if (named(error, "ServerDraining")) notice ??= { after: after * 1000, elsewhere };
    if (notice) this._drains(address, notice);
  }

  private _drains(address: string, { after, elsewhere }: Draining): void {
    this._backAt.set(address, Date.now() + after);
    const taken = elsewhere.filter((each) => each !== address && this._mayGo(each));
    const known = this._order.filter((each) => this._given.includes(each));
    this._order = [...new Set([...taken, ...known, address])];
  }

  /**
   * Whether the program gave the host, and the kind, of an address that a server named. A server
   * cannot send a client to another host, or to a port without TLS.
   */
  private _mayGo(address: string): boolean {
    const place = placeOf(address);
    return place !== undefined && this._given.some((each) => placeOf(each) === place);
  }

  private _putLast(address: string): void {
    this._order = this._order.filter((each) => each !== address);
    this._order.push(address);
  }
}

const named = (error: unknown, name: string): boolean =>
  error instanceof RemoteError && error.type.endsWith("." + name);

/** The fields of an error of a peer that a client waits by; they may be anything. */
function fieldsOf(error: any): { after: number; elsewhere: string[] } {
  const { after, elsewhere } = error?.fields ?? {};
  const addresses = Array.isArray(elsewhere) ? elsewhere.slice(0, MOST_ELSEWHERE) : [];
  return {
    after: typeof after === "number" && after > 0 ? after : 0,
    elsewhere: addresses.filter((each) => typeof each === "string"),
  };
}

/** Return what must be equal for an address that a server names: all but the port. */
function placeOf(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  const { protocol, hostname, pathname } = new URL(address);
  return `${protocol}//${hostname.toLowerCase()}${pathname}`;
}

/**
 * Return the next connection and its address, after as many attempts as that needs; undefined when
 * the signal has fired. An error that ends the attempts is thrown.
 */
export async function nextConnection(
  plan: Plan,
  attempts: Attempts,
  tell: (attempt: Attempt) => void = () => {},
): Promise<[string, Connection] | undefined> {
  const { signal } = plan.options;
  while (!signal?.aborted) {
    const next = attempts.next();
    tell(next);
    if (next.delay > 0) await sleep(next.delay, signal);
    if (signal?.aborted) break;
    try {
      const connection = await attempt(plan, next.address);
      attempts.connected();
      return [next.address, connection];
    } catch (error) {
      if (signal?.aborted) break;
      attempts.failed(next.address, error);
    }
  }
  return undefined;
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    // A timer takes no more than 31 bits.
    const timer = setTimeout(done, Math.min(milliseconds, 2 ** 31 - 1));
    signal?.addEventListener("abort", done);
  });
}
