/** Keeps the list of people on the admin's page up to date. */
import { connect } from "perspective-broker";

type Person = [name: string, frontEnd: string, since: number, rooms: string[]];

const element = (id: string): HTMLElement => document.getElementById(id)!;
const list = element("people");
const row = (element("person") as HTMLTemplateElement).content.firstElementChild!;

/** The rows of the people who are here, by what they show. */
let rows = new Map<string, Element>();

function rowOf([name, frontEnd, since, rooms]: Person): Element {
  const made = row.cloneNode(true) as Element;
  const put = (where: string, text: string) => (made.querySelector(where)!.textContent = text);
  const date = new Date(since * 1000);
  const text = date.toUTCString();
  put("bdi", name);
  put(".tag", frontEnd);
  made.querySelector(".detail")!.firstChild!.textContent = rooms.join(", ") || "in no room";
  put("time", `${text.slice(5, 11)}, ${text.slice(17, 22)} UTC`);
  made.querySelector("time")!.dateTime = date.toISOString();
  made.querySelector("input")!.value = name;
  made.querySelector("button")!.ariaLabel = `Kick ${name}`;
  return made;
}

/** Show the people; rows that have not changed stay as they are. */
function show(people: Person[]): void {
  const before = rows;
  rows = new Map(
    people.map((person) => {
      const key = JSON.stringify(person);
      return [key, before.get(key) ?? rowOf(person)];
    }),
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

/** Ask for a token with the cookie of this page; it is good for one login. */
async function token(): Promise<{ token: string }> {
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
  element("state").textContent = (error as Error).message;
}
