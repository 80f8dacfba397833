/** The details of one connection, and the question before it is kicked. */
import { bytes, element, make, number, time } from "./dom.ts";
import type { ConnectionSnapshot, Inspection } from "./inspection.ts";

const EVERY = 1000;

/** The facts about a connection, by their titles. */
function facts(one: ConnectionSnapshot): [string, string][] {
  return [
    ["address", one.address],
    ["login", one.user === null ? "none" : `${one.user}, by ${one.mechanism}`],
    ["dialect", one.dialect + (one.is_secure ? ", TLS" : "")],
    ["state", one.state + (one.slow_for === null ? "" : `, slow for ${time(one.slow_for)}`)],
    ["age", time(one.age)],
    ["last byte", one.idle === null ? "–" : `${time(one.idle)} ago`],
    ["round trip", one.round_trip === null ? "–" : time(one.round_trip)],
    ["calls of the client", `${number(one.calls_received)}, ${number(one.calls)}/s`],
    ["calls of the server", number(one.calls_made)],
    ["running, unanswered", `${number(one.running)}, ${number(one.open_calls)}`],
    ["received", `${bytes(one.bytes_in)}, ${bytes(one.rate_in)}/s`],
    ["sent", `${bytes(one.bytes_out)}, ${bytes(one.rate_out)}/s`],
    ["unsent", bytes(one.unsent)],
    ["unsent in the kernel", one.unsent_in_kernel === null ? "–" : bytes(one.unsent_in_kernel)],
    ["not handled yet", bytes(one.unhandled)],
  ];
}

function list(title: string, rows: string[][]): Node[] {
  if (!rows.length) return [];
  const lines = rows.map((cells) => make("tr", cells.map((text) => make("td", text))));
  return [make("section", [make("h3", title), make("table", [make("tbody", lines)])])];
}

const counts = (types: Record<string, number>): string[][] =>
  Object.entries(types).map(([name, count]) => [name, number(count)]);

function lists(one: ConnectionSnapshot): Node[] {
  return [
    ...list("Calls that run", one.oldest_calls.map(({ name, age }) => [name, time(age)])),
    ...list("References of the client", counts(one.exported_types)),
    ...list("References of the server", counts(one.imported_types)),
    ...list("Caches of the client", counts(one.cached_out_types)),
    ...list("Caches of the server", counts(one.cached_in_types)),
    ...list(
      "Streams",
      one.stream_list.map((each) => [
        `${each.number} ${each.is_outgoing ? "out" : "in"} ${each.name}`,
        `credit ${number(each.items)} items, ${bytes(each.bytes)}`,
      ]),
    ),
    ...list(
      "Subscriptions",
      one.subscription_list.map((each) => [
        each.slow,
        `${number(each.sent)} sent, ${number(each.waiting)} waiting, ` +
          `${number(each.dropped)} dropped, ${number(each.conflated)} conflated`,
      ]),
    ),
    ...list("Refused by limits", counts(one.limits)),
  ];
}

/** The window of one connection. */
export class Details {
  /** Called with what was done, or why it was not. */
  said: (text: string) => void = () => {};
  private _dialog = element<HTMLDialogElement>("details");
  private _question = element<HTMLDialogElement>("question");
  private _inspection: Inspection | undefined;
  private _number = 0;
  private _timer = 0;

  constructor() {
    element("close").addEventListener("click", () => this._dialog.close());
    element("kick").addEventListener("click", () => this._ask());
    this._dialog.addEventListener("close", () => clearTimeout(this._timer));
    this._question.addEventListener("close", () => void this._answered());
  }

  /** Ask this inspection from now on; without one the window is closed. */
  use(inspection: Inspection | undefined): void {
    this._inspection = inspection;
    if (inspection) return;
    this._question.close();
    this._dialog.close();
  }

  /** Open the window for a connection, and keep it up to date. */
  open(number: number): void {
    this._number = number;
    element("details-title").textContent = `Connection ${number}`;
    element("facts").replaceChildren();
    this._is(true);
    if (!this._dialog.open) this._dialog.showModal();
    void this._renew();
  }

  private _is(open: boolean): void {
    element("gone").hidden = open;
    element<HTMLButtonElement>("kick").disabled = !open;
  }

  private async _renew(): Promise<void> {
    clearTimeout(this._timer);
    const shown = this._number;
    try {
      const one = await this._inspection?.connection(shown);
      if (!one || shown !== this._number || !this._dialog.open) return;
      const terms = facts(one).flatMap(([name, text]) => [make("dt", name), make("dd", text)]);
      element("facts").replaceChildren(make("dl", terms), ...lists(one));
    } catch {
      return this._is(false);
    }
    this._timer = setTimeout(() => void this._renew(), EVERY);
  }

  private _ask(): void {
    element("question-title").textContent = `Kick connection ${this._number}?`;
    this._question.querySelector("form")!.reset();
    this._question.returnValue = "no";
    this._question.showModal();
  }

  private async _answered(): Promise<void> {
    if (this._question.returnValue !== "yes" || !this._inspection) return;
    const number = this._number;
    const { value } = this._question.querySelector("input")!;
    try {
      const count = await this._inspection.kick({ number, reason: value.trim() });
      this.said(count ? `Connection ${number} was kicked.` : `Connection ${number} had ended.`);
      this._dialog.close();
    } catch (error) {
      this.said((error as Error).message);
    }
  }
}
