/** The client in a program that was bundled: `ADDRESS=… node bundled.js`. */
import { type Connection, ConnectionLost, RemoteError, connect } from "perspective-broker";

const address = process.env.ADDRESS!;
const login = { username: "bob", password: "builder" };

const link = await connect(address, login).link();
console.log(await link.avatar.callRemote("where"));
link.close();

const wrong = { username: "bob", password: "wrong" };
await connect(address, wrong).then(null, (error) => console.log(error instanceof RemoteError));

let last: Connection | undefined;
for await (const connection of connect(address, login)) {
  last = connection;
  break;
}
// The class is the same in all files.
console.log((await last!.closed) instanceof ConnectionLost);
