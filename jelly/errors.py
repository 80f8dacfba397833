"""The errors of jelly and banana: which side is at fault, and what ends.

::

    JellyError
    ├─ EncodeError          a local value cannot be sent: the call fails, no byte is sent
    │  ├─ CannotJelly (TypeError)
    │  └─ TooLarge (ValueError)
    ├─ DecodeError          a value from the peer is not accepted: that call fails
    │  ├─ MalformedJelly (ValueError)
    │  └─ InsecureJelly†
    └─ ProtocolError†       the peer broke the protocol: the connection ends
       └─ BananaError†
          └─ LimitExceeded (ValueError)

† is a published name. Messages name types, sizes and limits, never a peer's value.

A TooLarge and a ProtocolError have three attributes, which ``jelly.limit_errors`` sets: ``limit``
is the name of the setting that was exceeded, ``most`` is its value, and ``got`` is the number that
exceeded it. They are "", None and None if the error has another cause, or if it was made from a
text alone. ``got`` is None, too, if the number is not known. Of a peer's error only TooLarge and
LimitExceeded have them.
"""

from __future__ import annotations

from typing import cast

__all__ = [
    "BananaError",
    "CannotJelly",
    "DecodeError",
    "EncodeError",
    "InsecureJelly",
    "JellyError",
    "LimitExceeded",
    "MalformedJelly",
    "ProtocolError",
    "TooLarge",
]


class JellyError(Exception):
    """Base of all errors that jelly and banana raise on purpose."""


class EncodeError(JellyError):
    """A local value cannot be sent.

    Attributes:
        place: the end of the text, which names the place of the value in a call; or empty.
    """

    # An annotation would be a field of a registered subclass.
    place = ""


class CannotJelly(EncodeError, TypeError):
    """A value has a type that may not be sent, or that the dialect cannot encode.

    Attributes:
        culprit: that value, until its place was determined; then None.
        trail: the path to the value, from the outside to the inside: each container or object, with
            the number of the part that leads on. A key of a dict and its value are two parts. An
            object has one part, its state.
    """

    # Not annotated: annotations would be fields of a registered subclass.
    culprit = cast(object, None)
    trail = cast(tuple[tuple[object, int], ...], ())

    def about(self, culprit: object) -> CannotJelly:
        """Set the value, and return this error."""
        self.culprit = culprit
        return self


class TooLarge(EncodeError, ValueError):
    """A value exceeds a limit that the peer would enforce."""

    limit: str = ""
    most: int | float | None = None
    got: int | float | None = None


class DecodeError(JellyError):
    """A value from the peer cannot be accepted."""


class MalformedJelly(DecodeError, ValueError):
    """An expression that no jellier produces: wrong arity, wrong field type, dangling reference."""


class InsecureJelly(DecodeError):
    """A type that this side does not accept (published)."""


class ProtocolError(JellyError):
    """The peer has violated the protocol (published)."""

    limit = ""
    most = cast("float | None", None)
    got = cast("float | None", None)


class BananaError(ProtocolError):
    """The bytes are not valid banana (published)."""


class LimitExceeded(BananaError, ValueError):
    """A limit is exceeded; the text names the limit."""

    limit: str = ""
    most: int | float | None = None
    got: int | float | None = None
