"""Calls on promises: on the results of calls that have not been answered.

In ``msgpack/1`` they leave at once. In PB's dialects they wait at the caller. All else is the same.
"""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from support.promise_house import Room, Setting, failure_of, left_at_callers

from broker.defer import CancelledError
from broker.errors import BrokenPromise, Error, PBConnectionLost
from broker.flavors.promise import Promise


async def test_a_chain(at: Setting) -> None:
    """A chain of five calls takes one round trip."""
    await at.open()
    before = at.flights()
    promise = at.root.callRemote("room", "a")
    for _ in range(3):
        promise = promise.callRemote("next")
    assert type(promise) is Promise
    assert await promise.callRemote("say", "hi") == "a''': hi"
    assert at.flights() - before == (1 if at.is_pipelined else 5)


async def test_steps(at: Setting) -> None:
    """A step of a list, a tuple or a dict is a promise; text and int keys differ."""
    await at.open()
    before = at.flights()
    calls = [
        at.root.callRemote("list", "l")[1].callRemote("say", 1),
        at.root.callRemote("tuple", "t")[1].callRemote("say", 2),
        at.root.callRemote("dict", "d")["room"].callRemote("say", 3),
        at.root.callRemote("dict", "d")[7].callRemote("say", 4),
    ]
    await at.arrive()
    for name in "ltd":
        at.house.open(name)
    assert await asyncio.gather(*calls) == ["l: 1", "t: 2", "d: 3", "d7: 4"]
    assert at.flights() - before == 1 if at.is_pipelined else at.flights() - before > 1


async def test_wrong_steps(at: Setting) -> None:
    """A step that is no reference, or is missing, breaks the promise; two steps are refused."""
    await at.open()
    at.house.open("x")
    broken = "returned a value that is not a reference; not run"
    for step in (0, 2, 3, 1000, "room"):
        promise = at.root.callRemote("list", "x")
        await failure_of(promise[step].callRemote("say", 1), BrokenPromise, f"'list' {broken}")
        await promise
    for key in ("price", "none", 8):
        promise = at.root.callRemote("dict", "x")[key].callRemote("say", 1)
        await failure_of(promise, BrokenPromise, f"'dict' {broken}")
    await failure_of(at.root.callRemote("room", "x")[0].callRemote("say"), BrokenPromise, broken)
    promise = at.root.callRemote("list", "x")
    with pytest.raises(TypeError, match="one step into a promise at most"):
        promise[1][2]
    with pytest.raises(TypeError, match="an int or a str, not float"):
        promise[1.5]
    with pytest.raises(TypeError, match="not bool"):
        promise[True]
    with pytest.raises(ValueError, match="-1 is not a place in a list"):
        promise[-1]
    assert (await promise)[0] == 1
    assert await at.root.callRemote("list", "x")[0] == 1
    await failure_of(at.root.callRemote("list", "x")[9], IndexError)


async def test_far_steps(at: Setting) -> None:
    """A reference at any place of a long list can be called."""
    await at.open()
    promise = at.root.callRemote("many", "m", 200)
    calls = [promise[place].callRemote("say", place) for place in (0, 63, 64, 65, 199)]
    await at.arrive()
    at.house.open("m")
    assert await asyncio.gather(*calls) == [f"m{n}: {n}" for n in (0, 63, 64, 65, 199)]


async def test_arguments(at: Setting) -> None:
    """A promise is an argument, also deep in other values, and an element is one."""
    await at.open()
    before = at.flights()
    promise = at.root.callRemote("slowly", "a")
    calls = [
        at.root.callRemote("take", promise, at.root.callRemote("list", "a")[1]),
        promise.callRemote("take", promise),
        at.root.callRemote("room", "b").callRemote("take", promise),
        at.root.callRemote("take", at.root.callRemote("room", "c")),
    ]
    await at.arrive()
    at.house.open("a")
    assert await asyncio.gather(*calls) == ["a a", "a took a", "b took a", "c"]
    if at.is_pipelined:
        assert at.flights() - before == 1
    nested = at.root.callRemote("back", [{"x": (at.root.callRemote("room", "d"),)}])
    found = (await nested)[0]["x"][0]
    assert await found.callRemote("say", 1) == "d: 1"


async def test_broken_arguments(at: Setting) -> None:
    """A value, an own object and a failure are no arguments; each tells why."""
    await at.open()
    at.house.open("f")
    mine = Room("mine")
    value = "'value' returned a value that is not a reference; await it before you pass it"
    own = "'value' returned an object of the caller; await it before you pass it"
    call = at.root.callRemote
    at.house.open("v")
    for _ in range(2):
        await failure_of(call("take", call("value", "v", 5)), BrokenPromise, value)
        await failure_of(call("take", call("value", "v", mine)), BrokenPromise, own)
        await failure_of(call("take", call("fails", "f")), Error, "no f")
    for promise in (call("value", "v", 5), call("value", "v", mine)):
        await promise
        await failure_of(call("take", promise), BrokenPromise, "await it before you pass it")
    failed = call("fails", "f")
    await failure_of(failed, Error, "no f")
    await failure_of(call("take", failed), Error, "no f")
    fired = call("room", "r")
    await fired
    assert await call("take", fired) == "r"
    assert at.house.heard == [["r"]]


async def test_order_at_a_target_with_promises(at: Setting) -> None:
    """A call with a promise waits, and so does every later call to its target, also one-way."""
    await at.open()
    call = at.root.callRemote
    first = call("take", call("slowly", "a"))
    rest = [call("hear", 1), call("take", call("slowly", "b")), call("hear", 2)]
    call("hear", 3, pbanswer=False)
    rest += [call("take", call("room", "c")), call("hear", 4)]
    await at.arrive()
    assert at.house.heard == []
    at.house.open("b")
    await at.arrive()
    assert at.house.heard == []
    at.house.open("a")
    await asyncio.gather(first, *rest)
    assert at.house.heard == [["a"], 1, ["b"], 2, 3, ["c"], 4]


async def test_a_promise_released_while_its_call_waits(at: Setting) -> None:
    """The object of an argument is kept, though the caller has no reference to it any more."""
    await at.open()
    call = at.root.callRemote
    reference = await call("room", "kept")
    first = call("take", call("slowly", "a"))
    second = call("take", call("slowly", "b"))
    third = call("take", reference, call("slowly", "a"))
    del reference
    at.house.open("b")
    at.house.rooms.clear()
    await at.arrive()
    at.house.open("a")
    assert await asyncio.gather(first, second, third) == ["a", "b", "kept a"]


async def test_one_way(at: Setting) -> None:
    """A one-way call on a promise returns None, and keeps its place."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    assert promise.callRemote("say", 1, pbanswer=False) is None
    second = promise.callRemote("say", 2)
    assert promise[0].callRemote("say", 3, pbanswer=False) is None
    await at.arrive()
    at.house.open("a")
    await second
    (await promise).callRemote("say", 4, pbanswer=False)
    await at.arrive()
    assert at.house.rooms["a"].said == [1, 2, 4]


async def test_the_same_failure(at: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """A call on a promise that fails has the same failure; nothing is logged as unhandled."""
    await at.open()
    caplog.set_level(logging.DEBUG)
    at.house.open("f")
    failed = at.root.callRemote("fails", "f")
    calls = [
        failed.callRemote("say", 1),
        failed[1].callRemote("say", 2),
        failed.callRemote("next").callRemote("next").callRemote("say", 3),
    ]
    del failed
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(error) for error in errors] == ["no f"] * 3
    assert all(isinstance(error, Error) for error in errors)
    late = at.root.callRemote("fails", "f")
    await failure_of(late, Error)
    await failure_of(late.callRemote("say", 1), Error, "no f")
    value = at.root.callRemote("back", 5)
    await failure_of(
        value.callRemote("say", 1),
        BrokenPromise,
        "'back' returned a value that is not a reference; not run",
    )
    del calls, errors, late, value
    gc.collect()
    await at.arrive()
    assert [each.getMessage() for each in caplog.records if "unhandled" in each.getMessage()] == []
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []


async def test_a_failure_that_calls_tell(at: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """A failure counts as seen if a call has the promise, or an element of it, as an argument."""
    await at.open()
    at.house.open("f")
    calls = [
        at.root.callRemote("take", at.root.callRemote("fails", "f")),
        at.root.callRemote("take", at.root.callRemote("fails", "f")[1]),
    ]
    await at.arrive()
    for call in calls:
        await failure_of(call, Error, "no f")
    del calls, call
    gc.collect()
    await at.arrive()
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []


async def test_a_one_way_call_tells_nothing(at: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """A one-way call on a promise without a reference is dropped; nothing is logged."""
    await at.open()
    at.house.open("f")
    for has_fired in (False, True):
        failed, value = at.root.callRemote("fails", "f"), at.root.callRemote("back", 5)
        if has_fired:
            await failure_of(failed, Error, "no f")
            await value
        for promise in (failed, value):
            promise.callRemote("say", 1, pbanswer=False)
        del failed, value, promise
        await at.arrive()
        gc.collect()
        await at.arrive()
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.INFO] == []


async def test_an_unhandled_failure_is_logged(
    at: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure of a call on a promise, which nobody handles, is logged once."""
    await at.open()
    at.house.open("f")
    at.root.callRemote("fails", "f").callRemote("say", 1)
    await at.arrive()
    gc.collect()
    await at.arrive()
    unhandled = [each for each in caplog.records if "unhandled" in each.getMessage().lower()]
    assert len(unhandled) == 1, [each.getMessage() for each in caplog.records]


async def test_after_it_has_fired(at: Setting) -> None:
    """Then its calls are calls of the reference; of something else they are a TypeError."""
    await at.open()
    promise = at.root.callRemote("room", "a")
    await promise
    assert await promise.callRemote("say", 1) == "a: 1"
    price = at.root.callRemote("back", "x")
    await price
    await failure_of(price.callRemote("say", 1), TypeError, "'back' returned a str")
    items = at.root.callRemote("back", [1])
    await items
    assert await items[0] == 1
    element = items[0]
    await failure_of(element.callRemote("say"), TypeError, "'back' returned an int")
    with pytest.raises(TypeError, match="one step"):
        element[0]


async def test_cancel_after_the_promise_has_fired(at: Setting) -> None:
    """A call on a promise that has its result is cancelled like one on the reference."""
    await at.open()
    promise = at.root.callRemote("room", "a")
    other = await at.root.callRemote("back", at.root)
    promise.addCallback(lambda room: other)
    assert await promise is other
    call = promise.callRemote("slowly", "b")
    await at.arrive()
    call.cancel()
    await failure_of(call, CancelledError)
    await at.arrive()
    assert at.house.cancelled == (["b"] if at.is_pipelined else [])
    at.house.open("b")


async def test_the_end_after_a_cancel(at: Setting) -> None:
    """A cancelled call on a promise, whose answer has not come, is forgotten at the end."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    calls = [promise.callRemote("say", number) for number in range(2)]
    await at.arrive()
    calls[0].cancel()
    at.pair.network.cut()
    await failure_of(promise, PBConnectionLost)
    for call, kind in zip(calls, (CancelledError, PBConnectionLost), strict=True):
        await failure_of(call, kind)
    left_at_callers(at.pair)
    assert "a" not in at.house.rooms
    at.house.open("a")


async def test_with_callbacks(at: Setting) -> None:
    """With callbacks before, it is an ordinary Deferred: a call waits for the end of its chain."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    other = await at.root.callRemote("room", "other")
    promise.addCallback(lambda room: other)
    early = promise.callRemote("say", 1)
    await at.arrive()
    assert at.waiting == 0
    at.house.open("a")
    assert await early == "other: 1"
    promise = at.root.callRemote("room", "a")
    first = promise.callRemote("say", 2)
    promise.addCallback(lambda room: room.callRemote("say", 3))
    later = promise.callRemote("upper")
    assert await first == "a: 2"
    await failure_of(later, TypeError, "returned a str")
    assert at.house.rooms["a"].said == [2, 3]


async def test_order(at: Setting) -> None:
    """Calls through a promise and then its reference start as made, plain and async in turn."""
    await at.open()
    promise = at.root.callRemote("slowly", "a")
    calls = [promise.callRemote("tell" if n % 2 else "say", n) for n in range(8)]
    await at.arrive()
    at.house.open("a")
    reference = await promise
    calls += [reference.callRemote("say", 8), promise.callRemote("tell", 9)]
    await asyncio.gather(*calls)
    assert at.house.rooms["a"].said == list(range(10))
