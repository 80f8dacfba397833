/** A server without a login, and a login with a certificate. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connect, connectWith, LoginFailed } from "../../broker/web/client/src/node.ts";

const env = process.env as Record<string, string>;

test("a server without a login has a root, and no avatar", async () => {
  const connection = await connect(env.ROOT!);
  assert.equal(await connection.root.callRemote("echo", 5), 5);
  assert.throws(() => connection.avatar, TypeError);
  const again = connection.root;
  assert.equal(await connection.root.callRemote("is_root", again), true);
  connection.close();
  assert.equal(connection.isOpen, false);
  const login = connect(env.ROOT!, { token: "t" });
  await assert.rejects(Promise.resolve(login), LoginFailed);
});

test("one connecting is one connection, however often it is awaited", async () => {
  const connecting = connect(env.ROOT!);
  assert.equal(await connecting, await connecting);
  (await connecting).close();
});

test("a certificate logs in", async () => {
  const [ca, cert, key] = [env.CA!, env.CERT!, env.KEY!].map((path) => readFileSync(path));
  const connection = await connectWith({ ca, cert, key })(env.CERTIFIED!, "certificate");
  assert.deepEqual(await connection.avatar.callRemote("whoami"), ["carol", "certificate"]);
  connection.close();
  const without = connectWith({ ca })(env.CERTIFIED!, "certificate");
  await assert.rejects(Promise.resolve(without));
});

test("a server that is not trusted, not there, or of something else, is an error", async () => {
  await assert.rejects(Promise.resolve(connect(env.CERTIFIED!, "anonymous")), /certificate/);
  await assert.rejects(Promise.resolve(connect("pb://127.0.0.1:1")), /ECONNREFUSED/);
  await assert.rejects(Promise.resolve(connect("http://127.0.0.1:1")), TypeError);
  await assert.rejects(Promise.resolve(connect("ws://127.0.0.1:1")), /connection lost/);
});
