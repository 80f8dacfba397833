"""The open streams of one connection: those that this end produces, and those that it reads.

A stream is known by a number of its producer, from the counter of objects and caches. A producer
forgets a stream when it has sent its end. A message of the reader may cross that end. So messages
for a number that this end has used are ignored, and others end the connection. A reader keeps a
stream that it has stopped until the producer has sent the end.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterator
from contextvars import Context
from typing import Protocol, TypeAlias

from broker.core.objects.credit import Allowance, Credit
from broker.core.principal import Principal
from broker.core.tracer import Outcome
from broker.core.wire.messages import Record
from broker.core.wire.terms import BASELINE, Taken, Terms
from broker.errors import ServerBusy
from broker.limit_errors import RECEIVED, limit_error
from jelly.atoms import Expression
from jelly.errors import LimitExceeded, MalformedJelly, ProtocolError

__all__ = [
    "Counted",
    "IncomingStream",
    "ItemFrame",
    "OutgoingStream",
    "StreamProducer",
    "StreamReader",
    "Streams",
]

LEAST_HELD = 32 * 1024 * 1024
"""Bytes of items that were not taken, which a connection may hold under any policy."""

LARGE_WINDOW = 1024 * 1024
"""The credit in bytes of a stream of pieces."""

ItemFrame: TypeAlias = tuple[type[Record], bytes, int, int]
"""Items that wait: the class of their message, their bytes, their number, and the frame's size."""


class StreamReader(Protocol):
    """The reader of a stream, in the layer above."""

    def changed(self) -> None:
        """Look for items again, or for the end."""
        ...


class StreamProducer(Protocol):
    """What makes the items of a stream, in the layer above."""

    def credited(self) -> None:
        """Go on: the reader takes more."""
        ...

    def stop(self) -> None:
        """End: the reader takes no more."""
        ...


class Counted:
    """What is counted of a stream, and who is told of its end.

    Attributes:
        passed_items, passed_bytes: items that were sent or have arrived, and their bytes.
        on_ended: called once with the Outcome and the error, or None; or None.
    """

    __slots__ = ("on_ended", "passed_bytes", "passed_items")

    def __init__(self) -> None:
        self.passed_items = self.passed_bytes = 0
        self.on_ended: Callable[[Outcome, object], object] | None = None

    def count(self, items: int, size: int) -> None:
        """Count the items of a frame."""
        self.passed_items += items
        self.passed_bytes += size

    def tell_end(self, outcome: Outcome, error: object = None) -> None:
        """Tell of the end; not twice."""
        told, self.on_ended = self.on_ended, None
        if told is not None:
            told(outcome, error)


class OutgoingStream(Counted):
    """A stream that this end produces.

    Attributes:
        number: its number.
        items: what it is made of.
        size: the number of items, or of bytes where the items are bytes; None if it is not known.
        name: of the method that was called, for the log.
        credit: what the reader takes.
        first_items: the first credit in items.
        context: the context variables of the code that makes the items.
        perspective, principal: for whom items are sent; see `broker.core.principal`.
        producer: what makes the items, in the layer above; None until it has begun.
        is_ended: the end was sent, or the reader has stopped it.
    """

    __slots__ = (
        "__weakref__",
        "context",
        "credit",
        "first_items",
        "is_ended",
        "items",
        "name",
        "number",
        "perspective",
        "principal",
        "producer",
        "size",
    )

    def __init__(
        self,
        number: int,
        items: AsyncIterable[object],
        size: int | None,
        name: str,
        credit: Credit,
    ):
        super().__init__()
        self.number = number
        self.items = items
        self.size = size
        self.name = name
        self.credit = credit
        self.first_items = credit.items
        self.context: Context | None = None
        self.perspective: object = None
        self.principal: Principal | None = None
        self.producer: StreamProducer | None = None
        self.is_ended = False

    def grant(self, items: int, size: int) -> None:
        """Take credit of the reader, and let the producer go on; the numbers may be negative."""
        self.credit.add(items, size)
        if self.producer is not None:
            self.producer.credited()


class IncomingStream(Counted):
    """A stream that this end reads.

    Attributes:
        number: its number.
        size: the number of items or bytes that the producer has told, or None.
        view: for whom its items are decoded; see `broker.core.principal`.
        allowance: the credit that the producer has.
        frames: items that arrived and are not decoded.
        held: the bytes of these frames.
        failure: the error that the producer has raised, as an expression, or None.
        refusal: why this end has stopped it, for its reader; None without an error.
        is_ended: the end has come.
        is_lost: the connection has ended before the stream.
        is_stopped: this end wants no more items.
        taken: the number and the bytes of the items that the program is taking, or None.
        is_large: it has got the credit of a stream of pieces.
        reader: the reader in the layer above, or None.
    """

    __slots__ = (
        "__weakref__",
        "_reader",
        "allowance",
        "failure",
        "frames",
        "held",
        "is_ended",
        "is_large",
        "is_lost",
        "is_stopped",
        "number",
        "refusal",
        "size",
        "taken",
        "view",
    )

    def __init__(self, number: int, size: int | None, view: object, allowance: Allowance):
        super().__init__()
        self.number = number
        self.size = size
        self.view = view
        self.allowance = allowance
        self.frames: deque[ItemFrame] = deque()
        self.held = 0
        self.failure: Expression | None = None
        self.refusal: LimitExceeded | None = None
        self.is_ended = False
        self.is_stopped = False
        self.is_large = self.is_lost = False
        self.taken: tuple[int, int] | None = None
        self._reader: Callable[[], StreamReader | None] = _no_reader

    @property
    def reader(self) -> StreamReader | None:
        """The reader; the stream does not keep it alive."""
        return self._reader()

    @reader.setter
    def reader(self, reader: StreamReader) -> None:
        self._reader = weakref.ref(reader)


def _no_reader() -> None:
    """Return None."""


def _least(usual: tuple[int, int], first: tuple[int, int] | None) -> tuple[int, int]:
    return usual if first is None else (min(usual[0], first[0]), min(usual[1], first[1]))


class Streams:
    """The open streams of one connection.

    Args:
        next_number: returns the next number of this end.
        mine: what this end takes of the streams of its peer.
        terms: what the peer takes; the baseline until its terms have come.

    Attributes:
        terms: as given, or the terms that have come.
        outgoing: the streams that this end produces, by number, until their end is sent.
        incoming: the streams that this end reads, by number, until their last item is taken.
        held: bytes of items that arrived and were not taken.
        most_held: most of these bytes. A peer that sends no large items cannot exceed this number.
    """

    __slots__ = (
        "_last",
        "_mine",
        "_next_number",
        "held",
        "incoming",
        "most_held",
        "outgoing",
        "terms",
    )

    def __init__(self, next_number: Callable[[], int], mine: Taken, terms: Terms):
        self.terms = terms
        self.outgoing: dict[int, OutgoingStream] = {}
        self.incoming: dict[int, IncomingStream] = {}
        self.held = 0
        self.most_held = max(2 * mine.streams * mine.window, LEAST_HELD)
        self._next_number = next_number
        self._mine = mine
        self._last = 0

    def __iter__(self) -> Iterator[OutgoingStream | IncomingStream]:
        yield from self.outgoing.values()
        yield from self.incoming.values()

    def take_terms(self, terms: Terms) -> None:
        """Use the terms of the peer, also for the streams that were opened before they came."""
        before, self.terms = self.terms, terms
        for stream in list(self.outgoing.values()):
            stream.grant(terms.items - before.items, terms.window - before.window)

    def open(
        self,
        items: AsyncIterable[object],
        size: int | None,
        name: str,
        first: tuple[int, int] | None = None,
    ) -> OutgoingStream:
        """Open a stream to the peer, which may ask for less than its usual credit.

        Raises:
            ServerBusy: too many are open.
        """
        terms = self.terms
        most = min(terms.streams, self._mine.streams)
        if len(self.outgoing) >= most:
            raise limit_error(ServerBusy, "max_streams", most)
        credit = Credit(*_least((terms.items, terms.window), first))
        stream = OutgoingStream(self._next_number(), items, size, name, credit)
        self._last = stream.number
        self.outgoing[stream.number] = stream
        return stream

    def receive(
        self, number: int, size: int | None, view: object, first: tuple[int, int] | None = None
    ) -> IncomingStream:
        """Take a stream of the peer, which got a first credit if its call asked for one.

        Raises:
            MalformedJelly: its number is in use.
            LimitExceeded: too many are open, or too many bytes of others were not taken. The stream
                is in the table, to be stopped.
        """
        if number in self.incoming:
            raise MalformedJelly(f"stream {number} is open already")
        mine = self._mine
        stream = self.incoming[number] = IncomingStream(number, size, view, self._allowance(first))
        if self._count > mine.streams or self.held > self.most_held:
            stream.is_stopped = True
            raise limit_error(LimitExceeded, "max_streams", mine.streams, what=RECEIVED)
        return stream

    @property
    def _count(self) -> int:
        """The streams whose end has not come."""
        return sum(not each.is_ended for each in self.incoming.values())

    def _allowance(self, first: tuple[int, int] | None = None) -> Allowance:
        mine = self._mine
        given = _least((mine.items, mine.window), first)
        # A producer that has not read the terms of this end begins with the baseline.
        return Allowance(*given, *_least((BASELINE.items, BASELINE.window), first))

    def refuse(self, number: int) -> bool:
        """Take a stream that is not read; return whether it is new, and so must be stopped.

        Raises:
            ProtocolError: the peer has opened twice as many streams as it may.
        """
        if number in self.incoming:
            return False
        most = 2 * max(self._mine.streams, BASELINE.streams)
        if self._count > most:
            raise limit_error(ProtocolError, "max_streams", most, what=RECEIVED)
        stream = IncomingStream(number, None, None, self._allowance())
        stream.is_stopped = True
        self.incoming[number] = stream
        return True

    def raise_credit(self, stream: IncomingStream) -> int:
        """Give more bytes to a stream of pieces, if there is room; return how many, or 0."""
        mine = self._mine
        extra = LARGE_WINDOW - mine.window
        given = sum(
            LARGE_WINDOW if each.is_large else mine.window
            for each in self.incoming.values()
            if not each.is_ended
        )
        if extra <= 0 or given + extra > mine.streams * mine.window:
            return 0
        stream.is_large = True
        stream.allowance.raise_by(extra)
        return extra

    def read_by_peer(self, number: int) -> OutgoingStream | None:
        """Return the stream that a message of its reader is about; None if it has ended.

        Raises:
            ProtocolError: this end has opened no stream with that number.
        """
        stream = self.outgoing.get(number)
        if stream is None and not 0 < number <= self._last:
            raise ProtocolError(f"stream {number} is not open")
        return stream

    def made_by_peer(self, number: int) -> IncomingStream:
        """Return the stream that a message of its producer is about.

        Raises:
            ProtocolError: it is not open.
        """
        stream = self.incoming.get(number)
        if stream is None or stream.is_ended:
            raise ProtocolError(f"stream {number} is not open")
        return stream

    def forget(self, stream: IncomingStream) -> None:
        """Drop what was not taken of a stream; remove it if its end has come."""
        self.held -= stream.held
        stream.held = 0
        stream.frames.clear()
        if stream.is_ended:
            self.incoming.pop(stream.number, None)
