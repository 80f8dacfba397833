"""User names and passwords as str or bytes: a str means its UTF-8 bytes.

Every user name and password may be of either type, so that ``"alice"`` and ``b"alice"`` are one
user. Only this module of `cred` distinguishes the two.
"""

from __future__ import annotations

import hmac
from typing import TypeAlias

__all__ = ["Text", "as_given", "other_form", "same_octets", "shown", "to_octets"]

Text: TypeAlias = str | bytes


def shown(text: object, most: int = 300) -> str:
    """Return an error text or a user name as one printable line of at most ``most`` bytes."""
    # Imported late, since it loads jelly.
    from broker.printable import printable, text_of_value

    return printable(text_of_value(text, most + 1), most, is_ascii=False)


def to_octets(text: object) -> bytes:
    """Return the bytes of a user name or password.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if isinstance(text, str):
        # A lone surrogate has no UTF-8 form; such a name must be an unknown user, not an error.
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text, bytes):
        return text
    raise TypeError(f"a user name or password is str or bytes, not {type(text).__name__}")


def as_given(text: object) -> Text:
    """Return a user name or password as a str or bytes, of the same type as the argument.

    An instance of a subclass is converted, since it cannot be sent.

    Raises:
        TypeError: it is neither str nor bytes.
    """
    if isinstance(text, str):
        return str.__str__(text)
    return bytes(to_octets(text))


def other_form(text: Text) -> Text | None:
    """Return the bytes of a str, or the str of bytes.

    Return None for bytes without a str.
    """
    if isinstance(text, str):
        return to_octets(text)
    try:
        return text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def same_octets(secret: object, offered: object) -> bool:
    """Return whether both mean the same bytes; False for a value that is neither str nor bytes.

    The time depends on the length of `offered` only, so that it tells nothing about `secret`.
    """
    try:
        # compare_digest reads its whole second argument, even if the lengths differ.
        return hmac.compare_digest(to_octets(secret), to_octets(offered))
    except TypeError:
        return False
