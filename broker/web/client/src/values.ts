/** The values of Python that JavaScript does not have. */

/** A float that stays one although its value is whole: `new Float(4)`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
  valueOf(): number {
    return this.value;
  }
}

/** A tuple of Python: an array of another class. `Tuple.of(1, 2)`. */
export class Tuple<T = any> extends Array<T> {}

/** A frozenset of Python. Members that are objects compare by identity. */
export class FrozenSet<T = any> extends Set<T> {}

/** Return midnight of a day in UTC, also for years below 100. */
export const midnight = (year: number, month: number, day: number): number =>
  new Date(0).setUTCFullYear(year, month - 1, day);

/** A date. */
export class PyDate {
  readonly year!: number;
  readonly month!: number;
  readonly day!: number;
  constructor(year: number, month: number, day: number) {
    Object.assign(this, { year, month, day });
  }
}

/** A time of day. */
export class PyTime {
  readonly hour!: number;
  readonly minute!: number;
  readonly second!: number;
  readonly microsecond!: number;
  constructor(hour = 0, minute = 0, second = 0, microsecond = 0) {
    Object.assign(this, { hour, minute, second, microsecond });
  }
}

/**
 * A date and a time of day. `offset` is that of the zone from UTC in seconds, or undefined for
 * a datetime without a zone. A Date of JavaScript is an instant: `utc` and `toDate` convert.
 */
export class PyDateTime {
  readonly year!: number;
  readonly month!: number;
  readonly day!: number;
  readonly hour!: number;
  readonly minute!: number;
  readonly second!: number;
  readonly microsecond!: number;
  readonly offset: number | undefined;
  constructor(
    year: number,
    month: number,
    day: number,
    hour = 0,
    minute = 0,
    second = 0,
    microsecond = 0,
    offset?: number,
  ) {
    Object.assign(this, { year, month, day, hour, minute, second, microsecond, offset });
  }

  /** Return an instant as a datetime in UTC: with that zone, or without one. */
  static utc(date: Date, withZone = true): PyDateTime {
    return new PyDateTime(
      date.getUTCFullYear(),
      date.getUTCMonth() + 1,
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
      date.getUTCSeconds(),
      date.getUTCMilliseconds() * 1000,
      withZone ? 0 : undefined,
    );
  }

  /** Return the instant. A datetime without a zone is taken as one in UTC. */
  toDate(): Date {
    const { year, month, day, hour, minute, second, microsecond, offset = 0 } = this;
    const seconds = (hour * 60 + minute) * 60 + second - offset;
    return new Date(midnight(year, month, day) + seconds * 1000 + Math.floor(microsecond / 1000));
  }
}

/** A duration. Only the days may be negative. */
export class TimeDelta {
  readonly days!: number;
  readonly seconds!: number;
  readonly microseconds!: number;
  constructor(days: number, seconds = 0, microseconds = 0) {
    Object.assign(this, { days, seconds, microseconds });
  }
}

const DATE = [1, 9999, 1, 12, 1, 31];
const TIME = [0, 23, 0, 59, 0, 59, 0, 999_999];

/** The tags and classes of times, and the least and the most of each of their numbers. */
export const TIMES: [string, new (...numbers: any[]) => object, number[]][] = [
  ["date", PyDate, DATE],
  ["time", PyTime, TIME],
  ["datetime", PyDateTime, [...DATE, ...TIME]],
  ["timedelta", TimeDelta, [-999_999_999, 999_999_999, 0, 86_399, 0, 999_999]],
];

/** A decimal number: digits times a power of ten. */
export class Decimal {
  readonly digits!: bigint;
  readonly exponent!: number;
  constructor(digits: bigint, exponent: number) {
    Object.assign(this, { digits, exponent });
  }
}

/** A UUID: 16 bytes. */
export class UUID {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  toString(): string {
    const hex = (byte: number, i: number) =>
      ([4, 6, 8, 10].includes(i) ? "-" : "") + (byte + 256).toString(16).slice(1);
    return [...this.bytes].map(hex).join("");
  }
}

/** The tags and classes of containers of elements. */
export const CONTAINERS: [string, new () => unknown[] | Set<unknown>][] = [
  ["tuple", Tuple],
  ["list", Array],
  ["frozenset", FrozenSet],
  ["set", Set],
];

/** A value of plain data that is an expression of the wire. */
export type Expression = number | bigint | Float | Uint8Array | Expression[];

/** The types of the numbers of a DataView: the unsigned ints first, by their sizes. */
export const NUMBER_TYPES =
  "Uint8 Uint16 Uint32 BigUint64 Int8 Int16 Int32 BigInt64 Float32 Float64".split(" ") as (
    "Uint8" | "BigInt64"
  )[];

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Return text as UTF-8. Half of a surrogate pair is an error. */
export function encode(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new RangeError("half of a surrogate pair");
  return encoder.encode(text);
}

/** Return UTF-8 as text; what is no UTF-8 is a failure. */
export function decode(bytes: Uint8Array, failed: (text: string) => never): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return failed("UTF-8");
  }
}

/** Whether an int fits into 64 bits. */
export const fits = (value: bigint): boolean => value >= -(1n << 63n) && value < 1n << 64n;

/** Return an int as a number if that is exact. */
export const narrow = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;
