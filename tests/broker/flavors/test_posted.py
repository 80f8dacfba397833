"""Calls that a thread makes in the loop of another thread."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from support.shop import DIALECTS, Shop, TicketOffice, policy_of

import broker
from broker.defer import CancelledError, Deferred, succeed
from broker.flavors.posted import Posted, do_in_loop, is_posted, post, take_posts

NAME: ContextVar[str] = ContextVar("name", default="loop")


async def elsewhere(function: Any, *args: Any) -> Any:
    """Call a function in another thread."""
    return await asyncio.to_thread(function, *args)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_loop_that_takes_posts(dialect: str, each_loop: Any) -> None:
    """Calls of other threads are made in the loop, and keep their order."""
    policy = policy_of(dialect)
    here = Shop()
    loop = asyncio.get_running_loop()
    async with (
        broker.serve(here, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        root = connection.root
        with pytest.raises(RuntimeError, match="belongs to the loop of another thread"):
            await elsewhere(root.callRemote, "echo", 1)
        take_posts(loop)
        assert not is_posted(loop)
        assert await elsewhere(is_posted, loop)
        assert not is_posted(None)
        posted = await elsewhere(root.callRemote, "echo", 1)
        assert type(posted) is Posted
        assert "<Promise of echo, " in repr(posted)
        assert await posted == 1

        def many() -> list[Any]:
            assert root.callRemote("hear", 0, pbanswer=False) is None
            root.send("hear", 1)
            return [root.callRemote("hear", number) for number in range(2, 10)]

        await asyncio.gather(*await elsewhere(many))
        assert here.heard == list(range(10))
        with pytest.raises(broker.Error, match="broken"):
            await (await elsewhere(root.callRemote, "fail", "broken"))
        slow = await elsewhere(root.callRemote, "slow")
        while "began" not in here.events:
            await asyncio.sleep(0.001)
        slow.cancel()
        with pytest.raises((CancelledError, asyncio.CancelledError)):
            await slow
    with pytest.raises(broker.DeadReferenceError):
        await elsewhere(root.callRemote, "echo", 1)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_contract(dialect: str) -> None:
    """The methods of a contract, and of a reference that has not come, are posted as well."""
    policy = policy_of(dialect)
    take_posts(asyncio.get_running_loop())
    async with (
        broker.serve(
            broker.servant(TicketOffice)(Shop().remote_office().target),
            "pb://127.0.0.1:0",
            policy=policy,
        ) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        office = connection.root.of(TicketOffice)

        def work() -> list[Any]:
            room = office.room("a")
            return [office.reserve(2), room.say("b"), room.say("cd")]

        assert await asyncio.gather(*await elsewhere(work)) == [[0, 1], 2, 3]
        # Made in the loop, and used in a thread before it has come.
        room = office.room("abc")
        assert await (await elsewhere(room.say, "d")) == 4


async def test_outcomes() -> None:
    """A posted call fires as its Deferred does, with None without one, and with its exception."""
    loop = asyncio.get_running_loop()
    waiting: Deferred[Any] = Deferred()
    posted = post(loop, "work", lambda: waiting)
    await asyncio.sleep(0)
    waiting.callback(3)
    assert await posted == 3

    def failing() -> Any:
        raise broker.DeadReferenceError("gone")

    with pytest.raises(broker.DeadReferenceError):
        await post(loop, "work", failing)


async def test_cancelled_before_it_was_made() -> None:
    """A call that is cancelled before the loop has made it is not made."""
    made: list[int] = []
    posted = post(asyncio.get_running_loop(), "work", lambda: made.append(1))  # type: ignore
    posted.cancel()
    with pytest.raises((CancelledError, asyncio.CancelledError)):
        await posted
    await asyncio.sleep(0)
    assert made == []


async def test_the_context() -> None:
    """The call is made in the context of the thread that posted it."""
    loop = asyncio.get_running_loop()

    def call() -> Deferred[Any]:
        return succeed(NAME.get())

    def work() -> Posted:
        NAME.set("thread")
        return post(loop, "work", call)

    assert await (await elsewhere(work)) == "thread"


async def test_awaited_in_another_loop() -> None:
    """A posted call can be awaited only in its loop: its callbacks run there."""
    loop = asyncio.get_running_loop()
    posted = post(loop, "work", lambda: succeed(3))

    async def awaited() -> Any:
        return await posted

    for work in (lambda: asyncio.run(awaited()), lambda: asyncio.run(posted)):
        with pytest.raises(RuntimeError, match="belongs to the loop of another thread"):
            await elsewhere(work)
    assert await posted == 3
    assert await asyncio.create_task(post(loop, "work", lambda: succeed(4))) == 4


async def test_done_in_the_loop() -> None:
    """A function is done in the loop before the thread goes on, and its exception is raised."""
    loop = asyncio.get_running_loop()
    seen: list[Any] = []
    await elsewhere(do_in_loop, loop, lambda: seen.append(asyncio.get_running_loop()))
    assert seen == [loop]

    def failing() -> None:
        raise KeyError("a")

    with pytest.raises(KeyError):
        await elsewhere(do_in_loop, loop, failing)
