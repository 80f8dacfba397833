"""The names of files that a peer may send: relative, and the same file on every system."""

from __future__ import annotations

import re

from broker.errors import FileRefused

__all__ = ["check_part", "is_servable", "parts_of"]

_LONGEST_NAME, _LONGEST_PART, _DEEPEST = 4096, 255, 32
# Controls, halves of surrogate pairs, line separators; separators and drives of Windows.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\\\\:]")
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³"}
)


def parts_of(name: object) -> tuple[str, ...]:
    """Return the parts of a name, which are the folders on the way and the file.

    Raises:
        FileRefused: it may not be used. The text does not repeat it.
    """
    if type(name) is not str:
        raise FileRefused(f"a name must be a str, not {type(name).__name__}")
    parts = tuple(name.split("/"))
    if len(name) > _LONGEST_NAME or len(parts) > _DEEPEST:
        raise FileRefused(f"a name has at most {_LONGEST_NAME} characters and {_DEEPEST} parts")
    for part in parts:
        check_part(part)
    return parts


def check_part(part: str) -> None:
    """Check one part of a name; see `parts_of`."""
    if not part:
        raise FileRefused('a name is relative, with one "/" between two parts')
    if part.startswith("."):
        raise FileRefused('a part of a name does not begin with "."')
    if _NOT_IN_NAMES.search(part):
        raise FileRefused('a name has neither "\\" nor ":" nor control characters')
    if part.endswith((".", " ")):
        raise FileRefused('a part of a name does not end with "." or a space')
    if len(part.encode("utf-8")) > _LONGEST_PART:
        raise FileRefused(f"a part of a name has at most {_LONGEST_PART} bytes")
    if part.partition(".")[0].rstrip().upper() in _DEVICES:
        raise FileRefused("a part of a name is not the name of a device")


def is_servable(part: str) -> bool:
    """Whether a file of this name can be asked for."""
    try:
        check_part(part)
    except FileRefused:
        return False
    return True
