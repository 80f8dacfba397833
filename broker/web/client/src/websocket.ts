/** Connections by WebSocket, as browsers have it; Node has it too. */
import type { Opened, Opener } from "./connect.ts";
import { ConnectionLost } from "./errors.ts";
import { joinBytes } from "./framing.ts";

const MOST_MESSAGE = 65_536;

/** Whether an address is private: inside TLS, or the loopback. */
export function isPrivate(url: URL): boolean {
  if (url.protocol === "wss:" || url.protocol === "pbs:") return true;
  return /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
}

/** Open a WebSocket. Its messages are pieces of the stream of bytes. */
export const openWebSocket: Opener = (address, signal, receive, lost) =>
  new Promise<Opened>((resolve, reject) => {
    const socket = new WebSocket(address, "pb");
    socket.binaryType = "arraybuffer";
    let queue: Uint8Array[] = [];
    const flush = () => {
      const bytes = joinBytes(queue);
      queue = [];
      if (socket.readyState !== WebSocket.OPEN) return;
      for (let at = 0; at < bytes.length; at += MOST_MESSAGE)
        socket.send(bytes.subarray(at, at + MOST_MESSAGE));
    };
    const transport = {
      // Bytes that are written in one turn leave together.
      write(bytes: Uint8Array) {
        if (!queue.length) queueMicrotask(flush);
        queue.push(bytes);
      },
      close: () => queueMicrotask(() => socket.close(1000)),
    };
    const ended = (reason: string) => {
      reject(new ConnectionLost("lost", `${address}: ${reason}`));
      lost(reason);
    };
    socket.onopen = () => resolve({ transport, isPrivate: isPrivate(new URL(address)) });
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") socket.close(1003);
      else receive(new Uint8Array(data));
    };
    socket.onclose = ({ reason }) => ended(reason || "connection lost");
    socket.onerror = () => ended("connection lost");
    signal.addEventListener("abort", () => socket.close());
    if (signal.aborted) socket.close();
  });
