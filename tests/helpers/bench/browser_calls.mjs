/** Measures in Node: the arguments are the address, the seconds, and the calls in flight as JSON. */
import { connect } from "../../../broker/web/client/src/node.ts";
import { measure } from "./browser_calls.js";

const [address, seconds, flights] = process.argv.slice(2);
const found = await measure(connect, address, Number(seconds), JSON.parse(flights));
console.log(JSON.stringify(found));
