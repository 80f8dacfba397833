"""The lane of one connection, and the calls that are made through it.

See `broker.core.lane`. Each class whose name begins with ``Python`` has a form in C, in
``broker._lane``; it is the specification of that form, and used where that is missing. A call that
the lane does not make, and a frame that it does not take, go the general path: `PendingCalls` makes
the call, or the inbox decodes the frame.
"""

from __future__ import annotations

from asyncio import _get_running_loop
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

import msgspec

from broker.connection.open_call import OpenCall
from broker.core.calls.attached import ATTACHED
from broker.core.calls.deadline import DEADLINE
from broker.core.wire.commands import number_of
from broker.core.wire.messages import ObjectId, PlainAnswer, PlainCall, PlainSend, PlainTuple
from broker.core.wire.msgpack.frames import target_of
from broker.core.wire.msgpack.reader import decoder
from broker.core.wire.values import PLAIN_SCALARS, are_plain
from broker.flavors.promise import Promise
from broker.native import native

if TYPE_CHECKING:
    import asyncio

    from broker.core.session import Session
    from broker.core.wire.messages import RequestId
    from broker.core.wire.msgpack.reader import FrameReader
    from broker.defer import Deferred

__all__ = ["LONGEST_NAME", "CallsBase", "Lane", "PythonCallsBase", "PythonLane"]

LONGEST_NAME = 32
"""Most characters of the name of a method that is called through a lane."""

_read_length = Struct(">I").unpack_from
_pack_length = Struct(">I").pack
_encode = msgspec.msgpack.Encoder().encode
_CALL = number_of(PlainCall)
_TAKEN = frozenset({PlainAnswer, PlainCall, PlainSend, PlainTuple})
_NOT_PLAIN = (OverflowError, UnicodeError)
_NOT_A_FRAME = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PythonCallsBase:
    """The calls of one connection that have no answer yet, and how most of them are made.

    Attributes:
        is_open: whether calls can be made.
        is_batched: whether the bytes of a call are written soon, without a request.
        has_stepped: whether an answer has come since the pump has cleared this, so that a task that
            awaits it may have run.
        lane: makes calls with plain values, or None.
        stepped_loop: the loop, while a turn may run a task that awaits an answer at once, instead
            of in the next iteration; else None. Set by the pump.
        waiting: the Deferreds of the calls without an answer, by request id.
    """

    __slots__ = (
        "_flush",
        "_loop",
        "has_stepped",
        "is_batched",
        "is_open",
        "lane",
        "stepped_loop",
        "waiting",
    )
    _flush: Callable[[], object]
    _loop: asyncio.AbstractEventLoop | None
    has_stepped: bool
    is_batched: bool
    is_open: bool
    lane: PythonLane | None
    stepped_loop: asyncio.AbstractEventLoop | None
    waiting: dict[RequestId, Deferred[Any]]

    def call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str | bytes,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = False,
        kind: type[Deferred[Any]] = Promise,
    ) -> Deferred[Any] | None:
        """Call a method of the peer; see `PendingCalls.make_call`."""
        lane = self.lane
        if (
            lane is not None
            and self.is_open
            and not kw
            and not to_cache
            and kind is Promise
            and type(name) is str
            and _get_running_loop() is self._loop
            and DEADLINE.get() is None
            and ATTACHED.get() is None
        ):
            promise = lane.call(perspective, object_id, name, args)
            if promise is not None:
                if not self.is_batched:
                    self._flush()
                return promise
        return self.make_call(perspective, object_id, name, args, kw, to_cache, kind)

    def make_call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str | bytes,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = False,
        kind: type[Deferred[Any]] = Promise,
    ) -> Deferred[Any] | None:
        """Call a method of the peer in the general way; see `PendingCalls.make_call`."""
        raise NotImplementedError

    def canceller_of(self, request_id: RequestId) -> Callable[[object], None]:
        """Return the canceller of the Deferred of a call."""
        raise NotImplementedError


class PythonLane:
    """The lane of one session; see `broker.core.lane.Lane`.

    Args:
        session: the session, in ``msgpack/1``.
        calls: its outgoing calls.
        high_water: unsent bytes above which no frame is handled.
    """

    __slots__ = (
        "_calls",
        "_high_water",
        "_inbox",
        "_open",
        "_open_calls",
        "_receive",
        "_stats",
        "_take_answer",
        "_translator",
        "_unsent",
        "handled",
        "has_more",
        "is_open",
        "most_in",
        "most_out",
        "position",
        "reader",
    )

    def __init__(self, session: Session, calls: PythonCallsBase, high_water: int):
        self._calls = calls
        self._high_water = high_water
        self._inbox = session.inbox
        self._receive = session.incoming.receive_plain
        self._take_answer = session.outgoing.on_plain_answer
        self._open_calls = session.outgoing.open_calls
        self._open = session.outgoing.open_calls.open
        self._stats = session.stats
        self._translator = session.translator
        self._unsent = session.outbox.unsent
        self.reader = cast("FrameReader", session.inbox.reader)
        self.is_open = False
        self.has_more = False
        self.position = self.handled = 0
        self.most_in = self.reader.most_unchecked
        writer: Any = session.outbox.writer
        self.most_out = writer.most_unchecked
        calls.lane = self

    def call(
        self, perspective: object, object_id: ObjectId, name: str, args: tuple[object, ...]
    ) -> Promise[Any] | None:
        """Call a method with an answer, and return a Promise; None if the lane cannot.

        The caller has checked that the call can be made now, that it has no deadline, and that
        nothing is attached to it. If the result is None, nothing has happened.
        """
        if self._translator.transaction is not None or len(name) > LONGEST_NAME:
            return None
        for value in args:
            if type(value) not in PLAIN_SCALARS:
                if type(value) is bytes or not are_plain(args):
                    return None
                break
        open_calls, calls, unsent = self._open_calls, self._calls, self._unsent
        request_id = open_calls.last + 1
        # Taken first: the garbage collector may run a finalizer, which makes a call.
        open_calls.last = request_id
        try:
            target = target_of(object_id) if type(object_id) is bytes else object_id
            body = _encode((_CALL, request_id, target, name, args, {}))
        except _NOT_PLAIN:
            body = b""
        if not body or len(body) > self.most_out:
            if open_calls.last == request_id:
                open_calls.last -= 1
            return None
        unsent.append(_pack_length(len(body)) + body)
        self._open[request_id] = perspective
        self._stats.calls_made += 1
        promise: Promise[Any] = Promise(
            OpenCall(calls, request_id)  # type: ignore[arg-type]
        )
        promise.label = name
        calls.waiting[request_id] = promise
        return promise

    def run(self, data: bytes, start: int, most: int, /) -> None:
        """Handle at most ``most`` frames of ``data`` from ``start``; see the protocol."""
        self.position, self.handled, self.has_more = start, 0, False
        view, end, limit = memoryview(data), len(data), self.most_in
        unsent, high_water = self._unsent, self._high_water
        receive, take_answer, inbox = self._receive, self._take_answer, self._inbox
        decode = decoder()
        while end - start >= 4:
            stop = start + 4 + _read_length(data, start)[0]
            if stop > end:
                return
            if self.handled == most or (self.handled and unsent.size > high_water):
                self.has_more = True
                return
            if stop - start - 4 > limit:
                return
            try:
                message = decode(view[start + 4 : stop])
            except _NOT_A_FRAME:
                return
            kind = type(message)
            if kind not in _TAKEN:
                return
            is_call = kind is PlainCall or kind is PlainSend
            if is_call and not (message.deadline is None and message.meta is None):
                return
            # The last frame may have closed the lane, or a finalizer while this one was decoded.
            if not self.is_open:
                return
            self.position = start = stop
            self.handled += 1
            if is_call:
                work = receive(message, kind is PlainCall)
                if work is not None:
                    inbox.take_work(work, message)
            else:
                take_answer(message)

    def count(self) -> None:
        """Do nothing: all is counted at once."""

    def retire(self) -> None:
        """Make no more calls."""
        if self._calls.lane is self:
            self._calls.lane = None


if TYPE_CHECKING or native is None:
    CallsBase = PythonCallsBase
    Lane = PythonLane
else:
    CallsBase = native.CallsBase
    Lane = native.Lane
    native.use_calls(Promise, DEADLINE, ATTACHED, _get_running_loop)
