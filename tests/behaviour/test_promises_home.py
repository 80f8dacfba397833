"""Calls on promises that become an object of their caller."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.promise_house import Room, Setting, failure_of

import broker
from broker import pb
from broker.defer import CancelledError
from broker.errors import BrokenPromise, Error


@pytest.mark.parametrize("count", [0, 1, 2, 5])
async def test_home(at: Setting, count: int) -> None:
    """Calls on an object of the caller are made here, in their order, and never there."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("value", "v", mine)
    calls = [promise.callRemote("tell" if n % 2 else "say", n) for n in range(count)]
    await at.arrive()
    assert mine.said == []
    at.house.open("v")
    assert await promise is mine
    calls += [promise.callRemote("say", count), promise.callRemote("tell", count + 1)]
    assert await asyncio.gather(*calls) == [f"mine: {n}" for n in range(count + 2)]
    assert mine.said == list(range(count + 2))
    promise.callRemote("say", "one-way", pbanswer=False)
    await failure_of(promise.callRemote("nothing"), broker.NoSuchMethod, "nothing")
    await failure_of(promise.callRemote("fail"), Error, "mine fails")
    assert mine.said[-1] == "one-way"


async def test_home_while_the_answer_is_on_its_way(at: Setting) -> None:
    """A later call does not overtake those that the peer sends home."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("back", mine)
    order: list[str] = []
    promise.callRemote("say", 1).addCallback(lambda _: order.append("first"))
    later: list[Any] = []

    class Observer:
        async def watch(self) -> None:
            await promise
            later.append(promise.callRemote("say", 2))

    await Observer().watch()
    await later[0]
    assert mine.said == [1, 2]


async def test_home_of_a_promise_of_a_promise(at: Setting) -> None:
    """The result of a call that came home is known here alone; calls on it come home too."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("value", "v", mine)
    second = promise.callRemote("next")
    third = second.callRemote("next")
    calls = [second.callRemote("say", 1), third.callRemote("say", 2), second.callRemote("say", 3)]
    text = promise.callRemote("say", 0).callRemote("say", 4)
    step = promise.callRemote("said")[0].callRemote("say", 5)
    await at.arrive()
    at.house.open("v")
    assert await asyncio.gather(*calls) == ["mine': 1", "mine'': 2", "mine': 3"]
    broken = "returned a value that is not a reference; not run"
    await failure_of(text, BrokenPromise, f"'say' {broken}")
    await failure_of(step, BrokenPromise, f"'said' {broken}")


async def test_home_with_references(at: Setting) -> None:
    """An own method that returns a reference of the peer: calls on it go there."""
    await at.open()
    there = await at.root.callRemote("room", "there")

    class Mine(pb.Referenceable):
        def remote_far(self) -> Any:
            return there

        def remote_later(self) -> Any:
            return at.root.callRemote("room", "there")

    promise = at.root.callRemote("value", "v", Mine())
    calls = [promise.callRemote(name).callRemote("say", name) for name in ("far", "later")]
    passed = promise.callRemote("far")
    await at.arrive()
    at.house.open("v")
    assert await asyncio.gather(*calls) == ["there: far", "there: later"]
    await passed
    assert await at.root.callRemote("take", passed) == "there"
    assert await passed.callRemote("say", 1) == "there: 1"


async def test_home_in_a_list(at: Setting) -> None:
    """Only the element that is an own object comes home."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("pair", "v", mine)
    calls = [promise[0].callRemote("say", 1), promise[1].callRemote("say", 2)]
    await at.arrive()
    at.house.open("v")
    assert await asyncio.gather(*calls) == ["mine: 1", "here: 2"]
    assert await promise[0].callRemote("say", 3) == "mine: 3"


async def test_home_with_promised_arguments(at: Setting) -> None:
    """A call that came home waits for its promised arguments, and later calls wait behind it."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("value", "v", mine)
    other = at.root.callRemote("slowly", "o")
    calls = [
        promise.callRemote("say", 1),
        promise.callRemote("take", [other]),
        promise.callRemote("say", 2),
        promise.callRemote("take", at.root.callRemote("fails", "f")),
        promise.callRemote("say", 3),
    ]
    await at.arrive()
    at.house.open("v")
    await promise
    calls.append(promise.callRemote("take", other))
    calls.append(promise.callRemote("say", 4))
    await at.arrive()
    assert mine.said == [1]
    at.house.open("o")
    await at.arrive()
    at.house.open("f")
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert str(results[3]) == "no f"
    reference = await other
    assert mine.said == [1, ("took", [reference]), 2, 3, ("took", reference), 4]
    wrong = at.root.callRemote("back", 5)
    error = await failure_of(promise.callRemote("take", wrong), BrokenPromise)
    assert str(error).endswith("await it before you pass it")


async def test_home_and_cancel(at: Setting) -> None:
    """A cancelled call that comes home is not run; those behind it are."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("value", "v", mine)
    calls = [promise.callRemote("say", n) for n in range(3)]
    await at.arrive()
    at.house.open("v")
    # The answer and the Homes are on their way.
    calls[1].cancel()
    await failure_of(calls[1], CancelledError)
    assert await calls[2] == "mine: 2"
    assert mine.said == [0, 2]


async def test_home_crosses_cancel_of_the_promise(at: Setting) -> None:
    """The promise is cancelled while its answer and the Homes are on their way: nothing breaks."""
    await at.open()
    mine = Room("mine")
    for _ in range(3):
        promise = at.root.callRemote("back", mine)
        inner = promise.callRemote("next")
        calls = [promise.callRemote("say", 1), inner, inner.callRemote("say", 1)]
        promise.cancel()
        for call in (promise, *calls):
            await failure_of(call, CancelledError)
    await at.arrive()
    assert mine.said == []
    assert await at.root.callRemote("back", 1) == 1


async def test_home_and_a_result_that_is_refused_here(at: Setting) -> None:
    """The answer cannot be decoded here: its calls fail with it, and the connection goes on."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("odd", mine)
    element = promise[0].callRemote("say", 1)
    deep = promise[0].callRemote("next").callRemote("say", 1)
    with pytest.raises(Exception) as caught:
        await promise
    for call in (element, deep):
        await failure_of(call, type(caught.value))
    assert mine.said == []
    assert await at.root.callRemote("back", 1) == 1


async def test_a_long_chain_home_takes_no_stack(at: Setting) -> None:
    """A long chain on an own object."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("value", "v", mine)
    for _ in range(800):
        promise = promise.callRemote("same")
    last = promise.callRemote("say", 1)
    await at.arrive()
    at.house.open("v")
    assert await last == "mine: 1"


async def test_home_after_the_end_of_the_connection(at: Setting) -> None:
    """A promise that has become an own object can be called when the connection is gone."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("back", mine)
    assert await promise.callRemote("say", 1) == "mine: 1"
    await at.pair.close()
    assert await promise.callRemote("say", 2) == "mine: 2"
