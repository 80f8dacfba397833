"""Calls on promises: on the results of calls that have not been answered.

In ``msgpack/1`` they leave at once. In PB's dialects they wait at the caller. All else is the same.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
from support.cached_models import Model

import broker
from broker import blocking, pb, testing
from broker.defer import CancelledError
from broker.errors import BrokenPromise, CallTimeout, Error, PBConnectionLost, ServerBusy
from broker.flavors.promise import Promise

DIALECTS = ["msgpack/1", "pb"]
FACES = ["asyncio", "published"]


class Room(pb.Referenceable):
    """Notes what is said in it."""

    def __init__(self, name: str, gates: dict[str, asyncio.Event] | None = None):
        self.name = name
        self.said: list[Any] = []
        self.gates = {} if gates is None else gates

    def remote_say(self, text: Any) -> str:
        """Note it at once."""
        self.said.append(text)
        return f"{self.name}: {text}"

    async def remote_tell(self, text: Any) -> str:
        """Note it in a task, and answer later."""
        self.said.append(text)
        await asyncio.sleep(0)
        return f"{self.name}: {text}"

    def remote_next(self) -> Room:
        """Return another room."""
        return Room(self.name + "'", self.gates)

    def remote_same(self) -> Room:
        """Return this room."""
        return self

    def remote_take(self, other: Any) -> str:
        """Take an object."""
        self.said.append(("took", getattr(other, "name", other)))
        return f"{self.name} took {getattr(other, 'name', other)}"

    def remote_fail(self) -> None:
        """Raise an error."""
        raise Error(f"{self.name} fails")

    def remote_said(self) -> list[Any]:
        """Return what was said."""
        return self.said


class Unknown(pb.Copyable):
    """Is registered nowhere."""


class Guarded(pb.Referenceable):
    """Has conditions."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @broker.allow("nobody")
    def remote_secret(self) -> str:
        """Do what nobody may."""
        self.done.append("secret")
        return "secret"

    def hidden(self) -> str:
        """Have no prefix."""
        self.done.append("hidden")
        return "hidden"

    def remote_open(self) -> str:
        """Do what all may."""
        return "open"


class House(pb.Root):
    """Gives rooms; those that are asked for ``slowly`` when their gate is opened."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.rooms: dict[str, Room] = {}
        self.heard: list[Any] = []
        self.cancelled: list[str] = []
        self.guarded = Guarded()

    def open(self, name: str = "") -> None:
        """Let the calls return that wait for this."""
        self.gates.setdefault(name, asyncio.Event()).set()

    async def pass_gate(self, name: str) -> None:
        """Wait until it is open."""
        try:
            await self.gates.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    def remote_room(self, name: str) -> Room:
        """Return a room at once."""
        return self.rooms.setdefault(name, Room(name, self.gates))

    async def remote_slowly(self, name: str) -> Room:
        """Return a room later."""
        await self.pass_gate(name)
        return self.remote_room(name)

    async def remote_list(self, name: str) -> list[Any]:
        """Return a room among other values."""
        await self.pass_gate(name)
        return [1, self.remote_room(name), [self.remote_room(name)]]

    async def remote_tuple(self, name: str) -> tuple[Any, ...]:
        """Return a room among other values."""
        await self.pass_gate(name)
        return "x", self.remote_room(name)

    async def remote_dict(self, name: str) -> dict[Any, Any]:
        """Return rooms by keys."""
        await self.pass_gate(name)
        return {"room": self.remote_room(name), 7: self.remote_room(name + "7"), "price": 5}

    async def remote_many(self, name: str, count: int) -> list[Any]:
        """Return so many rooms."""
        await self.pass_gate(name)
        return [self.remote_room(f"{name}{number}") for number in range(count)]

    async def remote_value(self, name: str, value: Any) -> Any:
        """Return a value later: that of the caller."""
        await self.pass_gate(name)
        return value

    def remote_back(self, value: Any) -> Any:
        """Return a value at once."""
        return value

    async def remote_pair(self, name: str, value: Any) -> list[Any]:
        """Return a value of the caller in a list."""
        await self.pass_gate(name)
        return [value, self.remote_room("here")]

    async def remote_fails(self, name: str) -> None:
        """Fail later."""
        await self.pass_gate(name)
        raise Error(f"no {name}")

    def remote_odd(self, value: Any) -> list[Any]:
        """Return a value, and an object that the caller does not know."""
        return [value, Unknown()]

    def remote_guarded(self) -> Guarded:
        """Return an object with conditions."""
        return self.guarded

    def remote_show(self, view: Any, room: Room) -> str:
        """Note the value of a cache."""
        self.heard.append(view)
        return room.name

    def remote_take(self, *others: Any) -> str:
        """Take objects."""
        names = [getattr(other, "name", other) for other in others]
        self.heard.append(names)
        return " ".join(map(str, names))

    def remote_hear(self, text: Any) -> None:
        """Note it."""
        self.heard.append(text)

    async def remote_count(self, stream: AsyncIterator[Any], room: Any) -> tuple[str, list[Any]]:
        """Read a stream that comes with an object."""
        return room.name, [item async for item in stream]


class Setting:
    """One pair, and what tests do with it."""

    def __init__(self, dialect: str, face: str) -> None:
        self.dialect = dialect
        self.is_pipelined = dialect == "msgpack/1"
        self.house = House()
        self.face = face
        self.pair: testing.Pair = None  # type: ignore[assignment]

    async def open(self, **policy: Any) -> Setting:
        """Connect."""
        rules = broker.STRICT.but(**policy) if self.face == "asyncio" else None
        made = testing.pair(self.house, dialect=self.dialect, face=self.face, policy=rules)
        self.pair = await made
        # Then the terms of the server have come.
        await self.root.callRemote("back", 0)
        return self

    @property
    def root(self) -> Any:
        """The house at the client."""
        return self.pair.client.root

    async def arrive(self) -> None:
        """Wait until everything sent has come."""
        await self.pair.settled()

    def flights(self) -> int:
        """The number of times that the client has sent something after an answer of the server."""
        lines = str(self.pair.recorder).splitlines()
        sides = [line.split(":", 1)[0] for line in lines if ": call" in line or ": answer" in line]
        count, before = 0, "server"
        for side in sides:
            count += side == "client" and before == "server"
            before = side
        return count

    @property
    def waiting(self) -> int:
        """The number of calls that wait at the server for a promise."""
        used = self.pair.server.broker.session.incoming.used_promises
        return 0 if used is None else used.size

    async def finish(self) -> None:
        """Close the pair; nothing may remain before."""
        if not self.pair.client.is_closed:
            await self.arrive()
            assert self.pair.leaks() == []
            left_at_callers(self.pair)
        await self.pair.close()


@pytest.fixture(params=[(dialect, face) for dialect in DIALECTS for face in FACES], ids="-".join)
def at(request: pytest.FixtureRequest, at_end: list[Any]) -> Setting:
    """A pair, in each dialect and face, that is opened by the test."""
    setting = Setting(*request.param)
    at_end.append(setting.finish)
    return setting


def left_at_callers(pair: testing.Pair) -> None:
    """Nothing remains of promises at either end."""
    for end in (pair.client, pair.server):
        outgoing = end.broker.session.outgoing
        assert not outgoing.followed
        assert not outgoing.promised
        promises = end.broker.calls._promises
        if promises is not None:
            assert (promises.there, promises.here) == (0, 0)
            assert not promises.held
            assert not promises.sent
            assert not promises.stalled
        incoming = end.broker.session.incoming.used_promises
        if incoming is not None:
            assert (incoming.size, incoming._counted) == (0, 0)
            assert not incoming.held
            assert not incoming._waiting
            assert not incoming._missing


async def failure_of(deferred: Any, kind: type[BaseException], text: str = "") -> BaseException:
    """Return the error of a call."""
    with pytest.raises(kind) as caught:
        await deferred
    assert text in str(caught.value)
    return caught.value


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
        await failure_of(promise, kind)
        if ending in ("fails", "cancel", "drop"):
            await failure_of(first, kind)
        at.house.open(ending)


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
    await asyncio.gather(*calls)


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


async def test_home_after_the_end_of_the_connection(at: Setting) -> None:
    """A promise that has become an own object can be called when the connection is gone."""
    await at.open()
    mine = Room("mine")
    promise = at.root.callRemote("back", mine)
    assert await promise.callRemote("say", 1) == "mine: 1"
    await at.pair.close()
    assert await promise.callRemote("say", 2) == "mine: 2"


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
    await failure_of(call, broker.CannotJelly if at.is_pipelined else Exception)
    await at.arrive()
