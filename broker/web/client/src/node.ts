/** The client for Node: `connect` by TCP, TLS and WebSocket. */
import net from "node:net";
import tls from "node:tls";
import { type Opened, type Opener, connector } from "./connect.ts";
import { ConnectionLost } from "./errors.ts";
import { isPrivate, openWebSocket } from "./websocket.ts";

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
  (address, signal, receive, lost) => {
    const url = new URL(address);
    if (/^wss?:$/.test(url.protocol)) return openWebSocket(address, signal, receive, lost);
    if (!/^pbs?:$/.test(url.protocol)) throw new TypeError(`address '${address}' has no scheme of ours`);
    return new Promise<Opened>((resolve, reject) => {
      const socket = socketOf(url, secure);
      const ended = (reason: string) => {
        reject(new ConnectionLost("lost", `${address}: ${reason}`));
        lost(reason);
      };
      // A Buffer of Node is a Uint8Array whose `slice` shares its memory.
      socket.on("data", (data: Buffer) =>
        receive(new Uint8Array(data.buffer, data.byteOffset, data.length)),
      );
      socket.on("error", (error) => ended(error.message));
      socket.on("close", () => ended("connection lost"));
      socket.on(url.protocol === "pb:" ? "connect" : "secureConnect", () =>
        resolve({
          transport: { write: (bytes) => void socket.write(bytes), close: () => void socket.end() },
          isPrivate: isPrivate(url),
          binding: bindingOf(socket),
        }),
      );
      signal.addEventListener("abort", () => socket.destroy());
      if (signal.aborted) socket.destroy();
    });
  };

/** Return `connect` with options of TLS: `ca`, `cert`, `key`, as `tls.connect` of Node takes them. */
export const connectWith = (secure: tls.ConnectionOptions) => connector(opener(secure));

/**
 * Connect to `pb://`, `pbs://`, `ws://` or `wss://`, and log in if credentials are given.
 * `await` it for one connection, or use `for await` to connect again when it is lost.
 */
export const connect = connectWith({});
