"""Streams: the messages about those that this end reads, and about those that it produces.

The items of a stream that this end produces go through an `ItemWriter`, which collects those that
are ready and sends them in one frame. Each frame uses credit; see `broker.core.objects.credit`. The
items that this end reads wait as bytes, and are decoded when the program takes them.
"""

from __future__ import annotations

from typing import Any

from broker.core.events import CallRaised
from broker.core.host import Host
from broker.core.objects.streams import IncomingStream, OutgoingStream
from broker.core.objects.tables import directly
from broker.core.objects.translator import Translator
from broker.core.outbox import Outbox
from broker.core.principal import split_view
from broker.core.stats import Stats
from broker.core.tracer import Outcome
from broker.core.wire.conversion import expression_of
from broker.core.wire.messages import Credit, End, ItemGraph, Items, Piece, Record, Stop
from broker.core.wire.msgpack.items import (
    encode_item,
    frame_size,
    items_of_graph,
    items_of_values,
    joined,
    read_graph,
    read_values,
)
from broker.core.work import call_hook
from broker.limit_errors import limit_error
from jelly.atoms import Expression
from jelly.errors import LimitExceeded, ProtocolError
from jelly.slices import UNFINISHED

__all__ = ["ItemWriter", "Streaming"]

# The bytes of a frame's length.
_LENGTH = 4

MOST_BYTES = 64 * 1024 - 32
"""Most bytes of the items of one frame, unless one item alone is larger."""

MOST_ITEMS = 256
"""Most items of one frame."""


class Streaming:
    """The streams of one session.

    Args:
        host: is told of what the peer does, and shows errors.
        translator: has the tables, and converts items.
        outbox: sends.
        stats: counts the limits that were reached.
        keeps_expressions: whether plain values need an unjellier too.
    """

    __slots__ = ("_host", "_keeps_expressions", "_outbox", "_stats", "_translator")

    def __init__(
        self,
        host: Host,
        translator: Translator,
        outbox: Outbox,
        stats: Stats,
        keeps_expressions: bool,
    ):
        self._stats = stats
        self._keeps_expressions = keeps_expressions
        self._host = host
        self._translator = translator
        self._outbox = outbox

    # Streams that this end produces.

    def writer(self, stream: OutgoingStream) -> ItemWriter:
        """Return what sends the items of a stream."""
        return ItemWriter(stream, self._outbox, self._translator)

    def end(self, stream: OutgoingStream, error: BaseException | None = None) -> None:
        """Send the end of a stream, unless it was sent.

        Args:
            stream: the stream.
            error: ends it in place of a last item.
        """
        if stream.is_ended:
            return
        stream.tell_end(Outcome.ANSWERED if error is None else Outcome.RAISED, error)
        failure: Expression | None = None
        shown, error_id = (None, None) if error is None else self._host.shown_error(error)
        if shown is not None:
            transaction = self._translator.open(principal=stream.principal)
            try:
                failure = self._outbox.jellies.jelly(shown)
            except BaseException:
                self._outbox.roll_back(transaction)
                raise
            self._translator.close(transaction)
        self._forget(stream)
        self._outbox.say(End(stream.number, failure))
        if error is not None:
            self._host.on_event(CallRaised(stream.name, error, error_id))

    def _forget(self, stream: OutgoingStream) -> None:
        stream.is_ended = True
        self._translator.streams.outgoing.pop(stream.number, None)

    def on_credit(self, message: Credit) -> None:
        """Take credit of the reader."""
        if not message.items and not message.size:
            raise ProtocolError("malformed message: a credit of nothing")
        stream = self._translator.streams.read_by_peer(message.stream)
        if stream is not None:
            stream.grant(message.items, message.size)

    def on_stop(self, message: Stop) -> None:
        """End a stream that the reader has stopped; items under way were sent before."""
        stream = self._translator.streams.read_by_peer(message.stream)
        if stream is not None:
            stream.tell_end(Outcome.CANCELLED)
            self.end(stream)
            if stream.producer is not None:
                stream.producer.stop()

    # Streams that this end reads.

    def on_items(self, message: Items) -> None:
        """Keep items."""
        data = bytes(message.items)
        self._arrived(message.stream, Items, data, items_of_values(data), len(data))

    def on_item_graph(self, message: ItemGraph) -> None:
        """Keep items."""
        data = bytes(message.graph)
        count = items_of_graph(data)
        self._arrived(message.stream, ItemGraph, data, count, len(data))

    def on_piece(self, message: Piece) -> None:
        """Keep an item of bytes."""
        size = len(message.data)
        head = 2 if size < 1 << 8 else 3 if size < 1 << 16 else 5
        self._arrived(message.stream, Piece, message.data, 1, head + size)
        streams = self._translator.streams
        stream = streams.incoming[message.stream]
        if not stream.is_large and not stream.is_stopped:
            extra = streams.raise_credit(stream)
            if extra:
                self._outbox.say(Credit(stream.number, 0, extra))

    def _arrived(
        self, number: int, kind: type[Record], data: bytes, count: int, payload: int
    ) -> None:
        streams = self._translator.streams
        stream = streams.made_by_peer(number)
        size = frame_size(number, payload)
        stream.allowance.charge(number, count, size)
        if streams.held + size > streams.most_held and not stream.is_stopped:
            self._refuse(stream, streams.held + size)
        if stream.is_stopped:
            if kind is ItemGraph:
                for _ in self._translator.let_go(read_graph(data)):
                    pass
            return
        stream.count(count, size)
        stream.frames.append((kind, data, count, size))
        stream.held += size
        streams.held += size
        self._tell(stream)

    def _refuse(self, stream: IncomingStream, held: int) -> None:
        """Stop a stream with an error for its reader: the program takes too little."""
        most = self._translator.streams.most_held
        stream.refusal = limit_error(LimitExceeded, "stream_window", most, held)
        self._stats.count_limit(stream.refusal)
        stream.tell_end(Outcome.REFUSED, stream.refusal)
        self.stop(stream)
        self._tell(stream)

    def on_end(self, message: End) -> None:
        """Note that no more items come."""
        streams = self._translator.streams
        stream = streams.made_by_peer(message.stream)
        stream.is_ended, stream.failure = True, message.failure
        stream.tell_end(Outcome.ANSWERED if message.failure is None else Outcome.RAISED)
        if stream.is_stopped or not stream.frames:
            self._translator.forget_stream(stream)
        self._tell(stream)

    def lost(self) -> None:
        """Note that the connection has ended; items that have arrived can still be taken."""
        for produced in list(self._translator.streams.outgoing.values()):
            produced.tell_end(Outcome.LOST)
        for stream in list(self._translator.streams.incoming.values()):
            stream.tell_end(Outcome.LOST)
            stream.is_lost = not stream.is_ended
            stream.is_ended = True
            self._tell(stream)
        self._translator.streams.incoming.clear()

    def _tell(self, stream: IncomingStream) -> None:
        reader = stream.reader
        if reader is not None:
            reader.changed()

    def take(self, stream: IncomingStream) -> list[object] | None:
        """Return the items of the next frame, or None if no frame waits.

        The program has taken all items of the frame before. So its credit is given back.

        Raises:
            ProtocolError: an item is malformed.
            DecodeError: an item is not allowed.
        """
        streams = self._translator.streams
        if stream.taken is not None:
            given = stream.allowance.give_back(*stream.taken)
            stream.taken = None
            if given is not None and not stream.is_ended and not stream.is_stopped:
                self._outbox.say(Credit(stream.number, *given))
        if not stream.frames:
            return None
        kind, data, count, size = stream.frames.popleft()
        stream.held -= size
        streams.held -= size
        stream.taken = count, size
        if stream.is_ended and not stream.frames:
            streams.incoming.pop(stream.number, None)
        return self._read(stream, kind, data)

    def _read(self, stream: IncomingStream, kind: type[Record], data: bytes) -> list[object]:
        if kind is Piece:
            return [data]
        if kind is Items:
            values = read_values(data)
            if not self._keeps_expressions:
                return values
            expression = expression_of(values)
        else:
            expression = read_graph(data)
        seen_by, principal = split_view(stream.view)
        walk = self._translator.unjelly_walk(expression, seen_by)
        enter = directly if principal is None else principal.enter
        items: Any = UNFINISHED
        while items is UNFINISHED:
            items = call_hook(enter, next, walk)
        return items  # type: ignore[no-any-return]

    def failure_of(self, stream: IncomingStream) -> object:
        """Return the error that has ended a stream: what `Host.refused` gets; None without one.

        Raises:
            DecodeError: it is not allowed.
        """
        expression, stream.failure = stream.failure, None
        return None if expression is None else self._translator.unjelly(expression)

    def stop(self, stream: IncomingStream) -> None:
        """Take no more items; the peer is told with the next bytes."""
        if not stream.is_stopped:
            stream.tell_end(Outcome.CANCELLED)
            stream.is_stopped = True
            self._translator.stop_stream(stream)


class ItemWriter:
    """Sends the items of one stream.

    Args:
        stream: the stream.
        outbox, translator: of the session.
    """

    __slots__ = ("_most", "_outbox", "_pieces", "_size", "_stream", "_translator")

    def __init__(self, stream: OutgoingStream, outbox: Outbox, translator: Translator):
        self._stream = stream
        self._outbox = outbox
        self._translator = translator
        self._pieces: list[bytes] = []
        self._size = 0
        # Half of the first credit, so that the reader has one frame while another is under way.
        self._most = max(1, min(MOST_ITEMS, stream.first_items // 2))

    @property
    def is_empty(self) -> bool:
        """Whether no item waits to be sent."""
        return not self._pieces

    @property
    def has_room(self) -> bool:
        """Whether the credit is enough for one more item."""
        credit = self._stream.credit
        return credit.items > len(self._pieces) and credit.size > self._size

    def add(self, item: object) -> bool:
        """Send an item, now or with those behind it; return whether a frame was sent.

        A frame is sent when it is full, and when the credit is used. So there is credit for one
        more item if no frame was sent.

        Raises:
            EncodeError: it cannot be sent. Those before it are sent.
        """
        if type(item) is bytes:
            self.flush()
            self._send(Piece(self._stream.number, item), 1)
            return True
        piece = encode_item(item)
        if piece is None:
            self.flush()
            self._send_graph(item)
            return True
        has_sent = False
        if self._pieces and self._size + len(piece) > MOST_BYTES:
            self.flush()
            has_sent = True
        pieces, credit = self._pieces, self._stream.credit
        pieces.append(piece)
        self._size = size = self._size + len(piece)
        count = len(pieces)
        if (
            count >= self._most
            or size >= MOST_BYTES
            or count >= credit.items
            or size >= credit.size
        ):
            self.flush()
            return True
        return has_sent

    def flush(self) -> None:
        """Send the items that wait."""
        if self._pieces and not self._stream.is_ended:
            pieces, self._pieces, self._size = self._pieces, [], 0
            self._send(joined(self._stream.number, pieces), len(pieces))

    def _send(self, message: Items | Piece, count: int) -> None:
        if not self._stream.is_ended:
            before = self._outbox.unsent.size
            self._outbox.say(message)
            size = self._outbox.unsent.size - before - _LENGTH
            self._stream.credit.take(count, size)
            self._stream.count(count, size)

    def _send_graph(self, item: object) -> None:
        stream, outbox = self._stream, self._outbox
        if stream.is_ended:
            return
        transaction = self._translator.open(
            stream.perspective, stream.name, (), {}, stream.principal
        )
        try:
            graph: Any = outbox.jellies.jelly([item])
            packed = outbox.pack(ItemGraph(stream.number, graph))
        except BaseException:
            outbox.roll_back(transaction)
            raise
        before = outbox.unsent.size
        outbox.commit(transaction, packed)
        size = outbox.unsent.size - before - _LENGTH
        stream.credit.take(1, size)
        stream.count(1, size)
