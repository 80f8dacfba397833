/** The client for browsers: `connect` by WebSocket. */
import { connector } from "./connect.ts";
import { openWebSocket } from "./websocket.ts";

export * from "./api.ts";

/**
 * Connect to `ws://host:port/path` or `wss://host/path`, and log in if credentials are given.
 * `await` it for one connection, or use `for await` to connect again when it is lost.
 */
export const connect = connector(openWebSocket);
