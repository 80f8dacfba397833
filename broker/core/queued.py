"""The kinds of messages in an inbox: which call methods, which wait, which outlive the peer."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from msgspec import Struct

from broker.core.wire.commands import COMMANDS, Order, records
from broker.core.wire.messages import CallMessage, GraphCall, Raw, Received
from broker.core.work import WorkLeft

if TYPE_CHECKING:
    from broker.core.calls.incoming_call import IncomingCall
    from broker.core.calls.plain_calls import CallEntry
    from broker.core.session import Session

__all__ = [
    "CALLS",
    "Barrier",
    "Handlers",
    "Queued",
    "Released",
    "call_in",
    "is_call",
    "outlives",
    "waits",
    "wants_answer",
]

CALLS = records(lambda row: row.is_call)
"""The types of messages that call a local method."""

_OUTLIVES = records(lambda row: row.outlives)
# The commands of those in an expression, for a host that parses expressions itself.
_OUTLIVES_RAW = [[COMMANDS[record].name] for record in _OUTLIVES]
_SENDS = records(lambda row: row.is_one_way)


class Barrier(Struct):
    """Marks the end of the messages that were received before the session began to drain."""


class Released(Struct):
    """A call that has waited for promises, and starts now.

    Attributes:
        message, call: the call, with its target.
        entry: the target, or None if there is no such object.
        pins: objects of this end in its arguments, which were counted once more.
        is_checked: whether the promises among its arguments are known too.
        number: its place among the calls that wait or have waited, by their arrival.
    """

    message: CallMessage
    call: IncomingCall
    entry: CallEntry | None
    pins: list[int]
    is_checked: bool
    number: int


_QUEUED = {Barrier, Released, *records(lambda row: row.order is Order.QUEUED)}
_WITH_THEIR_CALLS = records(lambda row: row.order is Order.WITH_ITS_CALL)
_WITH_THEIR_STREAMS = records(lambda row: row.order is Order.WITH_ITS_STREAM)

Queued: TypeAlias = Received | Barrier | Released

Handlers: TypeAlias = "Mapping[type, Callable[[Session, Any], WorkLeft]]"
"""The handler of each type of message: ``handler(session, message)``."""


def is_call(message: Queued) -> TypeGuard[CallMessage]:
    """Return whether a message calls a method."""
    return type(message) in CALLS


def call_in(message: Queued) -> CallMessage | None:
    """Return the call that a message makes, or None."""
    if isinstance(message, Released):
        return message.message
    return message if is_call(message) else None


def wants_answer(call: CallMessage) -> bool:
    """Return whether a call is not one-way."""
    return call.wants_answer if isinstance(call, GraphCall) else type(call) not in _SENDS


def outlives(message: Queued) -> bool:
    """Return whether a message is still handled after the peer has gone."""
    if isinstance(message, Raw):
        expression = message.expression
        return type(expression) is list and expression[:1] in _OUTLIVES_RAW
    return type(message) in _OUTLIVES


def waits(message: Any, running: Container[object], is_open: Callable[[int], bool]) -> bool:
    """Return whether a message must wait while calls are queued.

    Args:
        message: it was received after the queued calls.
        running: the ids of the running calls.
        is_open: tells whether a stream of the peer, by its number, is open.
    """
    kind = type(message)
    if kind in _WITH_THEIR_STREAMS:
        return not is_open(message.stream)
    return kind in _QUEUED or (kind in _WITH_THEIR_CALLS and message.request_id not in running)
