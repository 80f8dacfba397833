"""User names and passwords as str or bytes: a str stands for its UTF-8 bytes.

Both forms are welcome wherever a user name or password is given, so that ``"alice"`` and
``b"alice"`` are one user. This module is the only place in `cred` that tells them apart.
"""

from __future__ import annotations

import hmac
from typing import TypeAlias

__all__ = ["Text", "as_given", "other_form", "same_octets", "shown", "to_octets"]

Text: TypeAlias = str | bytes


def shown(text: object, most: int = 300) -> str:
    """Return an error's text, or a user's name, as one printable line of at most ``most`` bytes."""
    # Not before it is needed: it loads jelly.
    from broker.printable import printable, text_of_value

    return printable(text_of_value(text, most + 1), most, is_ascii=False)


def to_octets(text: object) -> bytes:
    """Return the bytes of a user name or password.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if isinstance(text, str):
        # A lone surrogate has no UTF-8 form; such a name must be unknown, not an error of its own.
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text, bytes):
        return text
    raise TypeError(f"a user name or password is str or bytes, not {type(text).__name__}")


def as_given(text: object) -> Text:
    """Return a user name or password in the form in which it was given, as a plain str or bytes.

    What is a str or bytes of a subclass crosses no connection as it is.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if isinstance(text, str):
        return str.__str__(text)
    return bytes(to_octets(text))


def other_form(text: Text) -> Text | None:
    """Return the bytes that a str stands for, or the str that stands for bytes.

    It is None for bytes that no str stands for.
    """
    if isinstance(text, str):
        return to_octets(text)
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def same_octets(secret: object, offered: object) -> bool:
    """Return whether both stand for the same bytes; False for what is neither str nor bytes.

    The time taken depends on the length of `offered` only, so that it tells nothing about `secret`.
    """
    try:
        # compare_digest runs over its second argument, also when the lengths differ.
        return hmac.compare_digest(to_octets(secret), to_octets(offered))
    except TypeError:
        return False
