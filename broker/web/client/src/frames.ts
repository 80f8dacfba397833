/** The messages: their rows, and the fields of each. */
import { ROW_CREDIT, ROW_GRAPH, ROW_ITEM_GRAPH, ROW_ITEMS, ROW_TUPLE } from "./rows.ts";
import { malformed } from "./errors.ts";
import {
  ARRAY,
  BYTES,
  GRAPH,
  INT,
  MAP,
  NIL,
  PLAIN,
  TEXT,
  arrayLength,
  begin,
  end,
  rest,
  value,
} from "./reader.ts";
import { type Expression, decode } from "./values.ts";

/** The most bytes of a frame. */
export const MOST_FRAME = 16_777_216;

const MOST_COUNT = 2 ** 31 - 1;
const MOST_ID = (1n << 63n) - 1n;
const DEEPEST = 6;
const DEEPEST_GRAPH = 102;

/** The number of an object, a cache, a stream or a request; a bigint beyond 2⁵³ − 1. */
export type Id = number;

/** An object of the receiver by number or name, or a promise: a request, and a step into it. */
export type Target = Id | string | [Id] | [Id, number | string];

/** A message: its row, and its fields. */
export type Message = [number, ...any[]];

/** Whether a text has at most so many characters. */
const isText = (text: string, most: number) => text.length <= most || [...text].length <= most;

const isId = (read: any) => read >= 0 && read <= MOST_ID;

/** Whether it is the number or the name of an object. */
const isName = (read: any) => (typeof read === "string" ? isText(read, 128) : isId(read));

const isPromise = (read: any) =>
  isId(read[0]) && (read.length === 1 || (read.length === 2 && isName(read[1])));

/** Whether a list or a map has at most so many entries, each as it must be. */
const areEntries = (read: any, most: number, isRight: (each: any, key: string) => boolean) => {
  const entries = Object.entries(read ?? []);
  return entries.length <= most && entries.every(([key, each]) => isRight(each, key));
};

/** Whether metadata may cross. */
export const isMeta = (meta: Record<string, string> | null): boolean =>
  areEntries(meta, 8, (each, key) => /^[a-z0-9-]{1,64}$/.test(key) && isText(each, 512));

function checked(read: any, isRight: boolean): any {
  if (!isRight) malformed("field");
  return read;
}

const read = (isRight: (read: any) => boolean, kinds: number, inner?: number) => () => {
  const field = value(kinds, 1, inner);
  return checked(field, isRight(field));
};

const int = (least: number, most: number | bigint, kinds = INT) =>
  read((number) => number >= least && number <= most, kinds);

const text = (most: number) => read((field) => isText(field, most), TEXT);

/** What each letter of a row reads. */
const FIELDS: Record<string, () => unknown> = {
  v: () => value(INT),
  t: read(
    (terms) => areEntries(terms, 32, (each, key) => isId(each) && isText(key, 128)),
    NIL | MAP,
    INT,
  ),
  i: int(0, MOST_ID),
  T: read(
    (target) => (Array.isArray(target) ? isPromise(target) : isName(target)),
    INT | TEXT | ARRAY,
    INT | TEXT,
  ),
  O: read(isName, INT | TEXT),
  n: text(128),
  s: text(1024),
  a: () => value(ARRAY, DEEPEST + 1, PLAIN),
  k: () => value(MAP, DEEPEST + 1, PLAIN),
  p: () => value(PLAIN, DEEPEST),
  // `null` lies between the numbers, too.
  d: int(0, MOST_ID, NIL | INT),
  m: read(isMeta, NIL | MAP, TEXT),
  c: int(1, MOST_COUNT),
  z: int(0, MOST_COUNT),
  A: read((addresses) => areEntries(addresses, 8, (each) => isText(each, 256)), ARRAY, TEXT),
  b: () => value(BYTES),
  g: () => value(GRAPH, DEEPEST_GRAPH),
  f: () => value(NIL | GRAPH, DEEPEST_GRAPH, GRAPH),
  r: rest,
};

/** The fields of each row by its number; those behind the point may be missing. */
const ROWS = (
  "v.t iTnak.dm iOnak.dm iinak.dm iinak.dm ip. ia. ? i.c i.c i. i. i. i. ss. zA. izz. ir. ir. ib. " +
  "i.f i. i."
).split(" ");

/** Read the fields that a row names, as many as there are. */
function fields(row: string, count: number, out: Message): Message {
  const least = row.indexOf(".");
  checked(0, count >= least && count < row.length);
  for (let i = 0; i < count; i++) out.push(FIELDS[row[i < least ? i : i + 1]!]!());
  return out;
}

/** Read a message with expressions: an answer, an error, or the call of another row. */
function graph(count: number): Message {
  const kind = int(1, ROW_GRAPH)();
  const isCall = kind < 5;
  const row = isCall ? ROWS[kind]!.slice(0, 3) : "iOn";
  const message = fields(row + "g.dm", count - 1, [ROW_GRAPH, kind]);
  checked(
    0,
    kind !== ROW_TUPLE && (!isCall || (Array.isArray(message[5]) && message[5].length === 2)),
  );
  return message;
}

/** Return the message in the bytes of a frame, without those of its length. */
export function readFrame(bytes: Uint8Array): Message {
  begin(bytes);
  const count = arrayLength() - 1;
  const row = int(0, ROWS.length - 1)();
  const message = row === ROW_GRAPH ? graph(count) : fields(ROWS[row]!, count, [row]);
  end();
  checked(0, row !== ROW_CREDIT || message[2] || message[3]);
  return message;
}

/** Return how many items are in the bytes of an items message. */
export function countItems(row: number, bytes: Uint8Array): number {
  begin(bytes);
  const length = arrayLength();
  const isGraph = row === ROW_ITEM_GRAPH;
  if (isGraph) checked(0, decode(value(BYTES)) === "list");
  return checked(length - +isGraph, length > +isGraph);
}

/** Return the items of a message: plain values, or the expression of a list. */
export function readItems(row: number, bytes: Uint8Array): unknown[] | Expression {
  begin(bytes);
  const items = row === ROW_ITEMS ? FIELDS.a!() : FIELDS.g!();
  end();
  return items as unknown[];
}
