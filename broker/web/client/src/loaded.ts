/** Modules that pages load when they use them. */

/** Load what runs the calls of a peer. */
export const loadServed = () => import("./served.ts");
