/** Connections by WebSocket, as browsers have it; Node has it too. */
import type { Opener } from "./connection.ts";
import { ConnectionLost } from "./errors.ts";
import { joinBytes } from "./framing.ts";

const MOST_MESSAGE = 65_536;

/** Open a WebSocket. Its messages are pieces of the stream of bytes. */
export const openWebSocket: Opener = (address, session) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(address, "pb");
    socket.binaryType = "arraybuffer";
    let queue: Uint8Array[] = [];
    const flush = () => {
      const bytes = joinBytes(queue.splice(0));
      for (let at = 0; at < bytes.length && socket.readyState === 1; at += MOST_MESSAGE)
        socket.send(bytes.subarray(at, at + MOST_MESSAGE));
    };
    session.transport = {
      // Bytes that are written in one turn leave together.
      write(bytes) {
        if (queue.push(bytes) < 2) queueMicrotask(flush);
      },
      close: () => queueMicrotask(() => socket.close(1000)),
    };
    socket.onopen = () => resolve(undefined);
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") socket.close(4003);
      else session.receive(new Uint8Array(data));
    };
    socket.onclose = ({ reason }) => {
      const why = new ConnectionLost("lost", `${address}: ${reason || "connection lost"}`);
      session.lost(why);
      reject(why);
    };
  });
