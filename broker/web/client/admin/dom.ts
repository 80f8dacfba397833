/** Elements of the page, and how numbers are written on it. */

/** Return the element with an id. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Make an element with text, or with others in it. */
export function make(tag: string, content: string | Node[] = "", className = ""): HTMLElement {
  const made = document.createElement(tag);
  if (typeof content === "string") made.textContent = content;
  else made.append(...content);
  if (className) made.className = className;
  return made;
}

/** Set the text of an element, unless it has it. */
export function put(at: Element, text: string): void {
  if (at.textContent !== text) at.textContent = text;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A number, with three digits below 10. */
export function number(value: number): string {
  return Math.abs(value) < 10 ? short.format(value) : whole.format(value);
}

/** A number of bytes. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < 4; unit++) value /= 1024;
  return `${unit ? short.format(value) : whole.format(value)} ${units[unit]}`;
}

/** A time in seconds, in the two largest units. */
export function time(seconds: number): string {
  if (seconds < 1) return `${short.format(seconds * 1000)} ms`;
  if (seconds < 60) return `${whole.format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
