/** Calls that run at most once: their keys, and when they may be made again. */
import { ConnectionLost } from "./errors.ts";
import type { Terms } from "./terms.ts";

/** The keys of a link. */
export class OnceKeys {
  private _nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .slice(0, 22);
  private _last = 0;
  private _open = new Set<number>();

  /** Return the number of a new call. */
  begin(): number {
    this._open.add(++this._last);
    return this._last;
  }

  /** The call has its outcome: the server may forget its reply. */
  end(number: number): void {
    this._open.delete(number);
  }

  /** Return the key of a call; it tells up to which number all outcomes are here. */
  key(number: number): string {
    const [first = this._last + 1] = this._open;
    return `${this._nonce}.${number}.${first - 1}`;
  }
}

/** The key of one call, and what is known of whether the call has run. */
export class OnceCall {
  /** Whether the call may have run on a connection that has ended. */
  mayHaveRun = false;
  private _keys: OnceKeys;
  private _number: number;
  /** The terms of the server to which it was first sent, and when that was. */
  private _first: Terms | undefined;
  private _sent = 0;

  constructor(keys: OnceKeys) {
    this._keys = keys;
    this._number = keys.begin();
  }

  /** Return the key for a server with these terms; throw if the call cannot be made there. */
  keyFor(terms: Terms): string {
    const now = Date.now();
    if (!this._first) {
      if (!terms.once) throw new TypeError("the server keeps no replies");
      this._first = terms;
      this._sent = now;
    }
    const { once, instance } = this._first;
    if (!terms.instance || terms.instance !== instance)
      throw new ConnectionLost("lost", "the server was restarted", true);
    const seconds = Math.round((now - this._sent) / 1000);
    if (now - this._sent >= once * 1000) {
      const text = `sent ${seconds} s ago; replies are kept for ${once} s`;
      throw new ConnectionLost("lost", text, true);
    }
    return this._keys.key(this._number);
  }

  /** The connection has ended before the answer has come. */
  lost(mayHaveRun: boolean): void {
    this.mayHaveRun ||= mayHaveRun;
    if (!this.mayHaveRun) this._first = undefined;
  }

  /** Return the error with which the call ends if it is not made again. */
  ending(error: unknown): unknown {
    if (!this.mayHaveRun || (error instanceof ConnectionLost && error.mayHaveRun)) return error;
    return new ConnectionLost("lost", `may have run: ${(error as Error)?.message}`, true);
  }

  /** The call has its outcome. */
  end(): void {
    this._keys.end(this._number);
  }
}
