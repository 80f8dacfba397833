"""The table of messages: one row for each record, with everything that its handling depends on.

All other tables of messages are made from this one: the frames of ``msgpack/1``, the parser of PB's
expressions, the order of the inbox, and what a peer may send before a login. To add a message,
write its record in ``messages``, its row here, and its handler in ``core.calls.handlers``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from broker.core.wire import fields, messages
from broker.core.wire.messages import Record
from jelly.atoms import Expression

__all__ = ["COMMANDS", "Command", "Content", "Early", "Feature", "Order", "number_of", "records"]


class Feature(Enum):
    """What a dialect can have beyond PB."""

    # That of an Enum is a Python function, which takes ten times as long.
    __hash__ = object.__hash__

    CANCEL = 1
    PING = 2
    GOODBYE = 3
    DEADLINE = 4  # of a call
    COUNT = 5  # of a Decref or Decache
    TERMS = 6  # in a Version
    META = 7  # in a call
    PROMISES = 8  # as the target of a call
    STREAMS = 9
    DRAINING = 10
    ZONES = 11  # of a datetime


class Content(Enum):
    """What the fields of a message contain."""

    NOTHING = 1  # neither arguments nor results
    VALUES = 2  # plain values, see ``wire.values``
    GRAPH = 3  # expressions


class Order(Enum):
    """Whether a message waits while the peer's calls are queued."""

    AT_ONCE = 1
    QUEUED = 2
    WITH_ITS_CALL = 3  # queued if the call that it names is queued
    WITH_ITS_STREAM = 4  # queued if the call that opens its stream is queued


class Early(Enum):
    """Whether a message is accepted before the peer has logged in."""

    REFUSED = 1
    LOGIN = 2  # if the gate accepts it as a call of a login
    ACCEPTED = 3


class Command(Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes:
        record: the class of the message.
        name: its command in PB's dialects, or None.
        form: name and fields, for the error about a message that does not fit.
        checks: the checks of the fields in PB's dialects. Empty if PB has no such message, and for
            the messages with plain values: in PB's dialects their content is always expressions.
        feature: what a dialect must have to send it, or None.
        content: what its fields contain.
        graph: for a message with values, the record with expressions instead.
        is_call: whether it calls a method.
        is_one_way: whether it never has an answer. A graph call has a field for that.
        order: whether it waits while calls are queued.
        outlives: whether it is still handled after the peer has closed the connection.
        before_version: whether it is accepted before the peer's version.
        before_login: whether it is accepted before the peer has logged in.
    """

    record: type[Record]
    name: bytes | None = None
    form: str = ""
    checks: tuple[Callable[[Expression], object], ...] = ()
    feature: Feature | None = None
    content: Content = Content.NOTHING
    graph: type[Record] | None = None
    is_call: bool = False
    is_one_way: bool = False
    order: Order = Order.AT_ONCE
    outlives: bool = False
    before_version: bool = False
    before_login: Early = Early.REFUSED

    @property
    def number(self) -> int | None:
        """The number of its frame in ``msgpack/1``, or None; a graph has none of its own."""
        tag = self.record.__struct_config__.tag
        return tag if isinstance(tag, int) else None


def _by_record(*rows: Command) -> dict[type[Record], Command]:
    return {row.record: row for row in rows}


_CALL = (fields.number, fields.object_id, fields.text, fields.flag, fields.graph, fields.graph)
_CALL_TO_CACHE = (fields.number, fields.number, *_CALL[2:])


def _from_producer(record: type[Record]) -> Command:
    """Return the row of a message that the producer of a stream sends."""
    return Command(
        record=record, feature=Feature.STREAMS, order=Order.WITH_ITS_STREAM, outlives=True
    )


COMMANDS = _by_record(
    Command(
        record=messages.Version,
        name=b"version",
        form="version(number)",
        checks=(fields.signed,),
        before_version=True,
        before_login=Early.ACCEPTED,
    ),
    Command(
        record=messages.DidNotUnderstand,
        name=b"didNotUnderstand",
        form="didNotUnderstand(command)",
        checks=(fields.word,),
    ),
    Command(
        record=messages.PlainCall,
        name=b"message",
        content=Content.VALUES,
        graph=messages.GraphCall,
        is_call=True,
        order=Order.QUEUED,
        before_login=Early.LOGIN,
    ),
    Command(
        record=messages.PlainSend,
        name=b"message",
        content=Content.VALUES,
        graph=messages.GraphCall,
        is_call=True,
        is_one_way=True,
        order=Order.QUEUED,
        before_login=Early.LOGIN,
    ),
    Command(
        record=messages.PlainCallToCache,
        name=b"cachemessage",
        content=Content.VALUES,
        graph=messages.GraphCallToCache,
        is_call=True,
        order=Order.QUEUED,
    ),
    Command(
        record=messages.PlainSendToCache,
        name=b"cachemessage",
        content=Content.VALUES,
        graph=messages.GraphCallToCache,
        is_call=True,
        is_one_way=True,
        order=Order.QUEUED,
    ),
    Command(
        record=messages.PlainAnswer,
        name=b"answer",
        content=Content.VALUES,
        graph=messages.GraphAnswer,
        outlives=True,
    ),
    Command(
        record=messages.PlainTuple,
        name=b"answer",
        content=Content.VALUES,
        graph=messages.GraphAnswer,
        outlives=True,
    ),
    Command(
        record=messages.GraphCall,
        name=b"message",
        form="message(id, object, name, answer, args, kwargs)",
        checks=_CALL,
        content=Content.GRAPH,
        is_call=True,
        order=Order.QUEUED,
        before_login=Early.LOGIN,
    ),
    Command(
        record=messages.GraphCallToCache,
        name=b"cachemessage",
        form="cachemessage(id, cache, name, answer, args, kwargs)",
        checks=_CALL_TO_CACHE,
        content=Content.GRAPH,
        is_call=True,
        order=Order.QUEUED,
    ),
    Command(
        record=messages.GraphAnswer,
        name=b"answer",
        form="answer(id, value)",
        checks=(fields.number, fields.graph),
        content=Content.GRAPH,
        outlives=True,
    ),
    Command(
        record=messages.GraphError,
        name=b"error",
        form="error(id, failure)",
        checks=(fields.number, fields.graph),
        content=Content.GRAPH,
        outlives=True,
    ),
    Command(
        record=messages.Decref,
        name=b"decref",
        form="decref(object)",
        checks=(fields.object_id,),
        order=Order.QUEUED,
        before_login=Early.ACCEPTED,
    ),
    Command(
        record=messages.Decache,
        name=b"decache",
        form="decache(cache)",
        checks=(fields.number,),
        order=Order.QUEUED,
    ),
    Command(
        record=messages.Uncache,
        name=b"uncache",
        form="uncache(cache)",
        checks=(fields.number,),
        order=Order.QUEUED,
    ),
    Command(
        record=messages.Cancel,
        feature=Feature.CANCEL,
        order=Order.WITH_ITS_CALL,
        before_login=Early.ACCEPTED,
    ),
    Command(record=messages.Ping, feature=Feature.PING, before_login=Early.ACCEPTED),
    Command(record=messages.Pong, feature=Feature.PING, before_login=Early.ACCEPTED),
    Command(
        record=messages.Goodbye,
        feature=Feature.GOODBYE,
        outlives=True,
        before_login=Early.ACCEPTED,
    ),
    Command(record=messages.Draining, feature=Feature.DRAINING),
    Command(record=messages.Credit, feature=Feature.STREAMS),
    *map(_from_producer, (messages.Items, messages.ItemGraph, messages.Piece, messages.End)),
    Command(record=messages.Stop, feature=Feature.STREAMS),
    Command(record=messages.Home, feature=Feature.PROMISES, outlives=True),
)
"""The rows, by record."""


def records(fits: Callable[[Command], bool]) -> frozenset[type[Record]]:
    """Return the records of the rows for which ``fits(row)`` is true."""
    return frozenset(record for record, row in COMMANDS.items() if fits(row))


def number_of(record: type[Record]) -> int:
    """Return the number of a message in ``msgpack/1``.

    Raises:
        KeyError: that dialect has no frame of its own for this message.
    """
    number = COMMANDS[record].number
    if number is None:
        raise KeyError(record)
    return number
