"""SASLprep, RFC 4013: converts user names and passwords to the form in which they are compared.

Two keyboards can send one name in two ways: with an accented letter, or with a letter and an
accent; with a normal space, or with a no-break space. Prepared, both are the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from cred.octets import Text

__all__ = ["LONGEST_NAME", "LONGEST_PASSWORD", "saslprep", "saslprep_octets"]

LONGEST_NAME: Final = 256
"""The most UTF-8 bytes of a user name."""

LONGEST_PASSWORD: Final = 1024
"""The most UTF-8 bytes of a password."""


@cache
def _prohibited() -> tuple[Callable[[str], bool], ...]:
    """Return what tells prohibited characters: RFC 4013, section 2.3.

    Unassigned code points are not prohibited: a character that is not in Unicode 3.2, such as an
    emoji, is not changed.
    """
    # Imported here and below: most names and passwords are ASCII.
    import stringprep

    return (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )


def saslprep(text: str, most: int) -> str:
    """Return a user name or password, prepared by SASLprep.

    Args:
        text: the name or password.
        most: its greatest length in UTF-8 bytes. It is checked first, since preparation takes time,
            and one character can become eighteen.

    Raises:
        ValueError: it is longer, or has a control character or another that SASLprep prohibits, or
            mixes directions of writing. The text of the error does not repeat it.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > most:
        raise ValueError(f"{size} bytes, of {most}")
    if text.isascii() and text.isprintable():
        return text
    import stringprep
    import unicodedata

    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    for char in prepared:
        if any(is_prohibited(char) for is_prohibited in _prohibited()):
            raise ValueError(f"it has a character that SASLprep prohibits (U+{ord(char):04X})")
    _check_direction(prepared)
    return prepared


def saslprep_octets(text: Text, most: int) -> bytes:
    """Return a user name or password, str or bytes, prepared by SASLprep, as UTF-8 bytes.

    Raises:
        ValueError: as `saslprep`; or it is bytes that are not UTF-8.
    """
    if isinstance(text, bytes):
        if len(text) > most:
            raise ValueError(f"{len(text)} bytes, of {most}")
        if text.isascii() and text.decode("ascii").isprintable():
            # The usual name, which `saslprep` would not change.
            return text
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("bytes that are not UTF-8") from None
    try:
        return saslprep(text, most).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text that has no UTF-8 form") from None


def _check_direction(text: str) -> None:
    """Refuse text with both directions of writing: RFC 3454, section 6."""
    import stringprep

    if not any(map(stringprep.in_table_d1, text)):
        return
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    if not ends or any(map(stringprep.in_table_d2, text)):
        raise ValueError("it mixes writing from the left and from the right")
