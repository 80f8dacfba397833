/** The client for Node: `connect` by TCP, TLS and WebSocket. */
import net from "node:net";
import tls from "node:tls";
import { connector } from "./connect.ts";
import type { Opener } from "./connection.ts";
import { ConnectionLost } from "./errors.ts";
import { openWebSocket } from "./websocket.ts";

export * from "./api.ts";

const PORT = 8787;

function socketOf(url: URL, secure: tls.ConnectionOptions): net.Socket {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || PORT);
  if (url.protocol === "pb:") return net.connect({ host, port, noDelay: true });
  const servername = net.isIP(host) ? "" : host;
  return tls.connect({ minVersion: "TLSv1.2", ...secure, host, port, servername });
}

/** Return the 32 bytes that bind a login to its TLS 1.3 connection, RFC 9266. */
function bindingOf(socket: net.Socket): Uint8Array | undefined {
  if (!(socket instanceof tls.TLSSocket) || socket.getProtocol() !== "TLSv1.3") return undefined;
  return socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
}

const opener =
  (secure: tls.ConnectionOptions): Opener =>
  (address, session) => {
    const url = new URL(address);
    if (/^wss?:$/.test(url.protocol)) return openWebSocket(address, session);
    if (!/^pbs?:$/.test(url.protocol))
      throw new TypeError(`address '${address}' begins with none of pb:, pbs:, ws:, wss:`);
    return new Promise((resolve, reject) => {
      const socket = socketOf(url, secure);
      let isOpen = false;
      session.transport = {
        write: (bytes) => void socket.write(bytes),
        close: () => void (isOpen ? socket.end() : socket.destroy()),
      };
      const ended = (reason: string) => {
        const why = new ConnectionLost("lost", `${address}: ${reason}`);
        session.lost(why);
        reject(why);
      };
      // A Buffer of Node is a Uint8Array whose `slice` shares its memory.
      socket.on("data", (data: Buffer) =>
        session.receive(new Uint8Array(data.buffer, data.byteOffset, data.length)),
      );
      socket.on("error", (error) => ended(error.message));
      socket.on("close", () => ended("connection lost"));
      socket.on(url.protocol === "pb:" ? "connect" : "secureConnect", () => {
        isOpen = true;
        resolve(bindingOf(socket));
      });
    });
  };

/** Return `connect` with options of TLS: `ca`, `cert`, `key`, as `tls.connect` of Node takes them. */
export const connectWith = (secure: tls.ConnectionOptions) => connector(opener(secure));

/**
 * Connect to `pb://`, `pbs://`, `ws://` or `wss://`, and log in if credentials are given.
 * `await` it for one connection, or use `for await` to connect again when it is lost.
 */
export const connect = connectWith({});
