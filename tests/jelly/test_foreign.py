"""What Twisted's jelly would send by a hook of the object's own, ours sends by that hook."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.spread import jelly as twisted_jelly
from twisted.spread import pb as twisted_pb
from zope.interface import implementer

import jelly
from jelly.errors import CannotJelly
from jelly.foreign import has_jelly_hook
from jelly.interfaces import IJellyable


class Seat(twisted_pb.Copyable):  # type: ignore[misc]
    """A copy, as a program that was not moved has it."""

    def __init__(self, row: bytes):
        self.row = row


class Hall(twisted_pb.Cacheable):  # type: ignore[misc]
    """A cache, as a program that was not moved has it."""


@implementer(twisted_jelly.IJellyable)
class Stamp:
    """No flavor, and a hook that returns a tuple, which Twisted's Referenceable does too."""

    def jellyFor(self, jellier: Any) -> Any:
        """Return an expression."""
        return b"stamp", jellier.jelly([b"ink"])


@implementer(IJellyable)
class Ours:
    """The same, of ours."""


def test_whose_hooks_count() -> None:
    """Objects of both worlds have hooks; classes of them, and other objects, have not."""
    assert [has_jelly_hook(each) for each in (Ours(), Seat(b"C"), Stamp())] == [True] * 3
    assert [has_jelly_hook(each) for each in (Seat, object(), 3)] == [False] * 3


def test_a_hook_is_asked() -> None:
    """A hook's expression is what is sent, and shared where the object is met again."""
    assert jelly.jelly([Stamp()]) == [b"list", (b"stamp", [b"list", b"ink"])]
    seat = Seat(b"C")
    name = f"{__name__}.Seat".encode()
    state = [b"dictionary", [[b"unicode", b"row"], b"C"]]
    assert jelly.jelly([seat, seat]) == [
        b"list",
        [b"reference", 1, [name, state]],
        [b"dereference", 1],
    ]


def test_a_cacheable_of_twisteds_is_refused() -> None:
    """It says whose it is, and where the other kind is."""
    with pytest.raises(CannotJelly, match=r"Hall is a Cacheable of Twisted's.*broker\.pb"):
        jelly.jelly([Hall()])
