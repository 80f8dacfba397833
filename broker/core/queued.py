"""The kinds of messages in an inbox: which call methods, which wait, which outlive the peer."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from msgspec import Struct

from broker.core.wire.commands import COMMANDS, Order, records
from broker.core.wire.messages import CallMessage, GraphCall, Raw, Received
from broker.core.work import WorkLeft

if TYPE_CHECKING:
    from broker.core.session import Session

__all__ = ["CALLS", "Barrier", "Handlers", "Queued", "is_call", "outlives", "waits", "wants_answer"]

CALLS = records(lambda row: row.is_call)
"""The types of messages that call a local method."""

_OUTLIVES = records(lambda row: row.outlives)
# The commands of those in an expression, for a host that parses expressions itself.
_OUTLIVES_RAW = [[COMMANDS[record].name] for record in _OUTLIVES]
_SENDS = records(lambda row: row.is_one_way)


class Barrier(Struct):
    """Marks the end of the messages that were received before the session began to drain."""


_QUEUED = {Barrier, *records(lambda row: row.order is Order.QUEUED)}
_WITH_THEIR_CALLS = records(lambda row: row.order is Order.WITH_ITS_CALL)
_WITH_THEIR_STREAMS = records(lambda row: row.order is Order.WITH_ITS_STREAM)

Queued: TypeAlias = Received | Barrier

Handlers: TypeAlias = "Mapping[type, Callable[[Session, Any], WorkLeft]]"
"""The handler of each type of message: ``handler(session, message)``."""


def is_call(message: Queued) -> TypeGuard[CallMessage]:
    """Return whether a message calls a method."""
    return type(message) in CALLS


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
