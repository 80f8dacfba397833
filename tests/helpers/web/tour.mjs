/** The tour in Node: its arguments are the address, the name, the password and the CA. */
import { readFileSync } from "node:fs";
import * as pb from "../../../broker/web/client/src/node.ts";
import { tour } from "./tour.js";

const [address, username, password, ca] = process.argv.slice(2);
const connect = pb.connectWith(ca ? { ca: readFileSync(ca) } : {});
console.log(JSON.stringify(await tour(pb, connect, address, username, password)));
