/** Contracts: the methods of an object, with their types. `pb describe --typescript` writes them. */
import type { CallOptions } from "./calls.ts";
import type { RemotePromise } from "./promise.ts";
import type { RemoteReference } from "./references.ts";
import { Referenceable } from "./registry.ts";

/** How a method is called, and how its result is used. */
export interface Method {
  form: "call" | "reference" | "stream" | "one way";
  /** The number of positional arguments; keywords are one object behind them. */
  keywords?: number;
  /** The contract of a result that is a reference. */
  of?: () => Contract<any>;
}

/** The methods of an object. */
export class Contract<T extends object> {
  readonly name: string;
  readonly methods: { [K in keyof T]: Method };
  constructor(name: string, methods: { [K in keyof T]: Method }) {
    this.name = name;
    this.methods = methods;
  }
}

/** Return a contract with the methods of an interface. */
export const contract = <T extends object>(
  name: string,
  methods: { [K in keyof T]: Method },
): Contract<T> => new Contract<T>(name, methods);

/** An object of the peer with the methods of a contract. */
export type Typed<T extends object> = T;

/** What is passed where a contract wants an object. */
export type Ref<T extends object> = T | RemoteReference | Referenceable;

/** The methods of an object that implements a contract. */
export type Served<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => RemotePromise<infer R>
    ? (...args: A) => R | Promise<R>
    : T[K];
};

/** What contracts call. */
type Callable = Pick<RemoteReference, "callRemoteWith" | "send">;

/** The methods of a contract on a reference, or on a promise of one. */
export class Bound {
  /** @internal */
  readonly _on: Callable;
  /** @internal */
  constructor(on: Callable) {
    this._on = on;
  }
}

/** Return an object with the methods of a contract. */
export function typed<T extends object>(
  on: Callable,
  contract: Contract<T>,
  options: CallOptions,
): T {
  const bound = new Bound(on) as any;
  for (const [name, method] of Object.entries<Method>(contract.methods))
    bound[name] = (...args: unknown[]) => invoke(on, name, method, args, options);
  return bound;
}

function invoke(
  on: Callable,
  name: string,
  { form, keywords, of }: Method,
  args: unknown[],
  options: CallOptions,
): unknown {
  const kw = keywords === undefined ? undefined : (args[keywords] as Record<string, unknown>);
  const given = args.slice(0, keywords);
  while (given.length && given.at(-1) === undefined) given.pop();
  if (form === "one way" && !kw) return on.send(name, ...given);
  const result = on.callRemoteWith(kw ? { ...options, kw } : options, name, ...given);
  if (form === "one way") return void result.catch(() => {});
  return form === "reference" && of ? result.of(of()) : result;
}

/** Return an object that the peer may call, with the methods of a contract. */
export function servant<T extends object>(contract: Contract<T>, object: Served<T>): Referenceable {
  const made = new Referenceable() as any;
  for (const name of Object.keys(contract.methods))
    made["remote_" + name] = (...args: unknown[]) => (object as any)[name](...args);
  return made;
}
