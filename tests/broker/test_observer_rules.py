"""The rules of observers: what each is told, in which context, and that none does harm."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.core.policy import PUBLISHED, STRICT
from broker.core.tracer import Outcome
from broker.once_calls import call_with_meta
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
each_policy = pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])
MARK: ContextVar[Any] = ContextVar("mark", default=None)


class Shop(broker.Root):
    """What is observed."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.gate = asyncio.Event()

    def remote_plain(self, *args: object) -> Any:
        """Return the mark of the observer, and leave one."""
        seen = MARK.get()
        MARK.set("of the method")
        return seen

    async def remote_async(self, *args: object) -> Any:
        """Do the same later."""
        await asyncio.sleep(0)
        return self.remote_plain()

    def remote_raise(self) -> None:
        """Raise."""
        raise ValueError("a secret")

    def remote_unsendable(self) -> Any:
        """Return what cannot be sent."""
        return object()

    async def remote_wait(self) -> None:
        """Wait for ever."""
        self.came.set()
        await self.gate.wait()

    def remote_note(self) -> None:
        """Note that it came."""
        self.came.set()

    async def remote_count(self, most: int) -> AsyncIterator[int]:
        """Yield numbers."""
        for number in range(most):
            yield number

    def remote_big(self, size: int) -> bytes:
        """Return many bytes."""
        return bytes(size)


async def use(root: Any) -> None:
    """Make a call of each kind of method, and read a stream."""
    await root.callRemote("plain")
    await root.callRemote("async")
    stream = broker.stream_of(await root.callRemote("count", 3))
    assert [item async for item in stream] == [0, 1, 2]


class Told(broker.Observer):
    """Notes calls with their marks, streams and limits."""

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.starts: list[Any] = []
        self.streams: list[Any] = []
        self.others: list[Any] = []
        self.marks: list[Any] = []

    def call_started(self, call: Any) -> Any:
        """Leave a mark, which the method sees."""
        self.starts.append(call)
        self.marks.append(MARK.get())
        MARK.set(len(self.starts))
        return len(self.starts)

    def call_ended(self, token: Any, call: Any, outcome: Outcome, error: object) -> None:
        """Note it, with the mark that the method has left."""
        self.ends.append((call.name, outcome, token == self.starts.index(call) + 1))
        self.marks.append(MARK.get())

    def stream_opened(self, stream: Any) -> None:
        """Note it."""
        self.streams.append(("opened", stream.name, stream.is_incoming, stream.items))

    def stream_ended(self, stream: Any, outcome: Outcome, error: object) -> None:
        """Note it."""
        self.streams.append(("ended", stream.name, stream.is_incoming, stream.items, outcome))

    def limit_hit(self, connection: Any, limit: str) -> None:
        """Note it."""
        self.others.append(limit)

    def slow(self, connection: Any, is_slow: bool) -> None:
        """Note it."""
        self.others.append(is_slow)


@asynccontextmanager
async def observed(
    far: Any, near: Any = None, policy: broker.Policy = STRICT, root: Any = None, **kw: Any
) -> AsyncIterator[Any]:
    """Return a connection, each end with an observer if one is given."""
    async with (
        broker.serve(
            root or Shop(), LOOPBACK, policy=policy, observers=[far] if far else [], **kw
        ) as server,
        broker.connect(
            server.addresses[0], policy=policy, observers=[near] if near else []
        ) as connection,
    ):
        yield connection


@each_dialect
@each_policy
async def test_the_context_of_a_call(dialect: str, policy: broker.Policy) -> None:
    """A mark holds for one method; the end of the call is told where the method ran."""
    told = Told()
    async with observed(told, policy=policy.but(dialects=(dialect,))) as connection:
        root = connection.root
        for number in range(1, 7, 2):
            assert await root.callRemote("plain") == number
            assert await root.callRemote("async", {1}) == number + 1
    assert told.marks[::2] == [None] * 6
    assert told.marks[1::2] == ["of the method"] * 6


@each_dialect
async def test_outcomes(dialect: str) -> None:
    """Both ends are told of the end of each call, whatever it is, exactly once."""
    far, near, shop = Told(), Told(), Shop()
    policy = STRICT.but(dialects=(dialect,))
    async with observed(far, near, policy, shop) as connection:
        root = connection.root
        await root.callRemote("plain")
        for name in ("raise", "unsendable", "missing"):
            with pytest.raises((broker.RemoteError, broker.NoSuchMethod, broker.EncodeError)):
                await root.callRemote(name)
        with pytest.raises(broker.EncodeError):
            await root.callRemote("plain", object())
        waiting = root.callRemote("wait")
        await shop.came.wait()
        waiting.cancel()
        waiting.addErrback(lambda _: None)
        with pytest.raises(broker.CallTimeout):
            async with broker.timeout(0.05):
                await root.callRemote("wait")
        root.send("plain")
        await root.callRemote("plain")
        lost = root.callRemote("wait")
        lost.addErrback(lambda _: None)
        await root.callRemote("plain")
    ended = {(name, outcome) for name, outcome, _ in far.ends}
    assert {("plain", Outcome.ANSWERED), ("raise", Outcome.RAISED)} <= ended
    assert {("unsendable", Outcome.RAISED), ("missing", Outcome.REFUSED)} <= ended
    assert len(far.ends) == len(far.starts) == 10
    assert len(near.ends) == len(near.starts) == 10
    assert all(fits for _, _, fits in (*far.ends, *near.ends))
    if dialect == "msgpack/1":
        waits = [outcome for name, outcome, _ in far.ends if name == "wait"]
        assert waits[:2] == [Outcome.CANCELLED, Outcome.TIMED_OUT]
    assert not [each for each in near.ends if each[1] is Outcome.NOT_RUN]


async def test_streams() -> None:
    """Both ends are told of a stream, with its items; a reader that stops ends it as cancelled."""
    far, near = Told(), Told()
    async with observed(far, near) as connection:
        root = connection.root
        assert [item async for item in await root.callRemote("count", 3)] == [0, 1, 2]
        async with await root.callRemote("count", 1_000_000) as stream:
            assert await anext(stream) == 0
        await root.callRemote("plain")
    for told, is_incoming in ((far, False), (near, True)):
        first, second = told.streams[:2], told.streams[2:]
        assert first[0] == ("opened", "count", is_incoming, 0)
        assert first[1] == ("ended", "count", is_incoming, 3, Outcome.ANSWERED)
        assert second[1][-1] is Outcome.CANCELLED


async def test_a_stream_that_is_lost() -> None:
    """The end of the connection ends the streams, and each is told once."""
    far, near = Told(), Told()
    async with observed(far, near) as connection:
        stream = await connection.root.callRemote("count", 1_000_000)
        assert await anext(stream) == 0
        connection.broker.port.abortConnection()
        await connection.wait_closed()
        while len(far.streams) < 2:
            await asyncio.sleep(0)
    assert [each[-1] for each in (*far.streams, *near.streams) if each[0] == "ended"] == [
        Outcome.LOST
    ] * 2


async def test_a_slow_peer_is_told() -> None:
    """Once when many bytes are unsent, and once when they are sent."""
    told = Told()
    async with observed(told) as connection:
        transport = connection.broker.transport
        transport.pauseProducing()
        calls = [connection.root.callRemote("big", 1 << 20) for _ in range(16)]
        while not told.others:
            await asyncio.sleep(0)
        assert told.others == [True]
        transport.resumeProducing()
        for call in calls:
            assert len(await call) == 1 << 20
        while told.others[-1]:
            await asyncio.sleep(0)
    assert told.others[::2] == [True] * (len(told.others) // 2)
    assert told.others[1::2] == [False] * (len(told.others) // 2)


@each_dialect
async def test_a_refused_call_without_an_answer(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, counted, and logged at once and then once a minute."""
    caplog.set_level(logging.WARNING, "broker.connection")
    told, shop = Told(), Shop()
    limit = broker.RateLimit(calls=1, per=1000.0)
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(
            shop, LOOPBACK, policy=policy, observers=[told], interceptors=[limit]
        ) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        for _ in range(5):
            connection.root.send("note")
        with pytest.raises(broker.ServerBusy):
            await connection.root.callRemote("plain")
        assert server.connections[0].stats.sends_refused == 4
    outcomes = [outcome for name, outcome, _ in told.ends if name == "note"]
    assert outcomes == [Outcome.ANSWERED] + [Outcome.REFUSED] * 4
    assert told.ends[-1][:2] == ("plain", Outcome.REFUSED)
    [text] = [r.getMessage() for r in caplog.records if "without an answer" in r.getMessage()]
    assert "call of 'note' without an answer was not run: 1 calls in 1000 s" in text


FAULTS = [ZeroDivisionError, asyncio.CancelledError, GeneratorExit, StopIteration, RecursionError]


@pytest.mark.parametrize("has_others", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
@each_dialect
async def test_one_that_raises_anything(
    fault: type[BaseException], dialect: str, has_others: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises, each call, stream and connection goes on, and the others are told."""

    def fail(self: Any, *args: Any) -> Any:
        raise fault

    names = [name for name in vars(broker.Observer) if not name.startswith("_")]
    bad = type("Bad", (broker.Observer,), dict.fromkeys(names, fail))()
    far = Told()
    observers = [bad, far] if has_others else [bad]
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Shop(), LOOPBACK, policy=policy, observers=observers) as server,
        broker.connect(server.addresses[0], policy=policy, observers=[bad]) as connection,
    ):
        root = connection.root
        for _ in range(3):
            await use(root)
        with pytest.raises(broker.NoSuchMethod):
            await root.callRemote("missing")
    assert far.ends.count(("plain", Outcome.ANSWERED, True)) == 3 * has_others
    assert [r.getMessage() for r in caplog.records if r.name == "broker.observers"] == [
        "the observer Bad raised"
    ]


@pytest.mark.parametrize("hook", ["call_started", "call_ended"])
@each_dialect
async def test_a_slow_one(dialect: str, hook: str, caplog: pytest.LogCaptureFixture) -> None:
    """Calls keep their order and outcome; the record names the observer, and no remote method."""

    class Slow(broker.Observer):
        took = 0.0

    setattr(Slow, hook, lambda self, *args: time.sleep(self.took))
    slow = Slow()
    order: list[int] = []

    class Ordered(broker.Root):
        def remote_note(self, number: int) -> int:
            order.append(number)
            return number

    policy = STRICT.but(dialects=(dialect,))
    async with observed(slow, policy=policy, root=Ordered()) as connection:
        Slow.took = 1.1
        assert await connection.root.callRemote("note", 0) == 0
        Slow.took = 0.11
        calls = [connection.root.callRemote("note", number) for number in (1, 2)]
        assert [await call for call in calls] == [1, 2]
    assert order == [0, 1, 2]
    texts = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(texts) == 1 and texts[0].startswith("the observer Slow held the loop for 1.")
    assert f"in {hook};" in texts[0]


class Starts(broker.Observer):
    """Overrides one method, as the next classes do."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def call_started(self, call: broker.Call) -> None:
        """Note it."""
        self.told.append(call.name)


class Ends(Starts):
    """Does not know of starts."""

    call_started = broker.Observer.call_started  # type: ignore[assignment]

    def call_ended(self, token: Any, call: broker.Call, outcome: Outcome, error: object) -> None:
        """Note it."""
        self.told.append((token, call.name, call.target, outcome))


class Streams(Starts):
    """Knows of streams only."""

    call_started = broker.Observer.call_started  # type: ignore[assignment]

    def stream_opened(self, stream: Any) -> None:
        """Note it."""
        self.told.append((stream.call.name, stream.call.target))


class Openings(Starts):
    """Knows of no call."""

    call_started = broker.Observer.call_started  # type: ignore[assignment]

    def connection_opened(self, connection: Any) -> None:
        """Note it."""
        self.told.append("opened")


ENDS = [(None, name, Shop, Outcome.ANSWERED) for name in ("plain", "async", "count", "raise")]
ENDS[-1] = (None, "raise", Shop, Outcome.RAISED)
SOME: dict[type[Starts], list[Any]] = {
    Starts: ["plain", "async", "count", "raise"],
    Ends: ENDS,
    Streams: [("count", Shop)],
    Openings: ["opened"],
}


@pytest.mark.parametrize("kinds", [*([each] for each in SOME), [Openings, Ends], list(SOME)])
async def test_some_methods(kinds: list[type[Starts]]) -> None:
    """An observer is told what it overrides, alone and beside others."""
    observers = [each() for each in kinds]
    async with (
        broker.serve(Shop(), LOOPBACK, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        root = connection.root
        await use(root)
        with pytest.raises(broker.RemoteError):
            await root.callRemote("raise")
    assert [each.told for each in observers] == [SOME[each] for each in kinds]


def test_an_async_observer() -> None:
    """Its methods could not run, so it is refused."""

    class Waits(broker.Observer):
        async def call_started(self, call: Any) -> None:  # type: ignore[override]
            """Wait."""

    with pytest.raises(broker.WrongType, match=r"^Waits\.call_started is async"):
        broker.serve(Shop(), LOOPBACK, observers=[Waits()])
    with pytest.raises(broker.WrongType, match=r"^Waits\.call_started is async"):
        broker.connect(LOOPBACK, observers=[Waits()])


async def test_the_record_of_an_outgoing_call() -> None:
    """It has the metadata and the deadline of the call, and no target."""
    near = Told()
    async with observed(None, near) as connection:
        with broker.metadata(tenant="a"):
            async with broker.timeout(20):
                await connection.root.callRemote("plain")
        await connection.root.callRemote("plain")
    first, second = near.starts
    assert (first.metadata, second.metadata) == ({"tenant": "a"}, {})
    assert (first.target, first.is_incoming, first.contract) == (None, False, None)
    assert 15 < first.deadline <= 20
    assert second.deadline is None


async def test_events_are_told() -> None:
    """An event of Subscribers is a one-way call of the end that sends it, for each receiver."""
    near, shop = Told(), Shop()
    async with observed(None, near, root=shop) as connection:
        subscribers = broker.Subscribers()
        subscribers.add(connection.root)
        subscribers.send("note")
        await shop.came.wait()
    assert near.ends == [("note", Outcome.ANSWERED, True)]
    assert near.starts[0].wants_answer is False


async def test_ids_in_the_records_of_calls(caplog: pytest.LogCaptureFixture) -> None:
    """The id of the request and that of the trace are facts; other metadata is in no record."""
    caplog.set_level(logging.INFO, "broker.calls")
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with observed(broker.LogCalls()) as connection:
        root = connection.root
        with broker.metadata(request_id="r-1", tenant="a secret"):
            await root.callRemote("plain")
        meta = {"x-request-id": "r\n\x1b[2J2", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        await call_with_meta(root, meta, "async")
        await call_with_meta(root, {"traceparent": f"00-{trace}\n-b7ad6b7169203331-01"}, "plain")
        await call_with_meta(root, {"x-request-id": "x" * 512}, "plain")
        await root.callRemote("plain")
    records = [record for record in caplog.records if record.name == "broker.calls"]
    facts: list[Any] = [record.facts for record in records]  # type: ignore[attr-defined]
    assert [(each["request_id"], each["trace_id"]) for each in facts] == [
        ("r-1", None),
        (r"r\n\x1b[2J2", trace),
        (None, None),
        (facts[3]["request_id"], None),
        (None, None),
    ]
    assert len(facts[3]["request_id"]) <= 101
    assert "secret" not in str(facts) + caplog.text


@each_dialect
async def test_a_login_after_the_first(dialect: str) -> None:
    """The calls of a login are never told as calls, on no path, and pass no interceptor."""
    told = Told()

    async def passed(call: Any, proceed: Any) -> Any:
        told.others.append(call.name)
        return await proceed()

    class Member(broker.Avatar):
        def perspective_who(self) -> str:
            return "me"

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(
            portal, LOOPBACK, policy=policy, observers=[told], interceptors=[passed]
        ) as server,
        broker.connect(server.addresses[0], UsernamePassword("alice", "a")) as connection,
    ):
        root = connection.broker.remoteForName("root")
        for _ in range(2):
            assert await root.callRemote("mechanisms")
            with pytest.raises((broker.WrongArguments, broker.RemoteError)):
                await root.callRemote("mechanisms", {1})
        assert await connection.avatar.callRemote("who") == "me"
    assert [call.name for call in told.starts] == told.others == ["who"]
