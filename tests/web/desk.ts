/** What the server of msgpack.json serves, in TypeScript: see tests/helpers/vectors/msgpack_served.py. */
import * as pb from "../../broker/web/client/src/api.ts";

class Card {
  owner = "";
}
pb.register(Card, "vectors.Card");

pb.registerEnum({ RED: "red" }, "vectors.Colour");

export class Price extends pb.Cacheable {
  observers: pb.CacheObserver[] = [];
  getStateToCacheAndObserveFor(observer: pb.CacheObserver) {
    this.observers.push(observer);
    return { price: 1 };
  }
  override stoppedObserving(observer: pb.CacheObserver) {
    this.observers.splice(this.observers.indexOf(observer), 1);
  }
}
pb.register(Price, "vectors.Price");

class Held extends pb.RemoteCache {
  price = 0;
  observe_set(price: number) {
    this.price = price;
    return price;
  }
}
pb.register(Held, "vectors.Held");

class Missing extends pb.RemoteError {}
pb.register(Missing, "vectors.Missing");

class Full extends pb.RemoteError {}
pb.register(Full, "vectors.Full");

class Thing extends pb.Referenceable {
  remote_add_one(number: number) {
    return number + 1;
  }
}

export class Desk extends pb.Referenceable {
  thing = new Thing();
  price = new Price();
  value: any = null;
  waiting = new Map<string, (value: string) => void>();
  subscribers: any[] = [];

  remote_echo(value: unknown) {
    return value;
  }
  remote_pair(first: unknown, second: unknown) {
    return [first, second];
  }
  remote_keywords(...args: any[]) {
    const kw = Object.getPrototypeOf(args.at(-1) ?? 0) === null ? args.pop() : {};
    return [args, kw];
  }
  remote_tuple(...args: unknown[]) {
    return pb.Tuple.from(args);
  }
  remote_same(first: unknown, second: unknown) {
    return first === second;
  }
  remote_is_root(value: unknown) {
    return value === this;
  }
  remote_is_thing(value: unknown) {
    return value === this.thing;
  }
  remote_is_price(value: unknown) {
    return value === this.price;
  }
  remote_keep(value: unknown) {
    this.value = value;
  }
  remote_kept() {
    return this.value;
  }
  /** The session is told: JavaScript does not say when a value is collected. */
  remote_forget() {
    const { value } = this;
    this.value = null;
    if (value instanceof pb.RemoteReference || value instanceof pb.RemoteCache) this.release(value);
  }
  release!: (value: any) => void;
  remote_held() {
    return this.value.price;
  }
  remote_wait(name: string) {
    return new Promise((resolve) => this.waiting.set(name, resolve));
  }
  remote_release(name: string) {
    this.waiting.get(name)!(name);
  }
  remote_thing() {
    return this.thing;
  }
  remote_thrice() {
    return [this.thing, this.thing, this.thing];
  }
  remote_waiter() {
    return this;
  }
  remote_price() {
    return this.price;
  }
  remote_prices() {
    return [this.price, this.price];
  }
  remote_set_price(price: number) {
    for (const observer of this.price.observers)
      void observer.callRemote("set", price).catch(() => {});
  }
  async remote_use(reference: pb.RemoteReference) {
    const answer = await reference.callRemote("add_one", 1);
    this.release(reference);
    return answer;
  }
  remote_ask(reference: pb.RemoteReference) {
    this.value = reference;
    return reference
      .callRemote("fail")
      .catch((error: pb.RemoteError) => [error.type, error.message]);
  }
  remote_subscribe(reference: pb.RemoteReference) {
    this.subscribers.push(reference);
  }
  remote_publish(event: string) {
    for (const each of this.subscribers) each.send("happened", event);
  }
  async *remote_rows(...items: unknown[]) {
    yield* items;
  }
  async *remote_count(most: number) {
    for (let i = 0; i < most; i++) yield i;
  }
  remote_sized() {
    return new pb.Stream(this.remote_count(3), 3);
  }
  async remote_total(numbers: AsyncIterable<number>) {
    let total = 0;
    for await (const each of numbers) total += each;
    return total;
  }
  async remote_length(items: AsyncIterable<any>) {
    let total = 0;
    for await (const each of items) total += each.length ?? each.size;
    return total;
  }
  async remote_first(items: AsyncIterable<unknown>) {
    for await (const each of items) return each;
  }
  remote_fail(kind: string) {
    if (kind === "registered") throw new Missing("vectors.Missing", "no such book");
    if (kind === "fields") throw new Full("vectors.Full", "no seats", [], "", { seats: 0 });
    throw new pb.RemoteError("twisted.spread.pb.RemoteError", "internal error (id 7f3a9c21)");
  }
}
