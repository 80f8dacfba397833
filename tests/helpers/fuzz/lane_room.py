"""One end of a connection in msgpack/1, with or without a lane: what it is fed, and what it shows.

Everything that it shows is compared with that of another end, which got the same and has another
lane or none. So what is called is written down as text that tells apart what is equal but not the
same, such as ``True`` and ``1``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from support.lane_forms import FORMS
from support.memory import FakeTransport, ManualScheduler

from broker.connection.broker import Broker
from broker.core.policy import STRICT, Policy
from broker.core.tracer import Tracer
from broker.defer import Deferred
from broker.errors import Error
from broker.flavors.referenceable import Referenceable, Root
from broker.net.scheduler import LoopScheduler
from broker.net.socket_addresses import IPv4Address

__all__ = ["GIVEN", "LARGE", "POLICIES", "PROMISES", "Quiet", "Room"]

POLICIES: tuple[Policy, ...] = (
    STRICT,
    STRICT.but(turn_messages=2, max_calls=2, high_water=200, max_backlog=400, max_unsent=300),
    STRICT.but(limits=STRICT.limits.but(max_expression=3000, max_nodes=60)),
)
"""Of the ends: as usual, with little room, and with small frames."""

PROMISES = 3
"""Calls that each end has made to its peer before it is fed: requests 1, 2 and 3."""

_SERVER = (b"\x09\x82msgpack/1",)
_CLIENT = (b"\x01\x80\x09\x82msgpack/1",)
_VERSION = b"\0\0\0\3\x92\0\6"
_PEER = IPv4Address("TCP", "127.0.0.1", 8787)


class Text(str):
    """A str that is not quite one."""


class Whole(int):
    """An int that is not quite one."""


class Row(list):  # type: ignore[type-arg]
    """A list that is not quite one."""


class Table(dict):  # type: ignore[type-arg]
    """A dict that is not quite one."""


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _shared(times: int) -> Any:
    inner: list[Any] = []
    return [inner] * times


def _in_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def _many(number: int) -> Any:
    """Return a list of containers that others refer to as well."""
    return _KEPT[:number]


_KEPT: list[Any] = [[index] for index in range(70)]
_LONG = "x" * 70
_BIG = (1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1, 1 << 70)
GIVEN: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: 1, lambda: -1, lambda: -32, lambda: -33, lambda: -129,
    lambda: -32769, lambda: -(1 << 31) - 1, lambda: 127, lambda: 128, lambda: 255, lambda: 256,
    lambda: 65535, lambda: 65536, lambda: (1 << 32) - 1, lambda: 1 << 32,
    *[lambda big=big: big for big in _BIG],
    # type: ignore[misc]
    lambda: [1 << 64, 1], lambda: 1.5, lambda: -0.0, lambda: float("nan"), lambda: float("inf"),
    lambda: "", lambda: "x" * 31, lambda: "x" * 32, lambda: "x" * 255, lambda: "x" * 256,
    lambda: "é", lambda: "€" * 11, lambda: "\U0001f600", lambda: "\0", lambda: "\ud800",
    lambda: ["\udfff"], lambda: {"\ud800": 1}, lambda: b"", lambda: b"octets",
    lambda: [b"octets"], lambda: (), lambda: (1, "two"), lambda: ((1,), 2), lambda: [(1,)],
    lambda: {"a": (1,)}, lambda: ([1], [2]), lambda: (_shared(2),), lambda: ("\ud800",),
    lambda: (1 << 64,), list, lambda: [[]], lambda: list(range(15)), lambda: list(range(16)),
    lambda: [None] * 70, dict, lambda: {"a": 1}, lambda: {str(n): n for n in range(15)},
    lambda: {str(n): n for n in range(16)}, lambda: {1: 2}, lambda: {"a": {1: 2}},
    lambda: {b"a": 1}, lambda: {Text("a"): 1}, lambda: {"": ""}, lambda: {_LONG: 1},
    lambda: _deep(6), lambda: _deep(7), lambda: (_deep(6),), lambda: (_deep(7),),
    lambda: {"a": _deep(6)}, lambda: _shared(1), lambda: _shared(2),
    lambda: [_shared(1), _shared(1)], lambda: [x := [], {"x": x}], lambda: [x := {}, x],
    _in_itself, lambda: _many(63), lambda: _many(64), lambda: _many(65),
    lambda: (_many(32), _many(33)), lambda: Text("text"), lambda: Whole(5), lambda: Row([1]),
    lambda: Table(a=1), lambda: [Text("text")], lambda: [Whole(5)], lambda: [Row([1])],
    lambda: [Table(a=1)], lambda: {"a": Whole(1)}, lambda: {1, 2}, lambda: 1j, object,
    Referenceable, lambda: [Referenceable()], lambda: range(3),
    lambda: bytearray(b"a"), lambda: Ellipsis,
)  # fmt: skip
"""What methods return, and what calls have as an argument: plain, nearly plain, and not at all."""

LARGE: tuple[Callable[[], Any], ...] = (
    lambda: [0] * 19_999, lambda: [0] * 20_000, lambda: [0] * 20_001,
    lambda: [[0] * 10_000] + [1] * 9_999, lambda: {str(n): 0 for n in range(20_001)},
    lambda: (0,) * 20_001, lambda: ([0] * 20_001,), lambda: "x" * 65_535, lambda: "x" * 65_536,
    lambda: ["x" * 1_100, "y" * 3], lambda: [0] * 65_536,
)  # fmt: skip
"""The same, but large."""


class Gauge(Tracer):
    """A tracer, which watches nothing."""


class Office(Root):
    """Writes down what is called, and does what may disturb a lane."""

    def __init__(self, room: Room):
        self._room = room
        self.kept: list[Any] = []

    def _note(self, *what: Any) -> None:
        self._room.log.append(repr(what))

    def remote_echo(self, *args: Any, **kw: Any) -> Any:
        """Return the arguments."""
        self._note("echo", args, kw)
        return args[0] if len(args) == 1 else args

    def remote_nothing(self, *args: Any) -> None:
        """Return None."""
        self._note("nothing", args)

    def remote_two(self, one: Any, two: Any) -> Any:
        """Take two arguments."""
        self._note("two", one, two)
        return [one, two]

    def remote_make(self, *args: Any) -> Any:
        """Return an object, which the peer can call."""
        self._note("make", args)
        self.kept.append(Part(self._room))
        return self.kept[-1]

    def remote_give(self, *args: Any) -> Any:
        """Return a value of the table."""
        self._note("give", args)
        number = args[0] if args and type(args[0]) is int else 0
        return GIVEN[number % len(GIVEN)]()

    def remote_fail(self, *args: Any) -> Any:
        """Raise."""
        self._note("fail", args)
        raise Error("on purpose") if args else ValueError("because")

    def remote_type_error(self, *args: Any) -> Any:
        """Raise what wrong arguments raise too."""
        self._note("type_error", args)
        raise TypeError("type_error() takes nothing")

    def remote_later(self, *args: Any) -> Any:
        """Return a Deferred, which an action fires."""
        self._note("later", args)
        self._room.pending.append(Deferred())
        return self._room.pending[-1]

    async def remote_wait(self, *args: Any) -> Any:
        """Be a coroutine."""
        self._note("wait", args)
        return list(args)

    async def remote_nap(self, *args: Any) -> Any:
        """Be a coroutine that waits for something, and does something."""
        self._note("nap", args)
        self._room.pending.append(Deferred())
        got = await self._room.pending[-1]
        self._note("awake", got)
        return self.remote_act(*args)

    async def remote_work(self, *args: Any) -> Any:
        """Be a coroutine that does something at once, and raises."""
        self._note("work", args)
        self.remote_act(*args)
        return self.remote_fail() if len(args) > 1 else args

    def remote_act(self, *args: Any) -> Any:
        """Do something that the lane must notice."""
        self._note("act", args)
        number = args[0] if args and type(args[0]) is int else 0
        self._room.act(number)
        self._note("acted")
        return number

    def remote_stop(self, *args: Any) -> Any:
        """Be told to stop."""
        self._note("stop", args)
        raise SystemExit if args else KeyboardInterrupt


class Part(Referenceable):
    """Another object."""

    def __init__(self, room: Room):
        self._room = room

    def remote_echo(self, *args: Any) -> Any:
        """Return the arguments."""
        self._room.log.append(repr(("part", args)))
        return list(args)


class LoopSteps(ManualScheduler):
    """A scheduler whose tasks are those of a loop; time and turns pass when a test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__()
        self.loop = loop  # type: ignore[assignment]
        self._of_loop = LoopScheduler(loop)
        self.create_task = self._of_loop.create_task  # type: ignore[assignment]
        self.stepped_loop = self._of_loop.stepped_loop  # type: ignore[assignment]

    @property
    def begin_task(self) -> Any:  # type: ignore[override]
        """As in the loop: from Python 3.12 on, a task takes its first step at once."""
        return self._of_loop.begin_task

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call in the next turn; what follows the start of a task, in the next turn of the loop."""
        if getattr(f, "__name__", "") == "_task_began":
            self.loop.call_soon(f, *args)  # type: ignore[attr-defined]
        else:
            super().soon(f, *args)


class Room:
    """One end.

    Args:
        form: of ``support.lane_forms.FORMS``.
        is_client: which end.
        policy: its policy.
        loop: where tasks run; default: no tasks.

    Attributes:
        log: what was called and answered, in order, as text.
        pending: Deferreds of methods that have not returned.
        sent: the bytes that it has written.
    """

    def __init__(
        self,
        form: str,
        is_client: bool,
        policy: Policy,
        loop: asyncio.AbstractEventLoop | None = None,
    ):
        self.log: list[str] = []
        self.pending: list[Deferred[Any]] = []
        self.sent = b""
        self.scheduler = ManualScheduler() if loop is None else LoopSteps(loop)
        self.transport = FakeTransport(self.scheduler, _PEER)
        self.broker: Broker = FORMS[form](is_client, policy=policy)
        # Else each error would have an id at random.
        self.broker._new_error_id = lambda: "id"  # type: ignore[method-assign]
        self.office = Office(self)
        self.broker.setNameForLocal(b"root", self.office)
        self.broker.makeConnection(self.transport)
        for piece in _CLIENT if is_client else _SERVER:
            self.broker.dataReceived(piece)
        self.broker.dataReceived(_VERSION)
        self.root = self.broker.remoteForName(b"root")
        self.promises: list[Any] = []
        self.begin()

    def renew(self) -> None:
        """Be as after the handshake again, but for counters; for an end with `is_over` False."""
        session, open_calls = self.broker.session, self.broker.session.outgoing.open_calls
        open_calls.open.clear()
        open_calls._abandoned.clear()
        open_calls.last = 0
        self.broker.calls.waiting.clear()
        session.forget_pings()
        self.begin()

    def begin(self) -> None:
        """Forget what was; make the calls that answers may be for."""
        self.scheduler.run()
        self.transport.take()
        self.transport.writes.clear()
        self.transport._taken = 0
        self.log.clear()
        self.sent = b""
        self.release()
        self.promises = [self.root.callRemote("x", number) for number in range(PROMISES)]
        # The first is awaited by a callback; the others are looked at.
        self.promises[0].addBoth(self._note_answer)

    def _note_answer(self, value: Any) -> Any:
        self.log.append(repr(("answered", value)))

    def feed(self, data: bytes) -> None:
        """Receive bytes, and let turns pass until nothing is to be done."""
        transport = self.transport
        if transport.is_aborted:
            return
        try:
            self.broker.dataReceived(data)
        except BaseException as error:
            self.log.append(repr(error))
        self.run()

    def run(self) -> None:
        """Let turns pass until nothing is to be done."""
        while True:
            try:
                self.scheduler.run()
                break
            except BaseException as error:
                self.log.append(repr(error))
        self.sent += self.transport.take()

    def act(self, number: int) -> None:
        """Do something of this side."""
        _ACTIONS[number % len(_ACTIONS)](self)

    def end(self) -> None:
        """End the connection."""
        from broker.errors import ConnectionDone
        from broker.failure import Failure

        self.broker.connectionLost(Failure(ConnectionDone()))
        self.run()

    def release(self) -> None:
        """Have no failure of its calls logged."""
        for each in self.promises:
            each.addErrback(_ignore)

    def shown(self) -> tuple[Any, ...]:
        """Return all that can be seen of it now."""
        broker, session = self.broker, self.broker.session
        inbox, translator, incoming = session.inbox, session.translator, session.incoming
        stats = session.stats
        unsent = session.outbox.unsent
        transport = self.transport
        ends = transport.is_losing or broker.disconnected or inbox.is_closed
        return (
            "".join(self.log), self.sent,
            stats.calls_made, stats.calls_received, stats.sends_dropped, stats.sends_refused,
            # A fault is found when its bytes are decoded; bytes behind it are not counted then.
            stats.bytes_sent, ends or stats.bytes_received, ends or _limits(stats.limits),
            [str(key) if type(key) is int else "one-way" for key in incoming.running],
            incoming.highest, incoming.is_draining, incoming.refuses_sends,
            [*session.outgoing.open_calls.open], [*broker.calls.waiting],
            [*session.outgoing.open_calls._abandoned], session.outgoing.open_calls.last,
            [*translator.exports.by_id], len(translator.imports),
            # How much of what waits is decoded may differ.
            inbox.is_closed, inbox.waiting > 0, ends or inbox.pending + inbox.waiting > 0,
            inbox.holds_calls, inbox.is_full, inbox.has_barrier, len(inbox.works or ()),
            unsent.queued, unsent.size, unsent.is_closed,
            transport.is_losing, transport.is_left, transport.is_aborted,
            broker.disconnected, broker.calls.is_open, str(broker.reason), str(broker._fault),
            [(each.called, repr(each.result) if each.called else "") for each in self.promises],
        )  # fmt: skip

    @property
    def is_over(self) -> bool:
        """Whether the connection ends, or something is left of what it was fed."""
        broker, session = self.broker, self.broker.session
        inbox = session.inbox
        return bool(
            self.transport.is_losing
            or broker.disconnected
            or inbox.is_closed
            or inbox.pending
            or inbox.waiting
            or session.running
            or session.incoming.is_draining
            or len(session.translator.exports.by_id) > 2
            or len(session.translator.imports)
            or session.incoming.runner.interceptor
            or session.tracing
            or session.gate
            or not broker.calls.is_open
            or self.pending
            or self.transport.unsent
            or inbox.holds_calls
        )


_LOGGERS = [logging.getLogger(name) for name in ("broker", "broker.connection", "broker.defer")]


class Quiet:
    """A context in which nothing is logged: what is logged of a peer's fault has other tests."""

    def __enter__(self) -> None:
        for logger in _LOGGERS:
            logger.disabled = True

    def __exit__(self, *exc: object) -> None:
        for logger in _LOGGERS:
            logger.disabled = False


def _ignore(failure: object) -> None:
    """Handle a failure."""


def _limits(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return what was refused; a lane leaves fewer handled bytes in the backlog."""
    return sorted((name, count) for name, count in counts.items() if name != "max_backlog")


def _call(room: Room, *args: Any, **kw: Any) -> None:
    """Call the peer, unless the connection ends."""
    if room.broker.calls.is_open and not room.broker.disconnected:
        promise = room.root.callRemote("x", *args, **kw)
        if promise is not None:
            promise.addErrback(lambda failure: room.log.append(failure.getErrorMessage()))


def _give(room: Room) -> None:
    for make in GIVEN:
        _call(room, make())


def _fire(room: Room) -> None:
    pending, room.pending = room.pending, []
    for each in pending:
        each.callback(len(pending))


def _cancel(room: Room) -> None:
    room.promises[1].addErrback(lambda _: None)
    room.promises[1].cancel()


def _nested(room: Room) -> None:
    """Receive bytes in the middle of something, as a transport does that a method has fed."""
    room.broker.dataReceived(b"\0\0\0\x0d\x96\1\x32\xa4root\xa4echo\x90\x80"[:9])
    room.broker.dataReceived(b"\0\0\0\x0d\x96\1\x32\xa4root\xa4echo\x90\x80"[9:])


def _congest(room: Room) -> None:
    room.transport.unsent = 0 if room.transport.unsent else 100_000
    room.broker.flush()
    room.broker.pump.run()
    if not room.transport.unsent:
        room.broker.pump.drained()


_ACTIONS: tuple[Callable[[Room], object], ...] = (
    lambda room: _call(room, 1),
    lambda room: _call(room, [1, "two", {"three": 3.0}]),
    lambda room: _call(room, 1, pbanswer=False),
    lambda room: _call(room, x=1),
    lambda room: room.broker.flush(),
    lambda room: room.log.append(str(room.broker.session.stats.calls_received)),
    lambda room: room.log.append(str(room.broker.session.snapshot().running)),
    # The lane stops and leaves the rest to the inbox; how much that is depends on the form.
    lambda room: room.log.append(str(room.broker.session.inbox.pending >= 0)),
    _fire,
    _cancel,
    _nested,
    _congest,
    _give,
    lambda room: room.scheduler.advance(1.0),
    lambda room: room.broker.session.trace(Gauge()),
    lambda room: room.broker.drain(),
    lambda room: room.broker.leave("bye", "of this side"),
    lambda room: room.broker.abort(Error("a fault")),
    lambda room: room.broker.session.incoming.intercept(_intercept),
)


def _intercept(call: Any, method: Any, run: Any) -> Any:
    """Write down and run a call."""
    return run(call.args, call.kw)
