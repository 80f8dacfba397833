// Made by esbuild from the file of this name in TypeScript.

// ../../../examples/chat/pages/talk.ts
import { Referenceable, RemoteCache, connect, register } from "/broker.js";
var LOBBY = "#lobby";
var DONE = { topic: "set the topic:" };
var ADDRESS = `ws${location.origin.slice(4)}/pb`;
var element = (id) => document.getElementById(id);
var [door, say] = ["door", "say"].map((id) => element(id));
var avatar;
function line(text) {
  const made = element("lines").appendChild(document.createElement("li"));
  made.textContent = text;
  made.scrollIntoView({ block: "nearest" });
}
function state(text, isError = false) {
  element("state").textContent = text;
  element("state").hidden = !text;
  element("state").classList.toggle("error", isError);
}
var failed = (error) => state(error.message, true);
var sentence = (who, text) => text.startsWith("/me ") ? `* ${who} ${text.slice(4)}` : `<${who}> ${text}`;
var Room = class extends RemoteCache {
  name;
  topic;
  names;
  history;
  observe_joined(who) {
    this.names.push(who);
    this.show();
  }
  observe_left(who) {
    this.names.splice(this.names.indexOf(who), 1);
    this.show();
  }
  observe_topic(_who, text) {
    this.topic = text;
    this.show();
  }
  show() {
    element("topic").textContent = this.topic || this.name;
    element("names").textContent = this.names.join(", ");
  }
};
register(Room, "chat.Room");
var Ear = class extends Referenceable {
  left = new AbortController();
  remote_heard(event, _, who, text) {
    if (event === "gone") this.left.abort(new Error(text));
    else if (event === "said" || event === "noticed") line(sentence(who, text));
    else line(event === "banner" ? text : `* ${who} has ${DONE[event] ?? event} ${text}`);
  }
};
async function comeIn(avatar2) {
  element("lines").replaceChildren();
  line(await avatar2.callRemote("banner"));
  const lobby = await avatar2.callRemote("join", LOBBY);
  for (const [, who, text] of lobby.history) line(sentence(who, text));
  lobby.show();
  [door.hidden, element("room").hidden] = [true, false];
  state("");
}
async function visit(username, password) {
  const ear = new Ear();
  const { signal } = ear.left;
  for await (const connection of connect(ADDRESS, { username, password }, { mind: ear, signal })) {
    await comeIn(avatar = connection.avatar).catch(failed);
    await connection.closed;
    state("Not connected. Trying again.", true);
  }
  throw signal.reason;
}
door.onsubmit = (event) => {
  event.preventDefault();
  const [name, password] = ["name", "password"].map((each) => String(new FormData(door).get(each)));
  visit(name, password).catch((error) => {
    [door.hidden, element("room").hidden] = [false, true];
    failed(error);
  });
};
say.onsubmit = (event) => {
  event.preventDefault();
  const text = String(new FormData(say).get("text"));
  say.reset();
  avatar?.callRemote("say", LOBBY, text).then(() => line(sentence("you", text)), failed);
};
