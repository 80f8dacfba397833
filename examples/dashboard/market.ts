import { contract, type Ref, type RemotePromise } from "perspective-broker";

export interface Price {
  symbol: string;
  value: number;
}

/** The market. */
export interface Market {
  /** Return what is traded. */
  symbols(): RemotePromise<string[]>;
  /** Yield a price every so many seconds, without an end. */
  prices(every?: number): AsyncIterable<Price>;
  /** Tell the page when the price of a symbol is above a limit, once. */
  watch(symbol: string, screen: Ref<Screen>, kw: { above: number }): RemotePromise<null>;
}
export const Market = contract<Market>("feed.Market", {
  symbols: { form: "call" },
  prices: { form: "stream" },
  watch: { form: "call", keywords: 2 },
});

/** The page. */
export interface Screen {
  /** Show that a price has passed its limit. */
  alert(symbol: string, value: number): void;
}
export const Screen = contract<Screen>("feed.Screen", {
  alert: { form: "one way" },
});
