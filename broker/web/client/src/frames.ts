/** The messages: their rows, and the fields of each. */
import { ROW_CREDIT, ROW_GRAPH, ROW_ITEM_GRAPH, ROW_ITEMS } from "./rows.ts";
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

/** Counts are below it. */
const MOST_COUNT = 2 ** 31;
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

/** Whether it is an object, or a promise: a request, and a step into its result. */
const isTarget = (read: any) =>
  Array.isArray(read) ? isId(read[0]) && isName(read[1] ?? 0) && read.length < 3 : isName(read);

/** Whether a list or a map has at most so many entries, each as it must be. */
const areEntries = (read: any, most: number, isRight: (each: any, key: string) => boolean) => {
  const entries = Object.entries(read ?? []);
  return entries.length <= most && entries.every(([key, each]) => isRight(each, key));
};

/** Whether metadata may cross. */
export const isMeta = (meta: Record<string, string> | null): boolean =>
  areEntries(meta, 8, (each, key) => /^[a-z0-9-]{1,64}$/.test(key) && isText(each, 512));

const check = (isRight: unknown) => isRight || malformed("field");

/** Read a value of these kinds, and check it. */
const read =
  (kinds: number, isRight: (read: any) => boolean, inner?: number, deepest = 1) =>
  () => {
    const field = value(kinds, deepest, inner);
    check(isRight(field));
    return field;
  };

/** What each letter of a row reads. */
const FIELDS: Record<string, () => unknown> = {
  v: () => value(INT),
  t: read(
    NIL | MAP,
    (terms) => areEntries(terms, 32, (each, key) => isId(each) && isText(key, 128)),
    INT,
  ),
  i: read(INT, isId),
  T: read(INT | TEXT | ARRAY, isTarget, INT | TEXT),
  O: read(INT | TEXT, isName),
  n: read(TEXT, (text) => isText(text, 128)),
  s: read(TEXT, (text) => isText(text, 1024)),
  a: () => value(ARRAY, DEEPEST + 1, PLAIN),
  k: () => value(MAP, DEEPEST + 1, PLAIN),
  p: () => value(PLAIN, DEEPEST),
  // `null` lies between the numbers, too.
  d: read(NIL | INT, isId),
  m: read(NIL | MAP, isMeta, TEXT),
  c: read(INT, (number) => number > 0 && number < MOST_COUNT),
  z: read(INT, (number) => number >= 0 && number < MOST_COUNT),
  A: read(ARRAY, (addresses) => areEntries(addresses, 8, (each) => isText(each, 256)), TEXT),
  b: () => value(BYTES),
  g: () => value(GRAPH, DEEPEST_GRAPH),
  // The arguments and the keywords of a call.
  G: read(ARRAY, (both) => both.length === 2, GRAPH, DEEPEST_GRAPH),
  f: () => value(NIL | GRAPH, DEEPEST_GRAPH, GRAPH),
  r: rest,
};

/** The fields of each row by its number; those behind the point may be missing. */
const ROWS: (string | string[])[] = (
  "v.t iTnak.dm iOnak.dm iinak.dm iinak.dm ip. ia. - i.c i.c i. i. i. i. ss. zA. izz. ir. ir. ib. " +
  "i.f i. i."
).split(" ");
/** Messages with expressions have a kind: the call of another row, an answer, or an error. */
ROWS[ROW_GRAPH] = "- iTnG.dm iOnG.dm iinG.dm iinG.dm iOng.dm - iOng.dm".split(" ");

/** Return the message in the bytes of a frame, without those of its length. */
export function readFrame(bytes: Uint8Array): Message {
  begin(bytes);
  let count = arrayLength();
  const message: any[] = [];
  let fields: string | string[] | typeof ROWS = ROWS;
  for (; typeof fields !== "string"; count--) {
    const row: number = value(INT);
    message.push(row);
    fields = fields[row] ?? "-";
  }
  const least = fields.indexOf(".");
  check(least > 0 && count >= least && count < fields.length);
  for (let i = 0; i < count; i++) message.push(FIELDS[fields[i < least ? i : i + 1]!]!());
  end();
  const [row, , items, size] = message;
  check(row !== ROW_CREDIT || items || size);
  return message as Message;
}

/** Return how many items are in the bytes of an items message. */
export function countItems(row: number, bytes: Uint8Array): number {
  begin(bytes);
  const length = arrayLength();
  const isGraph = row === ROW_ITEM_GRAPH;
  const count = length - +isGraph;
  if (isGraph) check(decode(value(BYTES), malformed) === "list");
  check(count > 0);
  return count;
}

/** Return the items of a message: plain values, or the expression of a list. */
export function readItems(row: number, bytes: Uint8Array): unknown[] | Expression {
  begin(bytes);
  const items = row === ROW_ITEMS ? FIELDS.a!() : FIELDS.g!();
  end();
  return items as unknown[];
}
