"""Calls on promises: cancelling, limits, the end, and what else calls can carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
from support.cached_models import Model
from support.promise_house import Guarded, House, Room, Setting, failure_of

import broker
from broker import blocking, pb, testing
from broker.defer import CancelledError
from broker.errors import BrokenPromise, CallTimeout, Error, PBConnectionLost, ServerBusy


async def test_cancel(at: Setting) -> None:
    """Cancelling the last call on a promise cancels it, if nothing else waits for it."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    calls = [promise.callRemote("say", n) for n in range(3)]
    await at.arrive()
    calls[0].cancel()
    await failure_of(calls[0], CancelledError)
    assert not promise.called
    calls[1].cancel()
    calls[2].cancel()
    await failure_of(promise, CancelledError)
    await failure_of(calls[2], CancelledError)
    await at.arrive()
    if at.is_pipelined:
        assert at.house.cancelled == ["a"]
    at.house.open("a")
    assert at.waiting == 0


async def test_cancel_with_an_awaiter(at: Setting) -> None:
    """A promise that a task awaits is not cancelled with its calls; nor by the task alone."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    call = promise.callRemote("say", 1)

    async def wait() -> Any:
        return await promise

    task = asyncio.create_task(wait())
    await at.arrive()
    call.cancel()
    await failure_of(call, CancelledError)
    second = promise.callRemote("say", 2)
    task.cancel()
    with pytest.raises((asyncio.CancelledError, CancelledError)):
        await task
    await at.arrive()
    at.house.open("a")
    assert await second == "a: 2"
    assert at.house.rooms["a"].said == [2]


async def test_cancel_of_the_promise(at: Setting) -> None:
    """Cancelling a promise fails its calls, those of its elements, and theirs."""
    await at.open()
    promise = at.root.callRemote("list", "a")
    calls = [promise.callRemote("say", 1), promise[1].callRemote("say", 2)]
    calls.append(calls[1].callRemote("say", 3))
    passed = at.root.callRemote("take", promise[1])
    await at.arrive()
    promise.cancel()
    for call in (*calls, passed, promise):
        await failure_of(call, CancelledError)
    await at.arrive()
    at.house.open("a")
    assert await at.root.callRemote("back", 1) == 1
    assert at.house.heard == []


async def test_cancel_of_a_call_with_a_promise(at: Setting) -> None:
    """The calls behind a cancelled one go on."""
    await at.open()
    call = at.root.callRemote
    other = call("slowly", "a")
    first, second = call("take", other), call("hear", 1)
    await at.arrive()
    first.cancel()
    await failure_of(first, CancelledError)
    await second
    assert at.house.heard == [1]
    at.house.open("a")
    assert await other.callRemote("say", 1) == "a: 1"


async def test_deadlines(at: Setting) -> None:
    """The deadline of a waiting call runs from its making."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    call = None
    with pytest.raises((CallTimeout, TimeoutError)):
        async with broker.timeout(0.05):
            call = promise.callRemote("say", 1)
            await call
    assert call is not None
    at.house.open("a")
    await at.arrive()
    assert "a" not in at.house.rooms or at.house.rooms["a"].said == []


async def test_long_chains_take_no_stack(at: Setting) -> None:
    """A chain of calls on calls, of any length, fails, is cancelled and ends without recursion."""
    await at.open()
    for ending in ("fails", "cancel", "drop", "value"):
        if ending == "fails":
            at.house.open("f")
            promise = first = at.root.callRemote("fails", "f")
        else:
            promise = first = at.root.callRemote("value", ending, 5)
        for _ in range(900):
            promise = promise.callRemote("next")
        await at.arrive()
        if ending == "cancel":
            first.cancel()
        elif ending == "drop":
            promise.cancel()
        else:
            at.house.open(ending)
        kind = {"fails": Error, "value": BrokenPromise}.get(ending, CancelledError)
        assert isinstance(await failure_of(promise, kind), kind)
        if ending in ("fails", "cancel", "drop"):
            await failure_of(first, kind)
        at.house.open(ending)


async def test_too_many_wait_here(at: Setting) -> None:
    """The 1,025th call that waits at this end fails at once, and those before it are made."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    far = at.root.callRemote("many", "m", 101)[100]
    calls = [far.callRemote("say", n) for n in range(1024)]
    more = [far.callRemote("say", 0), far.callRemote("say", 0)]
    for call in more:
        await failure_of(call, ServerBusy, "1024 calls wait for promises here")
    assert far.callRemote("say", "lost", pbanswer=False) is None
    at.house.open("m")
    at.house.open("a")
    await asyncio.gather(promise, *calls)
    assert at.house.rooms["m100"].said == list(range(1024))


@pytest.mark.parametrize("count", [63, 64, 65, 200])
async def test_calls_that_wait_at_the_peer(at: Setting, count: int) -> None:
    """More than 64 wait here for a place; none fails, and their order is kept."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    calls = [promise.callRemote("say", n) for n in range(count)]
    await at.arrive()
    if at.is_pipelined:
        assert at.waiting == min(64, count)
    at.house.open("a")
    await asyncio.gather(*calls)
    assert at.house.rooms["a"].said == list(range(count))


async def test_calls_behind_a_promise_are_not_counted(at: Setting) -> None:
    """Calls that wait only behind another one take no place of ``max_promised``."""
    await at.open()
    call = at.root.callRemote
    first = call("take", call("slowly", "a"))
    calls = [call("hear", n) for n in range(300)]
    taken = [call("take", call("room", f"r{n}")) for n in range(100)]
    await at.arrive()
    at.house.open("a")
    await asyncio.gather(first, *calls, *taken)
    assert at.house.heard == [["a"], *range(300), *([f"r{n}"] for n in range(100))]


@pytest.mark.parametrize("count", [1022, 1023, 1024, 1025])
async def test_open_calls(count: int) -> None:
    """With 1,024 open calls a call on a promise waits here, and is made in its place later."""
    at = await Setting("msgpack/1", "asyncio").open(max_calls=5000)
    try:
        promise = at.root.callRemote("slowly", "a")
        others = [at.root.callRemote("slowly", "o") for _ in range(count - 1)]
        call = promise.callRemote("say", 1)
        await at.arrive()
        assert at.waiting == (count < 1024)
        at.house.open("a")
        at.house.open("o")
        assert await call == "a: 1"
        await asyncio.gather(*others)
        del promise, others, call
    finally:
        await at.finish()


async def test_many_answers_before_the_calls(at: Setting) -> None:
    """A promise is known at the peer as long as its caller may not have read the answer."""
    await at.open()
    at.house.open("k")
    promises = [at.root.callRemote("slowly" if n % 3 else "room", "k") for n in range(600)]
    calls = [promise.callRemote("say", n) for n, promise in enumerate(promises)]
    assert await asyncio.gather(*calls) == [f"k: {n}" for n in range(600)]


@pytest.mark.parametrize("way", ["close", "cut"])
async def test_the_end_of_the_connection(
    at: Setting, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that waited here have surely not run; all fail, and one log line tells of them."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("slowly", "a")
    home = at.root.callRemote("value", "v", mine)
    calls = [promise.callRemote("say", n) for n in range(100)]
    calls += [home.callRemote("say", 1), at.root.callRemote("take", promise)]
    calls += [calls[0].callRemote("x"), at.root.callRemote("many", "m", 99)[80].callRemote("say")]
    await at.arrive()
    if way == "close":
        await at.pair.server.close()
    else:
        at.pair.network.cut()
    results = await asyncio.gather(promise, home, *calls, return_exceptions=True)
    assert {type(error) for error in results} <= {PBConnectionLost, broker.DeadReferenceError}
    for result in results[2 + 64 : 2 + 100]:
        assert isinstance(result, PBConnectionLost)
        assert not result.may_have_run
    assert mine.said == []
    at.house.open("a")
    at.house.open("v")
    at.house.open("m")


async def test_other_connections() -> None:
    """A promise is no argument of a call on another connection."""
    async with testing.pair(House()) as one, testing.pair(House()) as other:
        promise = one.client.root.callRemote("room", "a")
        call = other.client.root.callRemote("take", promise)
        await failure_of(call, broker.CannotJelly, "another connection")
        assert await promise.callRemote("say", 1) == "a: 1"


async def test_conditions(at: Setting) -> None:
    """A promise reaches nothing that a direct call does not reach, there and at home."""
    await at.open()
    guarded, mine = at.house.guarded, Guarded()
    for call in (
        lambda: at.root.callRemote("guarded"),
        lambda: at.root.callRemote("back", mine),
    ):
        assert await call().callRemote("open") == "open"
        error = await failure_of(call().callRemote("secret"), Exception)
        assert "Unauthorized" in type(error).__name__
        await failure_of(call().callRemote("hidden"), broker.NoSuchMethod)
        await failure_of(call().callRemote("done"), broker.NoSuchMethod)
        await failure_of(call()["done"].callRemote("append", 1), BrokenPromise)
    assert guarded.done == mine.done == []


class Hall(Protocol):
    """A contract."""

    async def say(self, text: str) -> str:
        """A call."""
        ...

    def next(self) -> Hall:
        """A reference that can be used at once."""
        ...


async def test_typed(at: Setting) -> None:
    """A promise has the methods of a contract, and they leave at once."""
    await at.open()
    before = at.flights()
    promise = at.root.callRemote("room", "a")
    hall = promise.of(Hall)
    assert await hall.next().next().say("hi") == "a'': hi"
    assert at.flights() - before == (1 if at.is_pipelined else 4)
    assert await promise.of(Hall).say("again") == "a: again"
    assert await at.root.callRemote("take", hall) == "a"


async def test_streams_among_arguments(at: Setting) -> None:
    """A stream in a waiting call is read when the call runs, also if its items came before."""
    await at.open()
    at.house.open("c")

    async def numbers() -> AsyncIterator[int]:
        for number in range(600):
            yield number

    room, failed = at.root.callRemote("slowly", "a"), at.root.callRemote("fails", "f")
    dropped = at.root.callRemote("count", numbers(), failed)
    call = at.root.callRemote("count", numbers(), room)
    await at.arrive()
    at.house.open("f")
    await failure_of(dropped, Error, "no f")
    at.house.open("a")
    assert await call == ("a", list(range(600)))


async def test_observed_values_among_arguments(at: Setting) -> None:
    """A cache in a waiting call is whole when the call runs, with the changes that came before."""
    await at.open()
    model = Model(1)
    call = at.root.callRemote("show", model, at.root.callRemote("slowly", "a"))
    await at.arrive()
    changes = [change for value in (2, 3) for change in model.change(value)]
    await at.arrive()
    at.house.open("a")
    assert await call == "a"
    if at.is_pipelined:
        assert at.house.heard[0].value == 3
        await asyncio.gather(*changes)
    at.house.heard.clear()
    await at.arrive()
    assert model.observers == []


async def test_perspectives(at: Setting) -> None:
    """A call on a promise of a Viewable has the perspective of the call that returned it."""
    await at.open()
    seen: list[Any] = []

    class Picture(pb.Viewable):
        def view_look(self, perspective: Any) -> str:
            seen.append(perspective)
            return "seen"

    class Avatar(pb.Avatar):
        def perspective_picture(self) -> Any:
            return Picture()

    from cred.portal import Portal

    avatar = Avatar()

    class Realm:
        def requestAvatar(self, name: Any, mind: Any, *interfaces: Any) -> Any:
            return pb.IPerspective, avatar, lambda: None

    portal = Portal(Realm())
    async with testing.pair(portal, user="alice", dialect=at.dialect, face=at.face) as pair:
        assert await pair.client.avatar.callRemote("picture").callRemote("look") == "seen"
        assert seen == [avatar]


async def test_threads(at: Setting) -> None:
    """A promise of another thread: its calls are posted, and leave at once."""
    await at.open()
    from broker.flavors.posted import take_posts

    take_posts(asyncio.get_running_loop())
    root = at.root

    def work() -> list[Any]:
        room = root.callRemote("slowly", "a")
        element = root.callRemote("list", "a")[1]
        with pytest.raises(TypeError, match="one step"):
            element[1]
        room.callRemote("say", 0, pbanswer=False)
        return [
            room.callRemote("say", 1),
            element.callRemote("say", 2),
            root.callRemote("take", room, element),
            room,
        ]

    *calls, room = await asyncio.to_thread(work)
    await at.arrive()
    if at.is_pipelined:
        assert at.waiting == 4
    at.house.open("a")
    assert await asyncio.gather(*calls) == ["a: 1", "a: 2", "a a"]
    said = at.house.rooms["a"].said
    assert said.index(0) < said.index(1)
    assert await (await asyncio.to_thread(room.callRemote, "say", 3)) == "a: 3"


def test_blocking() -> None:
    """With ``broker.blocking`` a promise is called in a thread that is not the loop's."""
    with (
        blocking.serve(House(), "pb://127.0.0.1:0") as server,
        blocking.connect(server.addresses[0]) as connection,
    ):
        promise = connection.root.reference.callRemote("room", "a")
        chained = promise.callRemote("next").callRemote("say", 1)

        async def wait() -> Any:
            return await chained

        assert asyncio.run_coroutine_threadsafe(wait(), promise.loop).result(10) == "a': 1"


async def test_within_a_message_that_is_built(at: Setting) -> None:
    """A promise of a call that a hook makes while the message is built is refused."""
    await at.open()

    class Copy(pb.Copyable):
        def getStateToCopy(self) -> Any:
            return {"room": at.root.callRemote("room", "a")}

    call = at.root.callRemote("take", Copy())
    error = await failure_of(call, broker.CannotJelly if at.is_pipelined else Exception)
    if at.is_pipelined:
        assert "a promise of a call that is sent behind this one" in str(error)
    await at.arrive()
