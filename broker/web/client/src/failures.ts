/** Errors become expressions. */
import { RemoteError } from "./errors.ts";
import type { Session } from "./session.ts";
import { nameOf } from "./registry.ts";
import { type Expression, encode } from "./values.ts";

/** Return the expression of an error. Its text crosses, its traceback does not. */
export function writeFailure(error: unknown, session: Session): Expression {
  const known = error instanceof RemoteError ? error : undefined;
  const type =
    (error instanceof Error && nameOf(error)) ||
    known?.type ||
    `javascript.${String((error as Error)?.name ?? "Error").slice(0, 100)}`;
  const write = (fields: object) =>
    session.jelly({
      type: encode(type),
      value: String((error as Error)?.message ?? error)
        .slice(0, 10_000)
        .toWellFormed(),
      parents: known?.parents.length ? known.parents : [type, "builtins.Exception"],
      traceback: "Traceback unavailable\n",
      ...fields,
    });
  let state: Expression;
  try {
    state = write(known && Object.keys(known.fields).length ? { fields: known.fields } : {});
  } catch {
    // An error always arrives, if need be without its fields.
    state = write({});
  }
  return [encode("twisted.spread.pb.CopyableFailure"), state];
}
