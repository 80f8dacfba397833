"""The errors of jelly and banana: who is at fault, and what dies of it.

::

    JellyError
    ├─ EncodeError          a value of ours cannot go out: the call fails, nothing is written
    │  ├─ CannotJelly (TypeError)
    │  └─ TooLarge (ValueError)
    ├─ DecodeError          a value of the peer's may not come in: that call fails
    │  ├─ MalformedJelly (ValueError)
    │  └─ InsecureJelly†
    └─ ProtocolError†       the peer broke the protocol: the connection ends
       └─ BananaError†
          └─ LimitExceeded (ValueError)

† is a published name. Messages name types, sizes and limits, never a peer's value.
"""

from __future__ import annotations

from typing import Any, cast

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
    """Base of everything that jelly and banana raise on purpose."""


class EncodeError(JellyError):
    """A value of ours cannot be sent."""


class CannotJelly(EncodeError, TypeError):
    """A value of a type that may not go out, or that the dialect cannot carry.

    Attributes:
        culprit: that value, where the error is on its way to whoever looks for its place; or None.
        trail: where it stands: the container or object that it is in, with the number of its part,
            and before that what this is in. A key of a dict counts as a part, and so does its
            value. An object has one part, its state.
    """

    # Annotations would be fields of a registered subclass.
    culprit = cast(Any, None)
    trail = cast(tuple[tuple[Any, int], ...], ())

    def about(self, culprit: Any) -> CannotJelly:
        """Note which value it is, and return this error."""
        self.culprit = culprit
        return self


class TooLarge(EncodeError, ValueError):
    """A value beyond a limit that the peer would enforce."""


class DecodeError(JellyError):
    """A value of the peer's cannot be accepted."""


class MalformedJelly(DecodeError, ValueError):
    """An expression that no jellier produces: wrong arity, wrong field type, dangling reference."""


class InsecureJelly(DecodeError):
    """A type that this side does not accept (published)."""


class ProtocolError(JellyError):
    """The peer sent what the protocol does not allow here (published)."""


class BananaError(ProtocolError):
    """Bytes that are no banana (published)."""


class LimitExceeded(BananaError, ValueError):
    """More of something than a limit allows; the text names the limit."""
