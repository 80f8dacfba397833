/** Links of the client: `node links.ts SCENARIO`. Each line of the output says what has happened. */
import * as pb from "../../broker/web/client/src/node.ts";

const addresses = process.env.ADDRESSES!.split(" ");
const retry = { first: 0.01, most: 0.05 };

class Mind extends pb.Referenceable {
  remote_reached(): unknown {
    console.log("reached");
    return;
  }
}
const mind = new Mind();

/** Does not answer: the method that calls it runs until its server ends. */
class Waiting extends Mind {
  override remote_reached() {
    super.remote_reached();
    return new Promise<never>(() => {});
  }
}

const open = (options: pb.ConnectOptions = {}, to: string | string[] = addresses) =>
  pb.connect(to, "anonymous", { mind, retry, ...options }).link();

const say = (...words: unknown[]) => console.log(words.join(" "));
const told = (error: any) => `${error.name}: ${error.message} ${error.mayHaveRun ?? ""}`.trim();

const scenarios: Record<string, () => Promise<void>> = {
  /** The server is killed, and started again. */
  async killed() {
    const link = await open();
    const counter = link.avatar.recipe("counter", "one");
    const nested = link.recipe((avatar) => avatar.callRemote("counter", "two"));
    const later = link.recipe(async (avatar) => await avatar.callRemote("counter", "three"));
    link.task(async (connection, signal) => {
      say("task", await connection.avatar.callRemote("echo", "begun"));
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      say("task aborted", signal.reason.name);
    });
    for (const each of [counter, nested, later]) say(await each.callRemote("where"));
    const first = link.connection;
    say("kill");
    await first!.closed;
    link.avatar.send("echo", "dropped");
    // They wait for a connection, and run in their order.
    const waiting = [counter, nested, later, link.avatar].map((each) => each.callRemote("where"));
    say((await Promise.all(waiting)).join(", "));
    say(link.connection !== first, link.state!.kind);
    link.close();
    say("closed", await link.closed);
    await link.avatar.callRemote("echo", 1).catch((error) => say(told(error)));
  },

  /** The connection is cut while a method runs. */
  async cut() {
    const link = await open();
    const counter = link.avatar.recipe("counter", "one");
    say(await link.avatar.callRemoteWith({ once: true }, "buy", 3));
    say(await counter.callRemoteWith({ once: true, timeout: 5000 }, "buy", 3));
    await link.avatar.callRemote("buy", 3).catch((error) => say(told(error)));
    say(await link.avatar.callRemote("buy", 3));
    await link.connection!.avatar
      .callRemoteWith({ once: true }, "buy", 3)
      .catch((error: Error) => say(told(error)));
    await link.avatar
      .callRemote("counter", "x")
      .callRemoteWith({ once: true }, "buy", 3)
      .catch((error: Error) => say(told(error)));
    link.close();
  },

  /** The server is killed while a call with a key runs. */
  async restarted() {
    const link = await open();
    const call = link.avatar.callRemoteWith({ once: true }, "buy", 3, new Waiting());
    await call.then(say, (error) => say(told(error)));
    say(await link.avatar.callRemoteWith({ once: true }, "buy", 3));
    link.close();
  },

  /** The server keeps no replies. */
  async unkept() {
    const link = await open();
    await link.avatar.callRemoteWith({ once: true }, "buy", 3).catch((error) => say(told(error)));
    link.close();
  },

  /** The first server drains, and names the second. */
  async drained() {
    const link = await open({}, addresses[0]!);
    const counter = link.avatar.recipe("counter", "one");
    say(await counter.callRemote("where"));
    const first = link.connection!;
    const moving = (async () => {
      for await (const { kind } of link.states()) if (kind === "moving") return say(kind);
    })();
    // A call that runs keeps the connection open.
    const hanging = link.avatar.callRemote("hang", mind);
    const others = [];
    while (link.connection === first || !link.connection) {
      others.push(counter.callRemote("where"));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await moving;
    const answers = await Promise.all(others);
    say(answers.every((each) => each.endsWith("one")), answers.at(-1));
    say("moved");
    say("hung at", await hanging);
    say(await counter.callRemote("where"), "left", (await first.closed).code);
    link.close();
  },

  /** The server drains while calls are on their way. */
  async idle() {
    const link = await open({}, addresses[0]!);
    say("drain");
    for (let where = ""; where !== "second"; ) {
      where = await link.avatar.callRemote("where");
      if (where === "second") say(where);
    }
    link.close();
  },

  /** Nobody is there any more. */
  async alone() {
    const link = await open({ patience: 200 });
    say("kill");
    await link.connection!.closed;
    await link.avatar.callRemote("echo", 1).catch((error) => say(told(error)));
    const aborted = link.avatar.callRemoteWith({ signal: AbortSignal.timeout(20) }, "echo", 1);
    await aborted.catch((error) => say(error.name));
    const late = link.avatar.callRemoteWith({ timeout: 30 }, "echo", 1);
    await late.catch((error) => say(told(error)));
    const many = Array.from({ length: 1001 }, () => link.avatar.callRemote("echo", 1));
    const ends = await Promise.allSettled(many);
    const reasons = ends.map((each) => told((each as PromiseRejectedResult).reason));
    say(reasons[1000]);
    say(new Set(reasons).size);
    const last = link.avatar.callRemote("echo", 1);
    link.close();
    await last.catch((error) => say(told(error)));
  },

  /** What ends a link. */
  async ends() {
    const wrong = { username: "bob", password: "wrong" };
    await pb
      .connect(addresses, wrong, { retry })
      .link()
      .catch((error) => say(error.name));
    const right = { username: "bob", password: "builder" };
    const link = await pb.connect(addresses, right, { retry }).link();
    link.task(() => {
      throw new RangeError("a task fails");
    });
    say(told(await link.closed), link.state!.kind);
    await link.avatar.callRemote("echo", 1).catch((error) => say(told(error)));
    const abort = new AbortController();
    const other = await open({ signal: abort.signal });
    try {
      void other.root;
    } catch (error) {
      say(told(error));
    }
    try {
      other.avatar.recipe("echo", other.connection!.avatar);
    } catch (error) {
      say(told(error));
    }
    const failing = other.recipe((avatar) => avatar.callRemote("echo", 1));
    await failing.callRemote("where").catch((error) => say(error.name));
    const silly = other.recipe(() => 1);
    await silly.callRemote("where").catch((error) => say(told(error)));
    const counter = other.avatar.recipe("counter", "one");
    say((await other.avatar.callRemote("echo", counter)) instanceof pb.RemoteReference);
    abort.abort();
    say("aborted", await other.closed);
  },
};

await scenarios[process.argv[2]!]!();
