"""Makes text that a peer has had a part in printable: one line, bounded, nothing but characters."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, most: int = 64, *, is_ascii: bool = True) -> str:
    """Return text as one line that is fit for a log, a terminal, or the message of an error.

    What cannot be printed is escaped as in a literal of Python's: control characters (line breaks
    and ESC among them), the separators U+2028 and U+2029, characters that change the direction of
    text, lone surrogates, and characters that are not assigned. Only as much of ``text`` is read as
    can be returned.

    Args:
        text: str, or bytes, which are read as UTF-8 (as ASCII with ``is_ascii``); of any other
            object the name of its type is returned.
        most: bytes of the result in UTF-8, at least 3; a longer one ends with ``...``.
        is_ascii: escape everything that is not ASCII, and double backslashes: right for names,
            where two that look alike must not be taken for one. Without it, the letters of all
            languages stay, and backslashes are as they were: right for sentences.
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
    octets = part.encode("utf-8")
    if len(octets) <= most:
        return part
    return octets[: most - 3].decode("utf-8", "ignore") + "..."


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
