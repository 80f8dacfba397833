import { contract, type RemotePromise } from "perspective-broker";

export interface ServerSnapshot {
  addresses: string[];
  pid: number;
  version: string;
  started: number;
  uptime: number;
  state: string;
  open: number;
  accepted: number;
  closed: number;
  limits: Record<string, number>;
  slow: number;
  held: number;
  running: number;
  unsent: number;
  calls: number;
  bytes_in: number;
  bytes_out: number;
  lag: number;
  largest_lag: number;
  memory: number | null;
  history: Sample[];
}

export interface Sample {
  time: number;
  connections: number;
  calls: number;
  bytes_in: number;
  bytes_out: number;
  unsent: number;
  lag: number;
}

export interface ConnectionSnapshot {
  number: number;
  address: string;
  user: string | null;
  mechanism: string | null;
  dialect: string;
  is_secure: boolean;
  age: number;
  state: string;
  slow_for: number | null;
  idle: number | null;
  round_trip: number | null;
  calls_received: number;
  calls_made: number;
  bytes_in: number;
  bytes_out: number;
  calls: number;
  rate_in: number;
  rate_out: number;
  running: number;
  open_calls: number;
  exports: number;
  imports: number;
  caches_out: number;
  caches_in: number;
  streams: number;
  subscriptions: number;
  unsent: number;
  unsent_in_kernel: number | null;
  unhandled: number;
  limits: Record<string, number>;
  oldest_calls: RunningCall[];
  exported_types: Record<string, number>;
  imported_types: Record<string, number>;
  cached_out_types: Record<string, number>;
  cached_in_types: Record<string, number>;
  stream_list: StreamSnapshot[];
  subscription_list: SubscriptionSnapshot[];
}

export interface RunningCall {
  name: string;
  age: number;
  wants_answer: boolean;
}

export interface StreamSnapshot {
  number: number;
  is_outgoing: boolean;
  name: string;
  items: number;
  bytes: number;
  waiting: number;
}

export interface SubscriptionSnapshot {
  slow: string;
  sent: number;
  waiting: number;
  dropped: number;
  conflated: number;
}

export interface Tapped {
  time: number;
  is_incoming: boolean;
  kind: string;
  name: string;
  size: number;
  lost: number;
}

export interface Health {
  state: string;
  is_ready: boolean;
  checks: Record<string, string>;
}

/** A server, for operators. */
export interface Inspection {
  /** Return the server, with its last ten minutes if ``history`` is set. */
  server(kw?: { history?: boolean }): RemotePromise<ServerSnapshot>;
  /** Return the first connections in an order of `ORDERS`, at most ``most``. */
  connections(kw?: { order?: string; most?: number }): RemotePromise<ConnectionSnapshot[]>;
  /** Return one connection, with the types of its objects. */
  connection(number: number): RemotePromise<ConnectionSnapshot>;
  /** Yield the server again and again; a slow reader gets fewer, and never old ones. */
  watch(every?: number): AsyncIterable<ServerSnapshot>;
  /** Yield what happens on a connection, for a minute or 10,000 entries: names and sizes. */
  tap(number: number): AsyncIterable<Tapped>;
  /** Return the state, after the checks of the application. */
  health(): RemotePromise<Health>;
  /** End the connections of a user, or one connection; return how many. */
  kick(kw?: { user?: string | null; number?: number | null; reason?: string }): RemotePromise<number>;
  /** Begin to close the server: it takes no more calls, and ends when its calls have. */
  drain(seconds?: number | null): RemotePromise<null>;
}
export const Inspection = contract<Inspection>("broker.inspection.contract.Inspection", {
  server: { form: "call", keywords: 0 },
  connections: { form: "call", keywords: 0 },
  connection: { form: "call" },
  watch: { form: "stream" },
  tap: { form: "stream" },
  health: { form: "call" },
  kick: { form: "call", keywords: 0 },
  drain: { form: "call" },
});
