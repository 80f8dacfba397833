"""A task that awaits an answer runs in the turn that handles the answer, where that is safe."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.memory import BrokerPair, ManualScheduler

import broker
from broker.connection.pump import Pump
from broker.core.policy import STRICT
from broker.defer import Deferred, gatherResults
from broker.errors import PBConnectionLost
from broker.net import scheduler

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="")


class Root(broker.Root):
    """Answers, and fires a Deferred of the test."""

    def __init__(self) -> None:
        self.fires: Deferred[int] = Deferred()
        self.log: list[str] = []

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_fail(self) -> None:
        """Raise."""
        raise broker.Error("on purpose")

    def remote_fire(self) -> None:
        """Fire a Deferred in a method."""
        self.log.append("method begins")
        self.fires.callback(1)
        self.log.append("method ends")

    async def remote_fire_in_a_task(self) -> None:
        """Fire a Deferred in an async method."""
        self.remote_fire()

    async def remote_wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()


@asynccontextmanager
async def connected(root: Root) -> AsyncIterator[Any]:
    """Serve an object, and yield ``callRemote`` of it."""
    async with (
        broker.serve(root, "pb://127.0.0.1:0", policy=STRICT) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        yield connection.root.callRemote


def is_in_a_turn() -> bool:
    """Whether the running code is called by the turn of a connection."""
    return any(each._is_running for each in gc.get_objects() if type(each) is Pump)


async def test_at_once() -> None:
    """After a result, and after an error, the task runs in the turn of the answer."""
    async with connected(Root()) as call:
        assert await call("echo", 1) == 1
        assert is_in_a_turn()
        with pytest.raises(broker.Error, match="on purpose"):
            await call("fail")
        assert is_in_a_turn()
        promise = call("echo", 2).addCallback(lambda value: value + 1)
        assert await promise == 3
        assert is_in_a_turn()


async def test_each_kind_of_awaiter() -> None:
    """A task of the Deferred itself, and a Deferred that waits for others, are woken as well."""

    async def through(deferred: Deferred[Any]) -> bool:
        await deferred
        return is_in_a_turn()

    async with connected(Root()) as call:
        waiting: Deferred[Any] = Deferred()
        waiting.addCallback(lambda _: call("echo", 1))
        task = asyncio.ensure_future(through(waiting))
        await asyncio.sleep(0)
        waiting.callback(None)
        assert await task
        # What a callback fires has no part in it: other code of the application may follow.
        assert not await through(gatherResults([call("echo", 1), call("echo", 2)]))
        assert await asyncio.create_task(call("echo", 5)) == 5
        assert await asyncio.gather(*[call("echo", number) for number in range(5)]) == [*range(5)]


@pytest.mark.parametrize("name", ["fire", "fire_in_a_task"])
async def test_not_inside_a_method(name: str) -> None:
    """A method that fires another Deferred is not interrupted by the task that awaits that."""
    root = Root()

    async def wait() -> None:
        await root.fires
        root.log.append("task")

    async with connected(root) as call:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await call(name)
        await task
    assert root.log == ["method begins", "method ends", "task"]


async def test_not_inside_a_callback() -> None:
    """Nor is a callback of a call, nor the code of a woken task."""
    fires: list[Deferred[None]] = [Deferred(), Deferred()]
    log: list[str] = []

    async def wait(number: int) -> None:
        await fires[number]
        log.append(f"task {number}")

    def fire(number: int) -> None:
        log.append(f"begins {number}")
        fires[number].callback(None)
        log.append(f"ends {number}")

    async with connected(Root()) as call:
        tasks = [asyncio.create_task(wait(number)) for number in range(2)]
        await asyncio.sleep(0)
        await call("echo", 0).addCallback(fire)
        await call("echo", 0)
        fire(1)
        await asyncio.gather(*tasks)
    assert log.index("ends 0") == log.index("begins 0") + 1
    assert log.index("ends 1") == log.index("begins 1") + 1


async def test_order_and_context() -> None:
    """Tasks run in the order of the answers, whatever their chains are; each in its context."""
    log: list[tuple[int, str]] = []

    async def ask(call: Any, number: int) -> None:
        MARK.set(f"mark {number}")
        promise = call("echo", [number] if number % 2 else number)
        if number % 3 == 0:
            promise.addCallback(lambda value: value)
        await (promise if number % 5 else asyncio.ensure_future(promise))
        log.append((number, MARK.get()))

    async with connected(Root()) as call:
        numbers = [number for number in range(50) if number % 5]
        await asyncio.gather(*[ask(call, number) for number in numbers])
    assert log == [(number, f"mark {number}") for number in numbers]


async def test_a_context_in_use() -> None:
    """A task whose context is that of the running callback runs in the next iteration."""
    root = Root()
    context = contextvars.copy_context()
    async with connected(root) as call:
        loop = asyncio.get_running_loop()

        async def ask() -> str:
            MARK.set("mine")
            await call("echo", 1)
            return MARK.get()

        task = loop.create_task(ask(), context=context)
        await asyncio.sleep(0)
        # The answer is fired inside the task's own context.
        calls = call.__self__.broker.calls
        calls.stepped_loop = loop
        context.run(calls.answered, *calls.waiting, 1)
        assert await task == "mine"


class LoopScheduler(ManualScheduler):
    """Turns and time of a test, and tasks of the running loop."""

    stepped_loop = scheduler.LoopScheduler.stepped_loop

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()  # type: ignore[assignment]


def answers_of(pair: BrokerPair) -> bytes:
    """Let the server handle what the client has sent; return its answers."""
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    while pair.scheduler.step():
        pass
    return pair.transport(pair.server).take()


async def in_a_callback(function: Callable[..., Any], *args: Any) -> None:
    """Call a function in a callback of the loop, where no task runs."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(lambda: (function(*args), done.set()))
    await done.wait()


@pytest.mark.parametrize("is_in_a_task", [False, True])
async def test_not_while_a_task_runs(is_in_a_task: bool) -> None:
    """A task that feeds bytes to a connection is not interrupted by another task."""
    pair = BrokerPair(Root(), policy=STRICT, scheduler=LoopScheduler())
    log: list[str] = []

    async def ask() -> None:
        await pair.root.callRemote("echo", 1)
        log.append("task")

    def feed(data: bytes) -> None:
        log.append("before")
        pair.client.dataReceived(data)
        log.append("after")

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    data = answers_of(pair)
    if is_in_a_task:
        feed(data)
    else:
        await in_a_callback(feed, data)
    await task
    assert pair.client.calls.stepped_loop is None
    assert log == (["before", "after", "task"] if is_in_a_task else ["before", "task", "after"])


async def test_not_in_debug_mode() -> None:
    """asyncio's debug mode measures each callback of the loop: there a task has its own."""
    async with connected(Root()) as call:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        try:
            await call("echo", 1)
            assert not is_in_a_turn()
        finally:
            loop.set_debug(False)


async def test_a_woken_task_may_do_anything() -> None:
    """It may call, cancel another call, and close the connection."""
    root = Root()
    async with (
        broker.serve(root, "pb://127.0.0.1:0", policy=STRICT) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        call = connection.root.callRemote
        waits = [asyncio.ensure_future(call("wait")) for _ in range(2)]
        assert await call("echo", 1) == 1
        assert is_in_a_turn()
        waits[0].cancel()
        assert await call("echo", 2) == 2
        later = [asyncio.ensure_future(call("echo", 3)) for _ in range(3)]
        await call("echo", 4)
        assert is_in_a_turn()
        connection.broker.transport.abortConnection()
        outcomes = await asyncio.gather(*waits, *later, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert isinstance(outcomes[1], PBConnectionLost)
    assert all(each == 3 or isinstance(each, PBConnectionLost) for each in outcomes[2:])


@pytest.mark.parametrize(("seconds", "woken"), [(0.0, 64), (0.004, 4), (0.02, 2)])
async def test_the_turn_ends(seconds: float, woken: int) -> None:
    """The time of woken tasks counts: others have their turn after ``turn_time``."""
    pair = BrokerPair(Root(), policy=STRICT, scheduler=LoopScheduler())
    done: list[int] = []

    async def ask(number: int) -> None:
        await pair.root.callRemote("echo", number)
        pair.scheduler.clock += seconds
        done.append(number)

    tasks = [asyncio.create_task(ask(number)) for number in range(100)]
    await asyncio.sleep(0)
    await in_a_callback(pair.client.dataReceived, answers_of(pair))
    assert len(done) == woken
    while pair.scheduler.step():
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert done == [*range(100)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt(error: type[BaseException]) -> None:
    """It passes through the turn, and the connection goes on when the loop does."""
    loop = asyncio.new_event_loop()
    outcome: list[Any] = []

    async def ask(call: Any) -> None:
        await call("echo", 1)
        raise error

    async def begin() -> None:
        async with connected(Root()) as call:
            outcome.append(asyncio.ensure_future(ask(call)))
            later = [call("echo", number) for number in range(300)]
            outcome.append(await gatherResults(later))
            assert await call("echo", "still") == "still"

    program = loop.create_task(begin())
    try:
        with pytest.raises(error):
            loop.run_until_complete(program)
        loop.run_until_complete(program)
        assert isinstance(outcome[0].exception(), error)
        assert outcome[1] == [*range(300)]
    finally:
        loop.close()


def test_the_rest_after_an_interrupt() -> None:
    """Messages behind an interrupted one are handled in a later turn, without further bytes."""
    loop = asyncio.new_event_loop()
    asleep: list[asyncio.Task[Any]] = []

    async def ask(pair: BrokerPair, number: int) -> int:
        await pair.root.callRemote("echo", number)
        if not number:
            raise KeyboardInterrupt
        return number

    async def begin() -> BrokerPair:
        pair = BrokerPair(Root(), policy=STRICT, scheduler=LoopScheduler())
        asleep.extend(asyncio.create_task(ask(pair, number)) for number in range(3))
        await asyncio.sleep(0)
        return pair

    async def go_on() -> list[int]:
        while pair.scheduler.step():
            pass
        return await asyncio.gather(*asleep[1:])

    try:
        pair = loop.run_until_complete(begin())
        loop.call_soon(pair.client.dataReceived, answers_of(pair))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(0))
        assert loop.run_until_complete(go_on()) == [1, 2]
        assert isinstance(asleep[0].exception(), KeyboardInterrupt)
    finally:
        loop.close()


async def test_a_method_is_not_blamed_for_a_task(caplog: pytest.LogCaptureFixture) -> None:
    """The warning about a method that blocks the loop is not made of the time of a woken task."""
    pair = BrokerPair(Root(), policy=STRICT, scheduler=LoopScheduler())
    pair.client.setNameForLocal("mine", Root())
    mine = pair.server.remoteForName("mine")

    async def ask() -> None:
        await pair.root.callRemote("echo", 1)
        pair.scheduler.clock += 5.0

    task = asyncio.create_task(ask())
    # The third slice of the turn has two messages: a call and the answer.
    calls = [mine.callRemote("echo", number) for number in range(3)]
    await asyncio.sleep(0)
    await in_a_callback(pair.client.dataReceived, answers_of(pair))
    await task
    pair.exchange()
    assert [call.result for call in calls] == [0, 1, 2]
    assert "blocked the event loop" not in caplog.text
