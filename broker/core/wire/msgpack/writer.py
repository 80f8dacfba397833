"""The writer of msgpack/1: encodes messages to frames; see ``core.wire.msgpack.reader``.

Plain values (``core.wire.values``) are encoded directly. Other values are encoded as a *graph*: the
expression that a jellier makes of them, of lists, bytes, ints and floats.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import msgspec
from msgspec.structs import replace

from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import number_of
from broker.core.wire.conversion import small_expression
from broker.core.wire.expressions import parse
from broker.core.wire.messages import (
    ObjectId,
    Piece,
    PlainAnswer,
    PlainSend,
    PlainSendToCache,
    PlainTuple,
    Record,
    Target,
)
from broker.core.wire.msgpack.frames import GRAPH, frame_of, has_frame, target_of
from broker.core.wire.msgpack.items import LARGEST_HEAD, framed_piece
from broker.core.wire.msgpack.nodes import checked, most_unchecked
from broker.core.wire.terms import Terms
from broker.core.wire.values import PLAIN_SCALARS, are_plain
from broker.limit_errors import limit_error
from jelly.atoms import Expression
from jelly.errors import CannotJelly, LimitExceeded, TooLarge
from jelly.jellier import Jellier
from jelly.limit_errors import SENT, as_kind
from jelly.limits import Limits
from jelly.slices import UNFINISHED, Walk, finish

__all__ = ["FrameWriter"]

# The encoder's errors for values that are not plain: OverflowError for an int of more than 64 bits,
# UnicodeEncodeError for a lone surrogate.
_NOT_PLAIN = (OverflowError, UnicodeEncodeError)
_pack_length = Struct(">I").pack
# Most values of an answer that is encoded in one step. A larger one is jellied, in slices.
_MOST_AT_ONCE = 20_000
_ANSWER, _TUPLE = number_of(PlainAnswer), number_of(PlainTuple)
# By the number of a one-way call: an array of six, the number, and 0 as the request id.
_ONE_WAY = number_of(PlainSend), number_of(PlainSendToCache)
_BROADCAST_HEADS = {number: bytes([0x96, number, 0]) for number in _ONE_WAY}
# The same with expressions: an array of six, the number of graphs, the kind, and the request id.
_GRAPH_HEADS = {number: bytes([0x96, GRAPH, number, 0]) for number in _ONE_WAY}


class FrameWriter:
    """Encodes messages as frames, with the limits that the peer's reader will enforce.

    Args:
        limits: of this end.
        terms: of the peer; None if they do not matter.

    Attributes:
        most_unchecked: the length up to which a frame cannot exceed a limit.
    """

    __slots__ = ("_encode", "_limits", "_most_frame", "_most_nodes", "most_unchecked")

    def __init__(self, limits: Limits, terms: Terms | None = None):
        # The terms of the peer, where they are less than the limits of this end; else None.
        self._most_frame = self._most_nodes = None
        if terms is not None and terms.frame < limits.max_expression:
            self._most_frame = terms.frame
            limits = replace(limits, max_expression=terms.frame)
        if terms is not None and terms.nodes < limits.max_nodes:
            self._most_nodes = terms.nodes
            limits = replace(limits, max_nodes=terms.nodes)
        self._limits = limits
        self.most_unchecked = most_unchecked(limits)
        self._encode = msgspec.msgpack.Encoder().encode

    def call(
        self,
        number: int,
        request_id: int,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        deadline: int | None,
        meta: dict[str, str] | None = None,
    ) -> bytes | None:
        """Return the frame of a call, or None if its values need a jellier.

        Args:
            number: of the message, a call with plain values.
            request_id, object_id, name, args, kw, deadline, meta: see ``messages.PlainCall``.

        Raises:
            TooLarge: the call exceeds a limit.
        """
        values: tuple[object, ...] = (*args, *kw.values()) if kw else args
        for value in values:
            if type(value) not in PLAIN_SCALARS:
                if type(value) is bytes or not are_plain(values):
                    head = number, request_id, object_id, name
                    return self._small_call(*head, args, kw, deadline, meta)
                break
        target = object_id.decode("utf-8") if type(object_id) is bytes else object_id
        try:
            if meta is not None:
                frame = (number, request_id, target, name, args, kw, deadline, meta)
                body = self._encode(frame)
            elif deadline is None:
                body = self._encode((number, request_id, target, name, args, kw))
            else:
                body = self._encode((number, request_id, target, name, args, kw, deadline))
        except _NOT_PLAIN:
            return None
        return self._framed(body)

    def broadcast(self, object_id: ObjectId, broadcast: Broadcast, number: int) -> bytes | None:
        """Return the frame of a broadcast, or None if its values need a jellier.

        Args:
            object_id: of the object, or of the cache.
            broadcast: the call.
            number: of the message: that of a PlainSend or of a PlainSendToCache.

        Raises:
            TooLarge: the call exceeds a limit.
        """
        key = FrameWriter, number, object_id
        if broadcast.last_key == key and len(broadcast.last) <= self.most_unchecked:
            return broadcast.last
        tail, heads = broadcast.tail(FrameWriter, self._tail_of), _BROADCAST_HEADS
        if tail is None:
            if not broadcast.is_data:
                return None
            tail, heads = broadcast.tail(GRAPH, self._graph_of) or b"", _GRAPH_HEADS
        head, target = heads[number], self._encode(target_of(object_id))
        size = len(head) + len(target) + len(tail)
        if size > self.most_unchecked:
            return self._framed(b"".join((head, target, tail)))
        frame = b"".join((_pack_length(size), head, target, tail))
        broadcast.keep(key, frame)
        return frame

    def answer(self, request_id: int, value: Any) -> bytes | None:
        """Return the frame of an answer, or None if its value needs a jellier.

        Raises:
            TooLarge: the answer exceeds a limit.
        """
        kind = type(value)
        frame: object = (_TUPLE if kind is tuple else _ANSWER, request_id, value)
        if kind not in PLAIN_SCALARS and not are_plain(
            value if kind is tuple else (value,), _MOST_AT_ONCE
        ):
            small = small_expression(value)
            if small is None:
                return None
            frame = (GRAPH, _ANSWER, request_id, 0, "", small)
        try:
            body = self._encode(frame)
        except _NOT_PLAIN:
            return None
        return self._framed(body)

    def write(self, message: Record) -> bytes:
        """Return the frame of a message.

        Raises:
            TooLarge: the message exceeds a limit.
            CannotJelly: a str has no UTF-8 form.
        """
        if type(message) is Piece and len(message.data) + LARGEST_HEAD <= self.most_unchecked:
            return framed_piece(message.stream, message.data)
        return self._framed(self._encoded(frame_of(message)))

    def write_expression(self, expression: Expression) -> bytes:
        """Return the frame of a message that is given as PB's expression; see :meth:`write`.

        Raises:
            ProtocolError: the expression is not a message of PB.
            CannotJelly: this dialect does not have the message.
        """
        message = parse(expression)
        if not has_frame(message):
            raise CannotJelly("msgpack/1 has no message with this command")
        return self.write(message)

    def walk(self, message: Record, consumes: bool) -> Walk[bytes]:
        """Like :meth:`write`, as a walk of ``jelly.slices``."""
        body = self._encoded(frame_of(message))
        del message
        if len(body) > self.most_unchecked:
            check = self._check(body)
            while next(check) is UNFINISHED:
                yield UNFINISHED
        yield _pack_length(len(body)) + body

    def _encoded(self, frame: object) -> bytes:
        try:
            return self._encode(frame)
        except OverflowError:
            return self._encode(_narrow(frame, self._limits.max_prefix))
        except UnicodeEncodeError:
            raise CannotJelly("str with a lone surrogate has no UTF-8 form") from None

    def _tail_of(self, broadcast: Broadcast) -> bytes | None:
        args, kw = broadcast.args, broadcast.kw
        if not are_plain((*args, *kw.values())):
            return None
        try:
            return b"".join(map(self._encode, (broadcast.name, args, kw)))
        except _NOT_PLAIN:
            return None

    def _graph_of(self, broadcast: Broadcast) -> bytes:
        """Return the tail of a frame with the expressions of the values."""
        make = Jellier(limits=self._limits, has_zones=True).jelly
        graph = make(broadcast.args), make(broadcast.kw)
        try:
            body = self._encode(graph)
        except OverflowError:
            body = self._encode(_narrow(graph, self._limits.max_prefix))
        return self._encode(broadcast.name) + body

    def _small_call(
        self,
        number: int,
        request_id: int,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        deadline: int | None,
        meta: dict[str, str] | None,
    ) -> bytes | None:
        small = None if kw else small_expression(args)
        if small is None:
            return None
        target = object_id.decode("utf-8") if type(object_id) is bytes else object_id
        frame: tuple[object, ...]
        frame = (GRAPH, number, request_id, target, name, (small, [b"dictionary"]))
        if meta is not None:
            frame = (*frame, deadline, meta)
        elif deadline is not None:
            frame = (*frame, deadline)
        try:
            body = self._encode(frame)
        except _NOT_PLAIN:
            return None
        return self._framed(body)

    def _framed(self, body: bytes) -> bytes:
        size = len(body)
        if size > self.most_unchecked:
            finish(self._check(body))
        return _pack_length(size) + body

    def _check(self, body: bytes) -> Walk[None]:
        limits, size = self._limits, len(body)
        if size > limits.max_expression:
            if self._most_frame is not None:
                raise limit_error(TooLarge, "frame", self._most_frame, size)
            raise limit_error(TooLarge, "max_expression", limits.max_expression, size, SENT)
        try:
            yield from checked(memoryview(body), limits)
        except LimitExceeded as error:
            if error.limit == "max_nodes" and self._most_nodes is not None:
                raise limit_error(TooLarge, "nodes", self._most_nodes) from None
            raise as_kind(TooLarge, error) from None


def _narrow(field: Any, max_prefix: int) -> object:
    """Return a field with ints of more than 64 bits replaced by ``[int digits]``."""
    if type(field) not in (list, tuple):
        return _narrow_int(field, max_prefix)
    made: list[object] = []
    pending = [(made, iter(field))]
    while pending:
        out, items = pending[-1]
        for item in items:
            if type(item) in (list, tuple):
                inner: list[object] = []
                out.append(inner)
                pending.append((inner, iter(item)))
                break
            out.append(_narrow_int(item, max_prefix))
        else:
            pending.pop()
    return made


def _narrow_int(item: object, max_prefix: int) -> object:
    if type(item) is int and not -(1 << 63) <= item < 1 << 64:
        bits, most = item.bit_length(), 7 * max_prefix
        if bits > most:
            raise limit_error(TooLarge, "max_prefix", max_prefix, bits, SENT, bits=most)
        return [b"int", str(item).encode("ascii")]
    return item
