/** SASLprep, RFC 4013: the form in which names and passwords are compared. */

const NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/g;
const SPACE = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g;

/**
 * Return a name or a password, prepared. A server has no user whose name or password has a
 * character that SASLprep prohibits, so these are not looked for here.
 */
export const saslprep = (text: string): string =>
  text.replace(NOTHING, "").replace(SPACE, " ").normalize("NFKC");
