/** The page of operators: a client of the server that it shows. */
import { type Connection, LoginFailed, RemoteError, connect, isTransient } from "perspective-broker";
import { Charts } from "./charts.ts";
import { Details } from "./details.ts";
import { bytes, element, make, number, put, time } from "./dom.ts";
import { Inspection, type ServerSnapshot } from "./inspection.ts";
import { Table } from "./table.ts";

const ADDRESS = `ws${location.origin.slice(4)}/admin/pb`;
/** The table is asked for at most so often, in milliseconds; a long one less often. */
const EVERY = { short: 1000, long: 5000, from: 250 };
/** At most one item waits: a slow page gets fewer, and never old ones. */
const CREDIT = { credit: { items: 1, bytes: 1 << 20 } };

interface Password {
  username: string;
  password: string;
}

const form = element<HTMLFormElement>("login");
const charts = new Charts();
const table = new Table();
const details = new Details();
let leaving = new AbortController();
let asked = 0;

function said(text: string, isBad = false): void {
  const state = element("state");
  put(state, text);
  state.className = isBad ? "bad" : "";
}

function totals(now: ServerSnapshot): [string, string, boolean?][] {
  return [
    ["state", now.state, now.state !== "serving"],
    ["up", time(now.uptime)],
    ["open", number(now.open)],
    ["accepted", number(now.accepted)],
    ["slow", number(now.slow), now.slow > 0],
    ["held", number(now.held), now.held > 0],
    ["running calls", number(now.running)],
    ["calls/s", number(now.calls)],
    ["in", `${bytes(now.bytes_in)}/s`],
    ["out", `${bytes(now.bytes_out)}/s`],
    ["unsent", bytes(now.unsent)],
    ["loop late", time(now.lag), now.lag > 0.1],
    ["late, 1 min", time(now.largest_lag), now.largest_lag > 1],
    ["memory", now.memory === null ? "–" : bytes(now.memory)],
  ];
}

function show(now: ServerSnapshot): void {
  put(element("where"), `${now.addresses.join("  ")}  pid ${now.pid}`);
  const list = element("totals");
  const all = totals(now);
  if (list.children.length !== all.length)
    list.replaceChildren(...all.map(([name]) => make("div", [make("dt", name), make("dd")])));
  all.forEach(([, text, isBad], at) => {
    const cell = list.children[at]!;
    put(cell.lastElementChild!, text);
    cell.className = isBad ? "bad" : "";
  });
  const limits = Object.entries(now.limits).map(([name, count]) => `${name} ${number(count)}`);
  put(element("limits"), `Refused by limits: ${limits.sort().join(", ")}`);
  element("limits").hidden = !limits.length;
}

function sampled(now: ServerSnapshot): void {
  const { open: connections, calls, bytes_in, bytes_out, unsent, lag } = now;
  charts.add({ time: now.started + now.uptime, connections, calls, bytes_in, bytes_out, unsent, lag });
}

async function renew(inspection: Inspection, open: number, isNow = false): Promise<void> {
  const { order, most } = table.wanted;
  const pause = Math.min(most, open) > EVERY.from ? EVERY.long : EVERY.short;
  const time = performance.now();
  if (!isNow && time - asked < pause - 100) return;
  asked = time;
  const rows = await inspection.connections({ order, most });
  const now = table.wanted;
  // Another order may have been chosen meanwhile.
  if (now.order === order && now.most === most) table.show(rows, Math.max(open, rows.length));
}

/** Follow the server until the connection ends. */
async function follow(connection: Connection): Promise<void> {
  const reference = await connection.avatar.callRemote("inspector");
  const inspection: Inspection = reference.of(Inspection, CREDIT);
  form.hidden = true;
  element("view").hidden = element("leave").hidden = false;
  const first = await inspection.server({ history: true });
  let { open } = first;
  charts.begin(first.history);
  details.use(inspection);
  table.changed = () => void renew(inspection, open, true).catch(() => {});
  said("live");
  try {
    for await (const now of inspection.watch(1)) {
      open = now.open;
      show(now);
      sampled(now);
      // Nobody looks at a page in the background.
      if (!document.hidden) await renew(inspection, open);
    }
  } finally {
    details.use(undefined);
    table.changed = () => {};
  }
}

function refused(error: Error): string {
  if (error instanceof RemoteError && /\.Unauthorized$/.test(error.type))
    return "You are not in the group operators.";
  return error instanceof LoginFailed || error instanceof RemoteError
    ? error.message
    : `Not connected: ${error.message}`;
}

function leave(reason = ""): void {
  leaving.abort();
  form.hidden = false;
  element("view").hidden = element("leave").hidden = true;
  put(element("refused"), reason);
  element("refused").hidden = !reason;
  put(element("where"), "");
  said("");
}

/** Log in, and follow the server on one connection after the other. */
async function run(password: Password): Promise<void> {
  leaving = new AbortController();
  const { signal } = leaving;
  try {
    for await (const connection of connect(ADDRESS, password, { signal, retry: { most: 5 } })) {
      try {
        await follow(connection);
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
      if (signal.aborted) return;
      said("Not connected. Trying again.", true);
    }
  } catch (error) {
    if (!signal.aborted) leave(refused(error as Error));
  }
}

table.opened = (number) => details.open(number);
details.said = (text) => {
  said(text);
  setTimeout(() => element("state").textContent === text && said("live"), 5000);
};
element("leave").addEventListener("click", () => leave());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(form)) as unknown as Password;
  form.querySelector<HTMLInputElement>("[name=password]")!.value = "";
  element("refused").hidden = true;
  said("Logging in.");
  void run(given);
});
