"""The list of login mechanisms in a server's offer of dialects.

It is one string after the dialects: ``login`` and the names of ``broker.login.mechanisms``,
strongest first, with a space before each. A client that does not know this string takes it for a
dialect that it does not speak. A client does not trust the string: it uses only mechanisms that its
own policy allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from jelly.errors import ProtocolError

__all__ = ["LONGEST", "read_names", "write_names"]

LONGEST: Final = 256
"""Most bytes of the string."""

_WORD: Final = b"login"


@lru_cache(32)
def write_names(names: tuple[str, ...]) -> bytes:
    """Return the string for these names, strongest first, without the last ones if it is too long.

    Args:
        names: in ASCII, without spaces.
    """
    text = " ".join((_WORD.decode("ascii"), *names)).encode("ascii")
    while len(text) > LONGEST:
        text = text.rpartition(b" ")[0]
    return text


def read_names(offer: Sequence[bytes]) -> tuple[str, ...] | None:
    """Return the names in an offer, including unknown ones; None if it has no such string.

    Raises:
        ProtocolError: there are two such strings, or one that is too long or not ASCII.
    """
    found = [text for text in offer if text == _WORD or text.startswith(_WORD + b" ")]
    if not found:
        return None
    if len(found) > 1:
        raise ProtocolError(f"the offer names the logins {len(found)} times")
    text = found[0]
    if len(text) > LONGEST:
        raise ProtocolError(f"the logins of the offer have {len(text)} bytes, of {LONGEST}")
    if not text.isascii():
        raise ProtocolError("the logins of the offer are not ASCII")
    return tuple(text.decode("ascii").split(" ")[1:])
