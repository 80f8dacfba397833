/** One tour through what a client does, for Node and for browsers; tour.py is the same in Python. */
export async function tour(pb, connect, address, username, password) {
  class Seat {}
  class Gauge extends pb.RemoteCache {
    observe_n(n) {
      this.n = n;
    }
  }
  class Bell extends pb.Referenceable {
    remote_ring(i) {
      return `ring ${i}`;
    }
  }
  pb.register(Seat, "office.Seat");
  pb.register(Gauge, "office.Gauge");
  async function* numbers() {
    for (let i = 0; i < 1000; i++) yield i;
  }
  const connection = await connect(address, { username, password });
  const { avatar } = connection;
  const seen = {};
  const [who, mechanism] = await avatar.callRemote("whoami");
  seen.who = [who, mechanism.startsWith("SCRAM-SHA-256")];
  seen.rings = await avatar.callRemote("ring", new Bell(), 2);
  const seat = await avatar.callRemote("seat");
  seen.seat = { ...seat };
  seat.number = 8;
  seen.taken = await avatar.callRemote("take", seat);
  let gauge = await avatar.callRemote("gauge");
  await avatar.callRemote("set", 7);
  seen.gauge = gauge.n;
  seen.isGauge = await avatar.callRemote("is_gauge", gauge);
  seen.shown = await avatar.callRemote("shown", { a: [1, 2.5, "é", null, new Uint8Array(2)] });
  seen.total = await avatar.callRemote("total", numbers());
  seen.count = 0;
  for await (const number of avatar.callRemote("count", 1000)) seen.count += number;
  seen.chain = await avatar.callRemote("thing").callRemote("hi");
  seen.big = (await avatar.callRemote("echo", "x".repeat(1 << 20))).length;
  seen.sold = await avatar.callRemote("sold").catch((error) => [error.message, error.fields.left]);
  await avatar.callRemoteWith({ timeout: 20 }, "wait").catch(() => {});
  for (seen.cancelled = 0; !seen.cancelled; )
    seen.cancelled = (await avatar.callRemote("counts")).cancelled;
  gauge = null;
  for (seen.stopped = 0; !seen.stopped; ) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    seen.stopped = (await avatar.callRemote("counts")).stopped;
  }
  connection.close();
  seen.end = (await connection.closed).code;
  return seen;
}
