/** Connections one after the other; pages load this module when they use it. */
import { Attempts, nextConnection } from "./attempts.ts";
import type { Connection, Plan } from "./connection.ts";
import { Link } from "./link.ts";

/** Yield one connection after the other; leaving the loop closes the connection. */
export async function* connections(plan: Plan): AsyncGenerator<Connection, void> {
  const attempts = new Attempts(plan);
  for (;;) {
    const next = await nextConnection(plan, attempts);
    if (!next) return;
    const [address, connection] = next;
    let reason: unknown;
    try {
      yield connection;
      // The body of the loop may be done before the connection is.
      reason = await connection.closed;
    } finally {
      connection.close();
    }
    if (plan.options.signal?.aborted) return;
    attempts.ended(address, reason, connection.draining);
  }
}

/** Return a Link after its first login. */
export async function openLink(plan: Plan): Promise<Link> {
  const link = new Link(plan);
  await link._begun;
  return link;
}
