"""The lines of IRC: splits one into its fields, and joins fields to one; for servers and clients.

A line is ``[@tags ][:source ]COMMAND[ parameter]…[ :last parameter]``, without CR LF. The fields
are separated by spaces; only the last one may be empty, have spaces, or begin with a colon.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LONGEST_LINE", "LONGEST_TAGS", "Message", "compose", "cut", "parse"]

LONGEST_LINE = 512
"""The most bytes of a line with its CR LF, without tags."""

LONGEST_TAGS = 4_096
"""The most bytes of the tags of a client, with the at-sign and the space."""

_ESCAPES = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}


class Message(NamedTuple):
    """A line of IRC.

    Attributes:
        command: a word in capital letters, or three digits; empty if the line has none.
        parameters: its parameters.
        source: who sent it, ``name!user@host`` or a server; empty if it is not in the line.
        tags: the tags, without escapes; a tag without a value has an empty one.
    """

    command: str
    parameters: tuple[str, ...] = ()
    source: str = ""
    tags: dict[str, str] = {}  # noqa: RUF012 - it is never changed

    @property
    def nick(self) -> str:
        """The name in ``source``, up to the exclamation mark."""
        return self.source.partition("!")[0]


def parse(line: str) -> Message:
    """Split a line, without its CR LF; a line without a command has an empty one."""
    tags: dict[str, str] = {}
    source = ""
    if line.startswith("@"):
        text, _, line = line[1:].partition(" ")
        tags = dict(_tag(each) for each in text.split(";") if each)
    line = line.lstrip(" ")
    if line.startswith(":"):
        source, _, line = line[1:].partition(" ")
    # A last parameter begins after a space and a colon, which may be at the start of the rest.
    head, colon, last = f" {line}".partition(" :")
    words = [word for word in head.split(" ") if word]
    parameters = (*words[1:], last) if colon else tuple(words[1:])
    return Message(words[0].upper() if words else "", parameters, source, tags)


def compose(command: str, *parameters: str, source: str = "") -> str:
    """Join fields to a line, without CR LF.

    Raises:
        ValueError: a field other than the last parameter is empty, has a space, or begins with a
            colon.
    """
    words = [command, *parameters[:-1]]
    for word in words:
        if not word or " " in word or word.startswith(":"):
            raise ValueError(f"not a field of a line of IRC: {word!r}")
    if source:
        words.insert(0, f":{source}")
    if parameters:
        words.append(f":{parameters[-1]}")
    return " ".join(words)


def cut(text: str, most: int) -> list[str]:
    """Cut a text into pieces of at most so many bytes of UTF-8, between characters.

    An empty text is one empty piece.
    """
    pieces, size, begin = [], 0, 0
    for index, character in enumerate(text):
        width = len(character.encode("utf-8", "replace"))
        if size + width > most:
            pieces.append(text[begin:index])
            size, begin = 0, index
        size += width
    return [*pieces, text[begin:]]


def _tag(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if "\\" not in value:
        return name, value
    pieces = iter(value)
    # A backslash at the end is dropped, and one before another character too.
    plain = [_ESCAPES.get(after := next(pieces, ""), after) if each == "\\" else each
             for each in pieces]  # fmt: skip
    return name, "".join(plain)
