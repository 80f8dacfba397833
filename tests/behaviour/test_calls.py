"""Calls: arguments, results, their order, and errors."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import datetime
import decimal
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import defer as twisted_defer

import broker
from broker import pb
from broker.defer import Deferred, inlineCallbacks, succeed

LOOP: list[Any] = [1]
LOOP.append(LOOP)
TWICE = [1, 2]

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**447, -(2**447),
    0.1, -0.0, float("inf"), b"", b"\x00\xff", b"remote", "", "naïve 日本 😀",
    [], [1, [2, []]], (), (1, ("a", ())), {}, {"a": 1, b"b": 2, 3: "c", (4, "d"): None},
    set(), {1, "a"}, frozenset({b"b", 2}),
    datetime.date(1, 1, 1), datetime.time(1, 2, 3, 4), datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
    datetime.timedelta(days=-1, seconds=5, microseconds=6), decimal.Decimal("-12.3400"),
]  # fmt: skip

NAMES = [
    "name", "self", "args", "kw", "kwargs", "broker", "perspective", "message", "_name", "cls",
    "command", "object_id", "callable", "method", "f", "é",
]  # fmt: skip


class Failing(broker.Error):
    """Raised on purpose, and known at both ends."""


broker.register(Failing)


class Unregistered(Exception):
    """Not known at the other end."""


class Server(broker.Root):
    """The methods that the tests of this file call."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.started: list[str] = []
        self.waiting: Deferred[Any] = Deferred()
        self.reached = asyncio.Event()
        self.cancelled = asyncio.Event()

    def remote_echo(self, value: Any) -> Any:
        return value

    def remote_keywords(*args: Any, **kw: Any) -> Any:
        return args[1:], kw

    def remote_hear(self, value: Any) -> None:
        self.heard.append(value)

    def remote_heard(self) -> list[Any]:
        return self.heard

    async def remote_call_back(self, callback: Any, value: Any) -> Any:
        return await callback.callRemote("take", value, self)

    @inlineCallbacks
    def remote_call_back_deferred(self, callback: Any, value: Any) -> Any:
        answer = yield callback.callRemote("take", value, self)
        return answer

    def remote_plain(self, text: str) -> None:
        self.started.append(f"plain {text}")

    async def remote_async(self, text: str) -> None:
        self.started.append(f"async {text}")
        await asyncio.sleep(0.001)

    def remote_started(self) -> list[str]:
        return self.started

    def remote_deferred(self) -> Any:
        return succeed("deferred")

    def remote_late_deferred(self) -> Any:
        later: Deferred[str] = Deferred()
        asyncio.get_running_loop().call_later(0.001, later.callback, "late deferred")
        return later

    async def remote_coroutine(self) -> str:
        await asyncio.sleep(0)
        return "coroutine"

    def remote_future(self) -> Any:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "future")
        return future

    def remote_twisted_deferred(self) -> Any:
        later: Any = twisted_defer.Deferred()
        asyncio.get_running_loop().call_soon(later.callback, "twisted deferred")
        return later

    async def remote_first_step(self) -> bool:
        # No await before these: a coroutine without a task has neither.
        task = asyncio.current_task()
        async with asyncio.timeout(5):
            return task is not None

    def remote_fail(self, how: str) -> Any:
        raise ERRORS[how]

    async def remote_fail_late(self, how: str) -> Any:
        await asyncio.sleep(0)
        raise ERRORS[how]

    def remote_fail_twisted(self) -> Any:
        return twisted_defer.fail(Failing("from Twisted"))

    def remote_wait(self) -> Any:
        self.reached.set()
        return self.waiting

    async def remote_sleep(self) -> None:
        self.reached.set()
        try:
            await asyncio.sleep(30)
        finally:
            self.cancelled.set()


ERRORS: dict[str, Exception] = {
    "registered": Failing("on purpose"),
    "pb.Error": pb.Error("refused"),
    "unregistered": Unregistered("for us only"),
}


class Callback(broker.Referenceable):
    """A client's object, which calls the server in turn."""

    async def remote_take(self, value: Any, home: Any) -> list[Any]:
        return ["taken", await home.callRemote("echo", value)]


async def test_values(face: Any) -> None:
    """Each type of value arrives unchanged, with its type, in both directions."""
    link = await face.connect(await face.serve(Server()))
    for value in VALUES:
        echoed = await face.outcome(link.reference.callRemote("echo", value))
        assert (type(echoed), repr(echoed)) == (type(value), repr(value))


async def test_shared_and_cyclic(face: Any) -> None:
    """An object that a graph shares is shared in the copy, and a cycle stays a cycle."""
    link = await face.connect(await face.serve(Server()))
    first, second = await face.outcome(link.reference.callRemote("echo", [TWICE, TWICE]))
    assert first == TWICE and first is second
    echoed = await face.outcome(link.reference.callRemote("echo", LOOP))
    assert echoed[0] == 1 and echoed[1] is echoed


async def test_keywords(face: Any) -> None:
    """A keyword may have any name, also that of a parameter of the library."""
    link = await face.connect(await face.serve(Server()))
    keywords = {name: number for number, name in enumerate(NAMES)}
    args, kw = await face.outcome(link.reference.callRemote("keywords", 1, **keywords))
    assert (args, kw) == ((1,), keywords)


@pytest.mark.parametrize("name", ["call_back", "call_back_deferred"])
async def test_callbacks(face: Any, name: str) -> None:
    """During a call the server calls the client, which calls the server; all get answers."""
    link = await face.connect(await face.serve(Server()))
    answer = await face.outcome(link.reference.callRemote(name, Callback(), {"a": 1}))
    assert answer == ["taken", {"a": 1}]


async def test_order(face: Any) -> None:
    """Methods start in the order of their calls, with plain and async ones mixed."""
    link = await face.connect(await face.serve(Server()))
    names = ["plain", "async", "plain", "async", "async", "plain"] * 3
    calls = [link.reference.callRemote(name, f"{i}") for i, name in enumerate(names)]
    for call in calls:
        await face.outcome(call)
    started = await face.outcome(link.reference.callRemote("started"))
    assert started == [f"{name} {i}" for i, name in enumerate(names)]


@pytest.mark.parametrize(
    "name", ["deferred", "late deferred", "coroutine", "future", "twisted deferred"]
)
async def test_results_to_come(face: Any, name: str) -> None:
    """A method may return a Deferred of this library or of Twisted, a future, or be a coroutine."""
    link = await face.connect(await face.serve(Server()))
    assert await face.outcome(link.reference.callRemote(name.replace(" ", "_"))) == name


async def test_first_step(face: Any) -> None:
    """An ``async def`` method runs in an asyncio task from its first step."""
    link = await face.connect(await face.serve(Server()))
    assert await face.outcome(link.reference.callRemote("first_step")) is True


@pytest.mark.parametrize("how", ["fail", "fail_late"])
async def test_registered_errors(face: Any, how: str) -> None:
    """A registered error arrives as its class, with its text."""
    link = await face.connect(await face.serve(Server()))
    error = await face.trapped(link.reference.callRemote(how, "registered"), Failing)
    assert (error.__class__, str(error)) == (Failing, "on purpose")
    assert isinstance(error, broker.RemoteError) is face.is_published
    error = await face.trapped(link.reference.callRemote(how, "pb.Error"), pb.Error)
    assert (error.__class__, str(error)) == (pb.Error, "refused")
    assert isinstance(error, broker.RemoteError) is face.is_published


async def test_errors_of_twisted_deferreds(face: Any) -> None:
    """The error of a Twisted Deferred arrives like any other error."""
    link = await face.connect(await face.serve(Server()))
    error = await face.trapped(link.reference.callRemote("fail_twisted"), Failing)
    assert (error.__class__, str(error)) == (Failing, "from Twisted")


async def test_unregistered_errors(face: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An error of an unknown class is a RemoteError, and is logged where it was raised."""
    link = await face.connect(await face.serve(Server()))
    kind = broker.failure.qual(Unregistered) if face.is_published else broker.RemoteError
    error = await face.trapped(link.reference.callRemote("fail", "unregistered"), kind)
    assert type(error) is broker.RemoteError
    text = "for us only" if face.is_published else "internal error (id "
    assert text in str(error)
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.getMessage().startswith("remote method 'fail' raised")
    assert record.exc_info is not None and record.exc_info[0] is Unregistered


async def test_unknown_method(face: Any) -> None:
    """A call of a method that is not exposed raises NoSuchMethod, which names only the method."""
    link = await face.connect(await face.serve(Server()))
    error = await face.trapped(link.reference.callRemote("nothing"), pb.NoSuchMethod)
    assert str(error) == "no remote method 'nothing'"


async def test_without_answer(face: Any) -> None:
    """``send`` and ``pbanswer=False`` call in order with other calls, and return None."""
    link = await face.connect(await face.serve(Server()))
    assert link.reference.send("hear", 1) is None
    assert link.reference.callRemote("hear", 2, pbanswer=False) is None
    link.reference.send("fail", "registered")
    link.reference.send("hear", 3)
    assert await face.outcome(link.reference.callRemote("heard")) == [1, 2, 3]


async def test_local_objects_come_home(face: Any) -> None:
    """An object that was sent to the peer comes back as the same object."""
    link = await face.connect(await face.serve(Server()))
    mine = Callback()
    assert await face.outcome(link.reference.callRemote("echo", [mine, mine])) == [mine, mine]


@pytest.mark.row("B15")
async def test_abandoned_call(face: Any) -> None:
    """A call whose Deferred was cancelled ends at once; its answer is dropped, others continue."""
    root = Server()
    link = await face.connect(await face.serve(root))
    call = link.reference.callRemote("wait")
    await root.reached.wait()
    call.cancel()
    await face.trapped(call, broker.defer.CancelledError)
    root.waiting.callback("too late")
    assert await face.outcome(link.reference.callRemote("echo", 1)) == 1


@pytest.mark.row("B15")
async def test_cancelled_awaiter(face: Any) -> None:
    """Cancelling the task that awaits a call cancels the call, and the connection continues."""
    root = Server()
    link = await face.connect(await face.serve(root))

    async def call() -> Any:
        return await link.reference.callRemote("wait")

    task = asyncio.create_task(call())
    await root.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    root.waiting.callback("too late")
    assert await face.outcome(link.reference.callRemote("echo", 1)) == 1
    assert len(link.near.session.outgoing.open_calls) == 0


@pytest.mark.row("B15")
async def test_timeout(face: Any) -> None:
    """``broker.timeout`` ends an await inside it with CallTimeout, which has the time."""
    root = Server()
    link = await face.connect(await face.serve(root))
    with pytest.raises(broker.CallTimeout) as caught:
        async with broker.timeout(0.05):
            await link.reference.callRemote("wait")
    assert str(caught.value) == "no answer in 0.05 s"
    assert isinstance(caught.value, TimeoutError)
    root.waiting.callback(None)
    assert await face.outcome(link.reference.callRemote("echo", 1)) == 1


async def test_caller_is_known(face: Any) -> None:
    """A plain and an async method know their caller, also after they have waited."""
    seen: list[Any] = []

    class Asking(broker.Root):
        def remote_plain(self) -> None:
            seen.append(broker.current_call())

        async def remote_async(self) -> None:
            await asyncio.sleep(0)
            seen.append(broker.current_call())

    server = await face.serve(Asking())
    links = [await face.connect(server) for _ in range(2)]
    for link in links:
        await face.outcome(link.reference.callRemote("plain"))
        await face.outcome(link.reference.callRemote("async"))
    homes = [link.far for link in links for _ in range(2)]
    assert [call.connection.broker for call in seen] == homes
    assert [call.peer.address for call in seen] == [
        link.near.transport.getHost() for link in links for _ in range(2)
    ]


async def test_many_in_flight(face: Any) -> None:
    """Each of many calls in flight gets its own answer."""
    link = await face.connect(await face.serve(Server()))
    calls = [link.reference.callRemote("echo", number) for number in range(500)]
    assert [await face.outcome(call) for call in calls] == list(range(500))


async def test_gathered(face: Any) -> None:
    """The result of ``callRemote`` works in gather, TaskGroup, wait_for and create_task."""
    link = await face.connect(await face.serve(Server()))
    call: Callable[[int], Any] = lambda number: link.reference.callRemote("echo", number)  # noqa: E731
    assert await asyncio.gather(call(1), call(2)) == [1, 2]
    assert await asyncio.wait_for(call(3), 5) == 3
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(number)) for number in range(3)]
    assert [task.result() for task in tasks] == [0, 1, 2]
