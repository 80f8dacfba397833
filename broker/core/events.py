"""What a Session tells the room above it, in the order in which it happened.

The outcomes of calls, which are most of it, are told by methods of their own: ``Host.answered`` and
``Host.refused``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

__all__ = [
    "CallAnswered",
    "CallCancelled",
    "CallPending",
    "CallRaised",
    "Event",
    "Misunderstood",
    "PeerLeaves",
    "Ready",
]


class Ready(Struct, frozen=True):
    """The dialect is chosen; calls can be made."""

    dialect: str


class CallPending(Struct, frozen=True):
    """A method of ours returned an awaitable; ``Session.finish`` or ``Session.fail`` is due.

    Attributes:
        ticket: names the call towards the session.
        result: the awaitable.
    """

    ticket: Any
    result: Any


class CallAnswered(Struct, frozen=True):
    """A call whose answer took several turns of the loop to make has been answered."""


class CallCancelled(Struct, frozen=True):
    """The peer waits no longer for a call that is pending.

    Attributes:
        ticket: the call, as CallPending named it.
    """

    ticket: Any


class PeerLeaves(Struct, frozen=True):
    """The peer is about to close the connection.

    Attributes:
        code: one word, such as ``"draining"``.
        text: a sentence for people.
    """

    code: str
    text: str


class CallRaised(Struct, frozen=True):
    """A method of ours raised what its peer could not have meant to see; it has been told already.

    Attributes:
        name: the method.
        error: the exception.
        error_id: what the peer was shown instead of the text, or None.
        one_way_to: the class of the object, where the peer wants no answer and the object was
            found; else None.
        refused: for a call that wants no answer and was not run, how many such there were so far;
            else 0.
    """

    name: str
    error: BaseException
    error_id: str | None
    one_way_to: type | None = None
    refused: int = 0


class Misunderstood(Struct, frozen=True):
    """The peer has no such command."""

    command: str


Event: TypeAlias = (
    Ready | CallPending | CallAnswered | CallCancelled | CallRaised | PeerLeaves | Misunderstood
)
