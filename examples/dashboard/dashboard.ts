/** A page that shows the prices of a market as they come, and alerts. See feed.py. */
import { type RemoteReference, connect, servant } from "perspective-broker";
import { Market, type Price, Screen } from "./market.ts";

const element = (id: string): HTMLElement => document.getElementById(id)!;

/** The last prices of each symbol, the newest behind. */
const prices = new Map<string, number[]>();

function addRow(symbol: string): void {
  prices.set(symbol, []);
  const cells = ["value", "change", "line"].map((name) => `<td id="${name}-${symbol}"></td>`);
  element("rows").insertAdjacentHTML("beforeend", `<tr><th>${symbol}</th>${cells.join("")}</tr>`);
}

function show({ symbol, value }: Price): void {
  const known = prices.get(symbol)!;
  const before = known.at(-1) ?? value;
  known.push(value);
  if (known.length > 40) known.shift();
  const change = (100 * (value - before)) / before;
  element(`value-${symbol}`).textContent = value.toFixed(2);
  element(`change-${symbol}`).textContent = `${change >= 0 ? "+" : ""}${change.toFixed(2)} %`;
  element(`line-${symbol}`).textContent = sparkline(known);
}

/** Prices as a line of blocks. */
function sparkline(values: number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const height = (value: number) => Math.round((7 * (value - least)) / (most - least || 1));
  return values.map((value) => "▁▂▃▄▅▆▇█"[height(value)]).join("");
}

/** The server calls this object. */
const screen = servant(Screen, {
  alert: (symbol, value) => {
    element("alerts").textContent = `${symbol} is at ${value}`;
  },
});

async function follow(avatar: RemoteReference): Promise<void> {
  const market = avatar.of(Market);
  for (const symbol of await market.symbols()) {
    if (!prices.has(symbol)) addRow(symbol);
    await market.watch(symbol, screen, { above: 105 });
  }
  for await (const price of market.prices(0.2)) show(price);
}

/** Follow the market, on one connection after the other. */
export async function run(address: string, signal?: AbortSignal): Promise<void> {
  const options = signal ? { signal } : {};
  for await (const connection of connect(address, "anonymous", options)) {
    element("state").textContent = "connected";
    await follow(connection.avatar).catch((error) => {
      element("state").textContent = error.message;
    });
  }
}

if (globalThis.location) void run(`ws://${location.hostname}:8787`);
