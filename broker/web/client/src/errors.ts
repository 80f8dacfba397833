/** The errors: those of a peer, those of a call, and the end of a connection. */

/** An error with a name on the wire: one that a peer sent, or one about a call. */
export class RemoteError extends Error {
  /** The dotted name of the error. */
  type!: string;
  /** The names of its class and of its bases, nearest first. */
  parents!: string[];
  traceback!: string;
  /** The declared fields of the error, such as `after` of `ServerBusy`, in seconds. */
  fields!: Record<string, unknown>;

  constructor(
    type: string,
    message = "",
    parents: string[] = [],
    traceback = "",
    fields: Record<string, unknown> = {},
  ) {
    super(message);
    const name = type.replace(/.*\./, "");
    Object.assign(this, { name, type, parents, traceback, fields });
  }

  /** Whether the error has this name, or a base of it has. */
  is(name: string): boolean {
    return this.type === name || this.parents.includes(name);
  }
}

/** The connection has ended. */
export class ConnectionLost extends Error {
  /** The code of the peer's goodbye, such as `"closing"`; `"lost"` without a goodbye. */
  code!: string;
  /** Whether the call that failed may have run: it was sent. */
  mayHaveRun!: boolean;

  constructor(code = "lost", message = "connection lost", mayHaveRun = false) {
    super(message);
    Object.assign(this, { name: "ConnectionLost", code, mayHaveRun });
  }
}

/** The server accepts none of the credentials, or asks for others. */
export class LoginFailed extends Error {
  override get name() {
    return "LoginFailed";
  }
}

/** A fault of the peer that ends the connection. */
export class ProtocolError extends Error {}

/** Throw a fault of the peer. */
export function fault(text: string): never {
  throw new ProtocolError(text);
}

/** Throw a fault of a frame. */
export const malformed = (text: string): never => fault("malformed message: " + text);

/** Throw an error with a name on the wire. */
export function refuse(type: string, text: string): never {
  throw new RemoteError(type, text);
}

/** Whether another attempt may succeed. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionLost) return !/^(replaced|error)$/.test(error.code);
  return (
    error instanceof RemoteError &&
    /\.(ServerBusy|ServerDraining|LoginExpired|TooManyAttempts|LoginUnavailable)$/.test(error.type)
  );
}
