/** The client for pages, with what the modules that are loaded later share with it. */
export * from "./browser.ts";
export { attempt } from "./connection.ts";
export { Bound, typed } from "./contract.ts";
export { setCurrent } from "./current.ts";
export { arePlain } from "./jellier.ts";
export { PendingCall, resultOf } from "./pending.ts";
export { nameOf } from "./registry.ts";
export { streamOf } from "./streams.ts";
export { decode, encode } from "./values.ts";
