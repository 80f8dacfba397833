"""The writer of msgpack/1: encodes messages to frames; see ``core.wire.msgpack.reader``.

Plain values (``core.wire.values``) are encoded directly. Other values are encoded as a *graph*: the
expression that a jellier makes of them, of lists, bytes, ints and floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

import msgspec

from broker.core.wire.broadcast import Broadcast
from broker.core.wire.conversion import small_expression
from broker.core.wire.messages import ObjectId
from broker.core.wire.msgpack.nodes import checked, most_unchecked
from broker.core.wire.values import PLAIN_SCALARS, are_plain
from jelly.errors import CannotJelly, LimitExceeded, TooLarge
from jelly.limit_errors import SENT, as_kind, limit_error
from jelly.limits import Limits
from jelly.slices import UNFINISHED, finish

__all__ = ["FrameWriter"]

# The encoder's errors for values that are not plain: OverflowError for an int of more than 64 bits,
# UnicodeEncodeError for a lone surrogate.
_NOT_PLAIN = (OverflowError, UnicodeEncodeError)
_pack_length = Struct(">I").pack
# Most values of an answer that is encoded in one step. A larger one is jellied, in slices.
_MOST_AT_ONCE = 20_000
# By the number of the command: an array of six, of a PlainSend or a PlainSendToCache. The request
# id is 0, since there is no answer.
_NOTICE_HEADS = {2: b"\x96\x02\x00", 4: b"\x96\x04\x00"}
_CALL, _CALL_TO_CACHE, _ANSWER, _TUPLE, _GRAPH, _ERROR = 1, 3, 5, 6, 7, 7


class FrameWriter:
    """Encodes messages as frames, with the limits that the peer's reader will enforce."""

    __slots__ = ("_encode", "_limits", "_most_unchecked")

    def __init__(self, limits: Limits):
        self._limits = limits
        self._most_unchecked = most_unchecked(limits)
        self._encode = msgspec.msgpack.Encoder().encode

    def call(
        self,
        number: int,
        request_id: int,
        object_id: ObjectId,
        name: str,
        args: tuple[Any, ...],
        kw: dict[str, Any],
        deadline: int | None,
    ) -> bytes | None:
        """Return the frame of a call, or None if its values need a jellier.

        Args:
            number: of the command: 1 to 4.
            request_id, object_id, name, args, kw, deadline: see ``messages.PlainCall``.

        Raises:
            TooLarge: the call exceeds a limit.
        """
        values: tuple[Any, ...] = (*args, *kw.values()) if kw else args
        for value in values:
            if type(value) not in PLAIN_SCALARS:
                if not are_plain(values):
                    return self._small_call(number, request_id, object_id, name, args, kw, deadline)
                break
        target = object_id.decode("utf-8") if type(object_id) is bytes else object_id
        try:
            if deadline is None:
                body = self._encode((number, request_id, target, name, args, kw))
            else:
                body = self._encode((number, request_id, target, name, args, kw, deadline))
        except _NOT_PLAIN:
            return None
        return self._framed(body)

    def notice(self, object_id: ObjectId, notice: Broadcast, number: int = 2) -> bytes | None:
        """Return the frame of a broadcast, or None if its values need a jellier.

        Args:
            object_id: of the object, or of the cache.
            notice: the call.
            number: of the command: 2 for an object, 4 for a cache.

        Raises:
            TooLarge: the call exceeds a limit.
        """
        tail = notice.tail(FrameWriter, lambda: self._tail_of(notice))
        if tail is None:
            return None
        body = b"".join((_NOTICE_HEADS[number], self._encode(_target(object_id)), tail))
        return self._framed(body)

    def answer(self, request_id: int, value: Any) -> bytes | None:
        """Return the frame of an answer, or None if its value needs a jellier.

        Raises:
            TooLarge: the answer exceeds a limit.
        """
        kind = type(value)
        frame: Any = (_TUPLE if kind is tuple else _ANSWER, request_id, value)
        if kind not in PLAIN_SCALARS and not are_plain(
            value if kind is tuple else (value,), _MOST_AT_ONCE
        ):
            small = small_expression(value)
            if small is None:
                return None
            frame = (_GRAPH, _ANSWER, request_id, 0, "", small)
        try:
            body = self._encode(frame)
        except _NOT_PLAIN:
            return None
        return self._framed(body)

    def encode(self, message: Any) -> bytes:
        """Return the frame of a message, whose values are expressions.

        Args:
            message: a list of its command, as in ``core.wire.messages``, and its fields.

        Raises:
            TooLarge: the message exceeds a limit.
            CannotJelly: a str has no UTF-8 form.
        """
        return finish(self.walk(message, False))  # type: ignore[no-any-return]

    def walk(self, message: Any, consumes: bool) -> Iterator[Any]:
        """Like :meth:`encode`, as a walk of ``jelly.slices``."""
        frame = _FRAMES[message[0]](message)
        try:
            body = self._encode(frame)
        except OverflowError:
            body = self._encode(_narrow(frame, self._limits.max_prefix))
        except UnicodeEncodeError:
            raise CannotJelly("str with a lone surrogate has no UTF-8 form") from None
        del frame, message
        if len(body) > self._most_unchecked:
            check = self._check(body)
            while next(check) is UNFINISHED:
                yield UNFINISHED
        yield _pack_length(len(body)) + body

    def _tail_of(self, notice: Broadcast) -> bytes | None:
        args, kw = notice.args, notice.kw
        if not are_plain((*args, *kw.values())):
            return None
        try:
            return b"".join(map(self._encode, (notice.name, args, kw)))
        except _NOT_PLAIN:
            return None

    def _small_call(
        self,
        number: int,
        request_id: int,
        object_id: ObjectId,
        name: str,
        args: tuple[Any, ...],
        kw: dict[str, Any],
        deadline: int | None,
    ) -> bytes | None:
        graph = (small_expression(args), small_expression(kw))
        if None in graph:
            return None
        try:
            target = _target(object_id)
            return self._frame((_GRAPH, number, request_id, target, name, graph, deadline))
        except _NOT_PLAIN:
            return None

    def _frame(self, frame: Any) -> bytes:
        return self._framed(self._encode(frame))

    def _framed(self, body: bytes) -> bytes:
        size = len(body)
        if size > self._most_unchecked:
            finish(self._check(body))
        return _pack_length(size) + body

    def _check(self, body: bytes) -> Iterator[Any]:
        limits, size = self._limits, len(body)
        if size > limits.max_expression:
            raise limit_error(TooLarge, "max_expression", limits.max_expression, size, SENT)
        try:
            yield from checked(memoryview(body), limits)
        except LimitExceeded as error:
            raise as_kind(TooLarge, error) from None


def _target(object_id: ObjectId) -> int | str:
    return object_id.decode("utf-8") if type(object_id) is bytes else object_id  # type: ignore[return-value]


def _graph_of_call(number: int) -> Callable[[Any], Any]:
    def make(message: Any) -> Any:
        _, request_id, object_id, name, wants_answer, args, kw, *deadline = message
        kind = number if wants_answer else number + 1
        target, name = _target(object_id), name.decode("utf-8")
        return (_GRAPH, kind, request_id, target, name, (args, kw), *deadline)

    return make


def _narrow(field: Any, max_prefix: int) -> Any:
    """Return a field with ints of more than 64 bits replaced by ``[int digits]``."""
    if type(field) not in (list, tuple):
        return _narrow_int(field, max_prefix)
    made: list[Any] = []
    pending = [(made, iter(field))]
    while pending:
        out, items = pending[-1]
        for item in items:
            if type(item) in (list, tuple):
                inner: list[Any] = []
                out.append(inner)
                pending.append((inner, iter(item)))
                break
            out.append(_narrow_int(item, max_prefix))
        else:
            pending.pop()
    return made


def _narrow_int(item: Any, max_prefix: int) -> Any:
    if type(item) is int and not -(1 << 63) <= item < 1 << 64:
        bits, most = item.bit_length(), 7 * max_prefix
        if bits > most:
            raise limit_error(TooLarge, "max_prefix", max_prefix, bits, SENT, bits=most)
        return [b"int", str(item).encode("ascii")]
    return item


_FRAMES: dict[bytes, Callable[[Any], Any]] = {
    b"version": lambda m: (0, m[1]),
    b"message": _graph_of_call(_CALL),
    b"cachemessage": _graph_of_call(_CALL_TO_CACHE),
    b"answer": lambda m: (_GRAPH, _ANSWER, m[1], 0, "", m[2]),
    b"error": lambda m: (_GRAPH, _ERROR, m[1], 0, "", m[2]),
    b"decref": lambda m: (8, *m[1:]),
    b"decache": lambda m: (9, *m[1:]),
    b"uncache": lambda m: (10, m[1]),
    b"cancel": lambda m: (11, m[1]),
    b"ping": lambda m: (12, m[1]),
    b"pong": lambda m: (13, m[1]),
    b"goodbye": lambda m: (14, m[1], m[2]),
}
