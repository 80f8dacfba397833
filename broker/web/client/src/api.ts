/** The public names that do not depend on the transport. */
export type { CallOptions } from "./calls.ts";
export {
  type ConnectOptions,
  Connecting,
  Connection,
  type CredentialSource,
  type Retry,
  isTransient,
} from "./connect.ts";
export {
  Contract,
  type Method,
  type Ref,
  type Served,
  type Typed,
  contract,
  servant,
} from "./contract.ts";
export { ConnectionLost, LoginFailed, ProtocolError, RemoteError } from "./errors.ts";
export { type CurrentCall, currentCall } from "./incoming.ts";
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
