/** The messages: their rows, and the fields of each. */
import { ROW_ANSWER, ROW_CREDIT, ROW_GRAPH, ROW_ITEM_GRAPH, ROW_ITEMS, ROW_TUPLE } from "./rows.ts";
import { malformed } from "./errors.ts";
import { type Id, Reader } from "./reader.ts";
import { type Expression, decode } from "./values.ts";

/** The most bytes of a frame. */
export const MOST_FRAME = 16_777_216;

const MOST_COUNT = 2 ** 31 - 1;
const DEEPEST = 6;
const DEEPEST_GRAPH = 102;

/** An object of the receiver by number or name, or a promise: a request, and a step into it. */
export type Target = Id | string | [Id] | [Id, number | string];

/** A message: its row, and its fields. */
export type Message = [number, ...any[]];

function target(reader: Reader): Target {
  const next = reader.kind();
  if (next === "text") return reader.text(128);
  if (next !== "array") return reader.id();
  const length = reader.array();
  if (length < 1 || length > 2) throw malformed("promise");
  const request = reader.id();
  if (length === 1) return [request];
  return [request, reader.kind() === "text" ? reader.text(128) : reader.id()];
}

function named(reader: Reader): Id | string {
  return reader.kind() === "text" ? reader.text(128) : reader.id();
}

function meta(reader: Reader): Record<string, string> | null {
  if (reader.nil()) return null;
  const read = reader.map(8, 64, () => reader.text(512));
  if (!Object.keys(read).every((key) => /^[a-z0-9-]+$/.test(key))) throw malformed("key");
  return read;
}

function addresses(reader: Reader): string[] {
  const length = reader.array();
  if (length > 8) throw malformed("addresses");
  return Array.from({ length }, () => reader.text(256));
}

/** What each letter of a row reads. */
const FIELDS: Record<string, (reader: Reader) => unknown> = {
  v: (reader) => reader.int(-Infinity, Infinity),
  t: (reader) => (reader.nil() ? null : reader.map(32, 128, () => reader.id())),
  i: (reader) => reader.id(),
  T: target,
  O: named,
  n: (reader) => reader.text(128),
  s: (reader) => reader.text(1024),
  a: (reader) => reader.plains(DEEPEST),
  k: (reader) => reader.map(Infinity, Infinity, () => reader.plain(DEEPEST)),
  p: (reader) => reader.plain(DEEPEST),
  d: (reader) => (reader.nil() ? null : reader.id()),
  m: meta,
  c: (reader) => reader.int(1, MOST_COUNT),
  z: (reader) => reader.int(0, MOST_COUNT),
  A: addresses,
  b: (reader) => reader.bytes(),
  f: (reader) => (reader.nil() ? null : reader.graph(DEEPEST_GRAPH)),
  r: (reader) => reader.rest(),
};

/** The fields of each row by its number; those behind the point may be missing. */
const ROWS =
  "v.t iTnak.dm iOnak.dm iinak.dm iinak.dm ip ia ? i.c i.c i i i i ss zA izz ir ir ib i.f i i".split(
    " ",
  );

/** Read the fields that a row names, as many as there are. */
function fields(reader: Reader, row: string, count: number, out: Message): Message {
  const letters = row.replace(".", "");
  const least = row.includes(".") ? row.indexOf(".") : letters.length;
  if (count < least || count > letters.length) throw malformed("fields");
  for (let i = 0; i < count; i++) out.push(FIELDS[letters[i]!]!(reader));
  return out;
}

function graph(reader: Reader, count: number): Message {
  const kind = reader.int(1, 7);
  if (kind === ROW_TUPLE) throw malformed("graph");
  const isCall = kind < ROW_ANSWER;
  const before = kind > 2 ? (isCall ? "iin" : "iOn") : kind === 1 ? "iTn" : "iOn";
  if (count < 5) throw malformed("fields");
  const out = fields(reader, before, 3, [ROW_GRAPH, kind]);
  const expression = reader.graph(DEEPEST_GRAPH);
  if (isCall && !(Array.isArray(expression) && expression.length === 2))
    throw malformed("arguments");
  out.push(expression);
  return fields(reader, ".dm", count - 5, out);
}

/** Return the message in the bytes of a frame, without those of its length. */
export function readFrame(bytes: Uint8Array): Message {
  const reader = new Reader(bytes);
  const count = reader.array() - 1;
  const row = reader.int(0, ROWS.length - 1);
  const message =
    row === ROW_GRAPH ? graph(reader, count) : fields(reader, ROWS[row]!, count, [row]);
  reader.end();
  if (row === ROW_CREDIT && !message[2] && !message[3]) throw malformed("credit");
  return message;
}

/** Return how many items are in the bytes of an items message. */
export function countItems(row: number, bytes: Uint8Array): number {
  const reader = new Reader(bytes);
  const length = reader.array();
  const items = row === ROW_ITEMS ? length : length - 1;
  if (row === ROW_ITEM_GRAPH && decode(reader.bytes()) !== "list") throw malformed("list");
  if (items < 1) throw malformed("items");
  return items;
}

/** Return the items of a message: plain values, or the expression of a list. */
export function readItems(row: number, bytes: Uint8Array): unknown[] | Expression {
  const reader = new Reader(bytes);
  const items = row === ROW_ITEMS ? reader.plains(DEEPEST) : reader.graph(DEEPEST_GRAPH);
  reader.end();
  return items;
}
