"""Results of calls of a link as arguments: order, failures, and what is told of them."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from support.linked import A, B, linked, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.testing.clock import virtual_clock
from jelly.errors import CannotJelly

DIALECTS = ["msgpack/1", "pb"]
pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


class Desk(broker.Referenceable):
    """Notes in one list what happens at all desks."""

    def __init__(self, log: list[Any], gate: asyncio.Event):
        self.log, self.gate = log, gate

    def remote_say(self, text: Any) -> Any:
        """Note a text."""
        self.log.append(text)
        return text

    def remote_take(self, *others: Any) -> str:
        """Take objects."""
        assert all(isinstance(other, Desk) for other in others)
        self.log.append("take")
        return "taken"

    def remote_next(self) -> Desk:
        """Return another desk."""
        return Desk(self.log, self.gate)

    def remote_same(self) -> Desk:
        """Return this desk."""
        return self

    async def remote_slow_same(self) -> Desk:
        """Return this desk when the gate is open."""
        await self.gate.wait()
        return self

    async def remote_slow(self) -> Desk:
        """Return another desk when the gate is open."""
        await self.gate.wait()
        return self.remote_next()

    async def remote_fails(self) -> None:
        """Raise an error when the gate is open."""
        await self.gate.wait()
        raise broker.Error("no desk")

    def remote_two(self) -> list[Any]:
        """Return a value and a desk."""
        return [5, self.remote_next()]

    async def remote_pair(self) -> list[Any]:
        """Return a value and a desk when the gate is open."""
        await self.gate.wait()
        return [5, self.remote_next()]


class Front(Desk, broker.Root):
    """The desk that clients come to first."""

    def __init__(self) -> None:
        super().__init__([], asyncio.Event())


def served(net: MemoryNet, dialect: str) -> tuple[Front, broker.Policy]:
    """Serve; return the desk and the policy of the client."""
    front, policy = Front(), POLICY.but(dialects=(dialect,))
    net.serve(A, front, policy)
    return front, policy


async def calls_keep_their_order(front: Front, desk: Any, argument: Any) -> None:
    """Check that a call waits for its argument, and that later calls of the object wait for it."""
    calls = [desk.callRemote("take", argument)]
    reference = await desk
    calls += [reference.callRemote("say", 1), desk.callRemote("say", 2)]
    await turns()
    assert front.log == []
    front.gate.set()
    assert await asyncio.gather(*calls) == ["taken", 1, 2]
    assert front.log == ["take", 1, 2]


async def test_order_behind_a_result(net: MemoryNet, dialect: str) -> None:
    """A call with a result that has not come keeps its place, also before calls on the reference.

    These are the calls on a promise, and then on the reference that it became.
    """
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            desk, slow = link.root.callRemote("next"), link.root.callRemote("slow")
            await calls_keep_their_order(front, desk, slow)


async def test_order_behind_a_result_that_is_not_asked_for(net: MemoryNet, dialect: str) -> None:
    """The same holds where the call of that result waits for a recipe."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            later = link.root.recipe("slow").callRemote("next")
            desk = link.root.callRemote("next")
            await calls_keep_their_order(front, desk, later)


async def test_order_behind_a_recipe(net: MemoryNet, dialect: str) -> None:
    """A call with a recipe that has not come keeps its place."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            desk, slow = link.root.callRemote("next"), link.root.recipe("slow")
            await calls_keep_their_order(front, desk, slow)


async def test_callbacks_behind_calls_that_wait(net: MemoryNet, dialect: str) -> None:
    """A call on a promise whose result was replaced by a callback is made on what replaced it."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            desk, slow = link.root.callRemote("next"), link.root.recipe("slow")
            call = desk.callRemote("take", slow)
            await desk
            desk.addCallback(lambda reference: 5)
            with pytest.raises(TypeError, match="'next' returned an int"):
                await desk.callRemote("say", 1)
            front.gate.set()
            assert await call == "taken"


async def test_no_call_waits_for_itself(net: MemoryNet, dialect: str) -> None:
    """A call does not hold back the call of its own argument, made before it to the same object."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            desk = link.root.recipe("next")
            await desk
            inner = desk.callRemote("same").callRemote("same").callRemote("next")
            calls = [desk.callRemote("take", inner), desk.callRemote("say", 1)]
            assert await asyncio.wait_for(asyncio.gather(*calls), 60) == ["taken", 1]
            recipe = desk.recipe("slow_same").recipe("next")
            calls = [desk.callRemote("take", recipe), desk.callRemote("say", 2)]
            await turns()
            front.gate.set()
            assert await asyncio.wait_for(asyncio.gather(*calls), 60) == ["taken", 2]
            assert front.log == ["take", 1, "take", 2]


async def test_failures_of_arguments(
    net: MemoryNet, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A call fails as the result among its arguments; this failure is not told once more."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            call, recipe = link.root.callRemote, link.root.recipe("slow")
            desk = call("next")
            await desk
            calls = [
                target.callRemote("take", wrong)
                for target in (desk, link.root, recipe)
                for wrong in (
                    call("fails"),
                    call("fails")[1],
                    link.root.recipe("slow").callRemote("fails")[1],
                    link.root.recipe("fails"),
                )
            ]
            values = [
                target.callRemote("take", wrong)
                for target in (desk, link.root, recipe)
                for wrong in (call("pair")[0], call("pair")[7], call("say", object())[0])
            ]
            values.append(recipe.callRemote("say", object())[0].callRemote("say", 1))
            await turns()
            front.gate.set()
            while calls:
                with pytest.raises(broker.Error, match="no desk"):
                    await calls.pop()
            while values:
                with pytest.raises((broker.BrokenPromise, TypeError, IndexError, CannotJelly)):
                    await values.pop()
            assert await desk.callRemote("say", 1) == 1
            await turns()
            gc.collect()
            await turns()
    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each for each in told if "remote method 'fails' raised" not in each] == []


async def test_a_result_that_comes_before_the_target(
    net: MemoryNet, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A result is an argument of a call whose target comes later than the result itself."""
    front, policy = served(net, dialect)
    with virtual_clock():
        async with linked(policy=policy) as link:
            call, recipe = link.root.callRemote, link.root.recipe("slow")
            results = [call("next"), call("next"), call("absent"), call("absent")]
            calls = [recipe.callRemote("take", each) for each in (results[0], results[2])]
            elements = call("two")
            calls += [recipe.callRemote("take", elements[1])]
            calls += [recipe.callRemote("take", call("absent")[1])]
            for each in results[:2]:
                await each
            for each in results[2:]:
                with pytest.raises(broker.NoSuchMethod):
                    await each
            await elements
            front.gate.set()
            assert await calls[0] == "taken"
            assert await calls[2] == "taken"
            for each in (calls[1], calls[3]):
                with pytest.raises(broker.NoSuchMethod):
                    await each
            del calls, each
            gc.collect()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_a_call_with_the_result_of_one_that_moves(net: MemoryNet, dialect: str) -> None:
    """It moves, too, when the server drains, though its connection has kept it until then."""
    fronts, policy = {A: Front(), B: Front()}, POLICY.but(dialects=(dialect,))
    servers = {each: net.serve(each, fronts[each], policy) for each in fronts}
    with virtual_clock():
        async with linked((A, B), policy=policy) as link:
            desk = link.root.recipe("next")
            await desk.callRemote("say", "here")
            here, there = (A, B) if fronts[A].log else (B, A)
            running = link.root.callRemote("slow")
            recipe = link.root.recipe("slow")
            results = [recipe.callRemote("next"), recipe.callRemote("pair")[1]]
            calls = [link.root.callRemote("take", each) for each in (*results, recipe)]
            await turns()
            closing = asyncio.create_task(servers[here].close(drain=60))
            await turns()
            fronts[there].gate.set()
            # In PB's dialects this call is refused, and tells the link that the server drains.
            assert await desk.callRemote("say", "there") == "there"
            await turns()
            fronts[here].gate.set()
            assert await asyncio.gather(*calls) == ["taken"] * 3
            await running
            await closing
            assert fronts[here].log.count("take") + fronts[there].log.count("take") == 3


async def test_order_of_calls_that_are_refused(net: MemoryNet, dialect: str) -> None:
    """Calls that a server refuses, since it drains, are made at the other one in their order.

    Each comes behind the calls whose results it is made on, or has as arguments.
    """
    fronts, policy = {A: Front(), B: Front()}, POLICY.but(dialects=(dialect,))
    servers = {each: net.serve(each, fronts[each], policy) for each in fronts}
    net.delay = 1.0
    with virtual_clock():
        async with linked((A, B), policy=policy) as link:
            await link.root.callRemote("say", "here")
            here, there = (A, B) if fronts[A].log else (B, A)
            running = link.root.callRemote("slow")
            await asyncio.sleep(2.0)
            closing = asyncio.create_task(servers[here].close(drain=60))
            await asyncio.sleep(0.9)
            # The link is told in a moment, and has another connection when these are refused.
            net.delay = 0.0
            call = link.root.callRemote
            source, other = call("next"), call("next")
            calls = [source.callRemote("say", number) for number in range(100)]
            taken = [call("take", call("next")), source.callRemote("take", other)]
            taken += [call("take", call("next").callRemote("next"))]
            taken += [call("take", call("next"), call("next"))]
            assert await asyncio.gather(*calls) == list(range(100))
            assert await asyncio.gather(*taken) == ["taken"] * 4
            assert [each for each in fronts[there].log if each != "take"] == list(range(100))
            fronts[here].gate.set()
            await running
            await closing
