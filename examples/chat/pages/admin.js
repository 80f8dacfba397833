// Made by esbuild from the file of this name in TypeScript.

// ../../../examples/chat/pages/admin.ts
import { connect } from "/broker.js";
var element = (id) => document.getElementById(id);
var list = element("people");
var row = element("person").content.firstElementChild;
var rows = /* @__PURE__ */ new Map();
function rowOf([name, frontEnd, since, rooms]) {
  const made = row.cloneNode(true);
  const put = (where, text2) => made.querySelector(where).textContent = text2;
  const date = new Date(since * 1e3);
  const text = date.toUTCString();
  put("bdi", name);
  put(".tag", frontEnd);
  made.querySelector(".detail").firstChild.textContent = rooms.join(", ") || "in no room";
  put("time", `${text.slice(5, 11)}, ${text.slice(17, 22)} UTC`);
  made.querySelector("time").dateTime = date.toISOString();
  made.querySelector("input").value = name;
  made.querySelector("button").ariaLabel = `Kick ${name}`;
  return made;
}
function show(people) {
  const before = rows;
  rows = new Map(
    people.map((person) => {
      const key = JSON.stringify(person);
      return [key, before.get(key) ?? rowOf(person)];
    })
  );
  const wanted = new Set(rows.values());
  for (const each of [...list.children]) if (!wanted.has(each)) each.remove();
  let at = list.firstElementChild;
  for (const each of wanted)
    if (each === at) at = at.nextElementSibling;
    else list.insertBefore(each, at);
  if (!people.length) list.innerHTML = '<li class="nobody">Nobody is here.</li>';
  element("count").textContent = String(people.length);
}
async function token() {
  const answer = await fetch("/admin/token", { method: "POST" });
  if (!answer.ok) throw new Error("Log in again to see who comes and goes.");
  return { token: await answer.text() };
}
try {
  for await (const { avatar } of connect(`ws${location.origin.slice(4)}/pb`, token)) {
    element("state").textContent = "This list changes as people come and go.";
    try {
      for await (const people of avatar.callRemote("people")) show(people);
    } catch {
      element("state").textContent = "Not connected. Trying again.";
    }
  }
} catch (error) {
  element("state").textContent = error.message;
}
