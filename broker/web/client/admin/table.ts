/** The table of connections: sorted by the server, and then by the column that was chosen. */
import { bytes, element, make, number, put, time } from "./dom.ts";
import type { ConnectionSnapshot as Row } from "./inspection.ts";

interface Column {
  name: string;
  /** The text, and what it is sorted by. */
  text: (row: Row) => string;
  key: (row: Row) => number | string;
  /** The order of the server that has the first rows of this column. */
  order?: string;
  className?: string;
}

const COLUMNS: Column[] = [
  { name: "#", text: (row) => String(row.number), key: (row) => row.number, className: "number" },
  { name: "user", text: (row) => row.user ?? "–", key: (row) => row.user ?? "", className: "text" },
  { name: "address", text: (row) => row.address, key: (row) => row.address, className: "text wide" },
  { name: "state", text: (row) => row.state, key: (row) => row.state, className: "state text" },
  { name: "dialect", text: dialect, key: dialect, className: "text wide" },
  { name: "age", text: (row) => time(row.age), key: (row) => row.age, order: "age", className: "middle" },
  {
    name: "calls",
    text: (row) => number(row.calls_received),
    key: (row) => row.calls_received,
    order: "calls",
    className: "middle",
  },
  { name: "calls/s", text: (row) => number(row.calls), key: (row) => row.calls, order: "calls" },
  { name: "running", text: (row) => number(row.running), key: (row) => row.running, order: "running" },
  {
    name: "bytes",
    text: (row) => bytes(row.bytes_in + row.bytes_out),
    key: (row) => row.bytes_in + row.bytes_out,
    order: "bytes",
    className: "middle",
  },
  {
    name: "references",
    text: (row) => number(row.exports + row.imports),
    key: (row) => row.exports + row.imports,
    order: "references",
    className: "wide",
  },
  { name: "unsent", text: (row) => bytes(row.unsent), key: (row) => row.unsent, order: "unsent" },
];

function dialect(row: Row): string {
  return row.dialect + (row.is_secure ? ", TLS" : "");
}

/** The table. */
export class Table {
  /** Called with the number of a connection whose row was chosen. */
  opened: (number: number) => void = () => {};
  /** Called when another order is wanted. */
  changed: () => void = () => {};
  private _head = document.querySelector("thead tr")!;
  private _body = document.querySelector("tbody")!;
  private _most = element<HTMLSelectElement>("most");
  private _lines = new Map<number, HTMLElement>();
  private _rows: Row[] = [];
  private _by = COLUMNS[0]!;
  private _isDown = false;

  constructor() {
    for (const column of COLUMNS) {
      const button = make("button", column.name);
      button.addEventListener("click", () => this._sortBy(column));
      this._head.append(make("th", [button], column.className));
    }
    this._most.addEventListener("change", () => this.changed());
    this._body.addEventListener("click", (event) => {
      const line = (event.target as Element).closest("tr");
      if (line) this.opened(Number(line.dataset.number));
    });
    this._mark();
  }

  /** What to ask the server for. */
  get wanted(): { order: string; most: number } {
    return { order: this._by.order ?? "number", most: Number(this._most.value) };
  }

  /** Show connections, some of those that are open. */
  show(rows: Row[], open: number): void {
    this._rows = rows;
    const part = rows.length < open ? `${number(rows.length)} of ${number(open)}` : number(open);
    put(element("shown"), rows.length < open ? `${part}, ordered by ${this.wanted.order}` : part);
    this._sort();
  }

  private _sortBy(column: Column): void {
    this._isDown = column === this._by ? !this._isDown : column.order !== undefined;
    this._by = column;
    this._mark();
    this._sort();
    this.changed();
  }

  private _mark(): void {
    COLUMNS.forEach((column, at) => {
      const direction = this._isDown ? "descending" : "ascending";
      this._head.children[at]!.ariaSort = column === this._by ? direction : "none";
    });
  }

  private _sort(): void {
    const { key } = this._by;
    const sign = this._isDown ? -1 : 1;
    const order = (one: Row, other: Row): number => {
      const [a, b] = [key(one), key(other)];
      if (a === b) return one.number - other.number;
      return a < b ? -sign : sign;
    };
    const before = this._lines;
    this._lines = new Map();
    const lines = [...this._rows].sort(order).map((row) => {
      const line = before.get(row.number) ?? this._line(row);
      this._lines.set(row.number, line);
      COLUMNS.forEach((column, at) => put(at ? line.children[at]! : line.children[0]!.firstChild as Element, column.text(row)));
      line.className = row.state === "flowing" ? "" : row.state;
      return line;
    });
    const shown = this._body.children;
    if (lines.length !== shown.length || lines.some((line, at) => line !== shown[at]))
      this._body.replaceChildren(...lines);
  }

  private _line(row: Row): HTMLElement {
    const cells = COLUMNS.map((column, at) =>
      make("td", at ? "" : [make("button", "", "plain")], column.className),
    );
    const line = make("tr", cells);
    line.dataset.number = String(row.number);
    return line;
  }
}
