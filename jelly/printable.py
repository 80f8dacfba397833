"""Makes text from a peer printable: one line, limited in size, printable characters only."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, most: int = 64, *, is_ascii: bool = True) -> str:
    """Return text as one line for a log, a terminal, or an error message.

    These characters are escaped as in a Python literal: control characters (also line breaks and
    ESC), the separators U+2028 and U+2029, characters that change the direction of text, lone
    surrogates, and unassigned characters. Only as much of ``text`` is read as can be returned.

    Args:
        text: str, or bytes, which are decoded as UTF-8 (as ASCII with ``is_ascii``). For any other
            object, the name of its type is returned.
        most: most bytes of the result in UTF-8, at least 3. A longer text is cut and ends with
            ``...``.
        is_ascii: escape all characters that are not ASCII, and double backslashes. Use it for
            names, since two different names must not look alike. Without it, the letters of all
            languages and backslashes are unchanged. Use that for sentences.
    """
    if isinstance(text, str):
        part = str.__getitem__(text, slice(most + 1))
    elif isinstance(text, bytes):
        encoding = "ascii" if is_ascii else "utf-8"
        part = text[: most + 1].decode(encoding, "backslashreplace")
    else:
        part = type(text).__name__[: most + 1]
    if is_ascii:
        part = part.encode("unicode_escape").decode("ascii")
    elif not part.isprintable():
        part = "".join(each if each.isprintable() else _escaped(each) for each in part)
    encoded = part.encode("utf-8")
    if len(encoded) <= most:
        return part
    return encoded[: most - 3].decode("utf-8", "ignore") + "..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
