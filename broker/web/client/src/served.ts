/**
 * What runs the calls of a peer. A peer can call only objects that were sent to it: pages load this
 * module when they send the first one.
 */
export { writeFailure } from "./failures.ts";
export { callOwn, createIncomingCalls } from "./incoming.ts";
