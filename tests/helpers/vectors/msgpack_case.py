"""How a vector of msgpack/1 is written down: the client's frames, and what must come of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from broker.core.wire.dialects import NONE
from jelly.limits import Limits

__all__ = [
    "CHOICE",
    "NOTHING",
    "VERSION",
    "Case",
    "body",
    "call",
    "frame",
    "framed",
    "graph_call",
    "text",
]


class Case(NamedTuple):
    """One vector.

    Attributes:
        name, about: what it is.
        frames: of the client; several that stand in one item arrive together.
        fate: what must come of it: ``taken``, ``ignored``, ``call: TYPE: text``, ``connection:
            text``.
        state: the state before it: ``opening``, ``before login`` or ``open``.
    """

    name: str
    about: str
    frames: tuple[bytes, ...]
    fate: str = "taken"
    state: str = "open"


def body(*fields: Any) -> bytes:
    """Return an array of msgpack, minimally encoded."""
    return msgspec.msgpack.encode(fields)


def framed(data: bytes) -> bytes:
    """Return a frame with this body."""
    return len(data).to_bytes(4, "big") + data


def frame(*fields: Any) -> bytes:
    """Return a frame of these fields."""
    return framed(body(*fields))


CHOICE = NONE.writer(Limits()).write_expression(b"msgpack/1")
VERSION = frame(0, 6)
NOTHING: list[Any] = [b"dictionary"]
"""The expression of no keywords."""


def call(number: int, name: str, *args: Any, target: Any = "root", **kw: Any) -> bytes:
    """Return a call with plain values."""
    return frame(1, number, target, name, args, kw)


def graph_call(
    number: int, name: str, *args: Any, target: Any = "root", kw: Any = NOTHING, kind: int = 1
) -> bytes:
    """Return a call with the expressions of its arguments."""
    return frame(7, kind, number, target, name, [[b"tuple", *args], kw])


def text(value: str) -> list[bytes]:
    """Return the expression of a text."""
    return [b"unicode", value.encode()]
