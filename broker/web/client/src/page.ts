/** The client for pages, with what the modules that are loaded later share with it. */
export * from "./browser.ts";
export { attempt } from "./connection.ts";
export { Bound, typed } from "./contract.ts";
export { PendingCall } from "./pending.ts";
export { decode, encode } from "./values.ts";
