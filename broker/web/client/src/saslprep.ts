/** SASLprep, RFC 4013: the form in which names and passwords are compared. */

const NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/g;
const SPACE = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}\u0340\u0341\u06dd\u070f\u180e\u200c-\u200f\u2028-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;
const TO_THE_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}]/u;
const TO_THE_RIGHT = /[\p{Lu}\p{Ll}\p{Lt}]/u;

/** Return a name or a password, prepared. */
export function saslprep(text: string): string {
  if (/^[ -~]*$/.test(text)) return text;
  const prepared = text.replace(NOTHING, "").replace(SPACE, " ").normalize("NFKC");
  if (PROHIBITED.test(prepared)) throw new RangeError("it has a character that SASLprep prohibits");
  const letters = [...prepared].filter((each) => TO_THE_LEFT.test(each));
  if (letters.length) {
    const ends = [[...prepared][0]!, [...prepared].at(-1)!];
    if (TO_THE_RIGHT.test(prepared) || !ends.every((each) => TO_THE_LEFT.test(each)))
      throw new RangeError("it mixes writing from the left and from the right");
  }
  return prepared;
}
