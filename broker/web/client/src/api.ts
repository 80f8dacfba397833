/** The public names that do not depend on the transport. */
export type { CallOptions } from "./calls.ts";
export { Connecting } from "./connect.ts";
export {
  type ConnectOptions,
  Connection,
  type CredentialSource,
  type Retry,
} from "./connection.ts";
export {
  Contract,
  type Method,
  type Ref,
  type Served,
  type Typed,
  contract,
  servant,
} from "./contract.ts";
export {
  ConnectionLost,
  LoginFailed,
  ProtocolError,
  RemoteError,
  isTransient,
} from "./errors.ts";
export { type CurrentCall, currentCall } from "./current.ts";
export type { Link, LinkState, LinkTask } from "./link.ts";
export type { LinkedReference } from "./linked.ts";
export type { Credentials } from "./login.ts";
export { RemotePromise } from "./promise.ts";
export { RemoteReference } from "./references.ts";
export {
  type CacheObserver,
  Cacheable,
  type Copyable,
  EnumMember,
  Referenceable,
  RemoteCache,
  register,
  registerEnum,
} from "./registry.ts";
export type { Draining } from "./transport.ts";
export { RemoteStream } from "./incoming_streams.ts";
export { type Credit, Stream } from "./streams.ts";
export {
  Decimal,
  Float,
  FrozenSet,
  PyDate,
  PyDateTime,
  PyTime,
  TimeDelta,
  Tuple,
  UUID,
} from "./values.ts";
