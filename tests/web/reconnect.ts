/** Log in again and again; each line says what has happened. It ends after three logins. */
import { connect, isTransient } from "../../broker/web/client/src/node.ts";

const address = process.env.ADDRESS!;
const retry = { first: 0.01, most: 0.05 };
let logins = 0;
let asked = 0;
const credentials = () => {
  asked++;
  return { username: "bob", password: "builder" };
};

for await (const connection of connect([address, address], credentials, { retry })) {
  console.log("in", (await connection.avatar.callRemote("whoami"))[0]);
  if (++logins === 3) break;
  console.log("out", (await connection.closed).code);
}

const wrong = { username: "bob", password: "wrong" };
try {
  for await (const _ of connect(address, wrong, { retry })) console.log("never");
} catch (error) {
  console.log("fatal", (error as Error).name, isTransient(error), logins, asked >= 3);
}

const abort = new AbortController();
const signal = abort.signal;
for await (const connection of connect(address, "anonymous", { retry, signal })) {
  abort.abort();
  console.log("aborted", (await connection.closed).code);
}

try {
  const giveUp = { first: 0.01, most: 0.02, giveUpAfter: 0.1 };
  for await (const _ of connect("pb://127.0.0.1:1", "anonymous", { retry: giveUp })) void _;
} catch (error) {
  console.log("gave up", (error as Error).name);
}
