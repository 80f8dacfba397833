/** The chat in a browser: everybody is in the lobby. */
import { Referenceable, RemoteCache, type RemoteReference, connect, register } from "perspective-broker";

const LOBBY = "#lobby";
const DONE: Record<string, string> = { topic: "set the topic:" };
const ADDRESS = `ws${location.origin.slice(4)}/pb`;
const element = (id: string): HTMLElement => document.getElementById(id)!;
const [door, say] = ["door", "say"].map((id) => element(id) as HTMLFormElement);

let avatar: RemoteReference | undefined;

function line(text: string): void {
  const made = element("lines").appendChild(document.createElement("li"));
  made.textContent = text;
  made.scrollIntoView({ block: "nearest" });
}

function state(text: string, isError = false): void {
  element("state").textContent = text;
  element("state").hidden = !text;
  element("state").classList.toggle("error", isError);
}

const failed = (error: Error): void => state(error.message, true);
const sentence = (who: string, text: string): string =>
  text.startsWith("/me ") ? `* ${who} ${text.slice(4)}` : `<${who}> ${text}`;

/** The lobby, as the server keeps it up to date here. */
class Room extends RemoteCache {
  name!: string;
  topic!: string;
  names!: string[];
  history!: [at: number, who: string, text: string][];

  observe_joined(who: string): void {
    this.names.push(who);
    this.show();
  }
  observe_left(who: string): void {
    this.names.splice(this.names.indexOf(who), 1);
    this.show();
  }
  observe_topic(_who: string, text: string): void {
    this.topic = text;
    this.show();
  }
  show(): void {
    element("topic").textContent = this.topic || this.name;
    element("names").textContent = this.names.join(", ");
  }
}
register(Room, "chat.Room");

/** Hears what happens; the server calls it. */
class Ear extends Referenceable {
  left = new AbortController();
  remote_heard(event: string, _: string, who: string, text: string): void {
    if (event === "gone") this.left.abort(new Error(text));
    else if (event === "said" || event === "noticed") line(sentence(who, text));
    else line(event === "banner" ? text : `* ${who} has ${DONE[event] ?? event} ${text}`);
  }
}

async function comeIn(avatar: RemoteReference): Promise<void> {
  element("lines").replaceChildren();
  line(await avatar.callRemote("banner"));
  const lobby: Room = await avatar.callRemote("join", LOBBY);
  for (const [, who, text] of lobby.history) line(sentence(who, text));
  lobby.show();
  [door!.hidden, element("room").hidden] = [true, false];
  state("");
}

async function visit(username: string, password: string): Promise<void> {
  const ear = new Ear();
  const { signal } = ear.left;
  for await (const connection of connect(ADDRESS, { username, password }, { mind: ear, signal })) {
    await comeIn((avatar = connection.avatar)).catch(failed);
    await connection.closed;
    state("Not connected. Trying again.", true);
  }
  throw signal.reason;
}

door!.onsubmit = (event) => {
  event.preventDefault();
  const [name, password] = ["name", "password"].map((each) => String(new FormData(door).get(each)));
  visit(name!, password!).catch((error) => {
    [door!.hidden, element("room").hidden] = [false, true];
    failed(error);
  });
};

say!.onsubmit = (event) => {
  event.preventDefault();
  const text = String(new FormData(say).get("text"));
  say!.reset();
  avatar?.callRemote("say", LOBBY, text).then(() => line(sentence("you", text)), failed);
};
