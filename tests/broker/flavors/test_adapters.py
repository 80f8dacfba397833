"""Functions and objects of other connections as Referenceables."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.flavors import adapters

POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]
every = pytest.mark.parametrize("policy", POLICIES)


@broker.register("adapters.Box")
@dataclass
class Box:
    """A copy that holds a reference."""

    thing: Any


@broker.register("adapters.Struct")
class Record(msgspec.Struct, frozen=True):
    """Another one."""

    thing: Any


@broker.register("adapters.Fault")
class Fault(broker.Error):
    """An error of the far side."""

    left: int


class Calling(broker.Root):
    """Calls what it is given."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def remote_call(self, function: Any, *args: Any, **kw: Any) -> Any:
        """Call it, and wait."""
        self.kept.append(function)
        return function.callRemote("call", *args, **kw)

    def remote_other(self, function: Any) -> Any:
        """Call another method."""
        return function.callRemote("other")

    def remote_send(self, function: Any) -> None:
        """Call it one way."""
        function.send("call", 1)

    def remote_forget(self) -> None:
        """Drop what was kept."""
        self.kept.clear()


@every
def test_callbacks(policy: Policy) -> None:
    """A function is called by the one method of its object, and its outcome comes back."""
    seen: list[Any] = []

    def heard(number: int, *, key: str = "a") -> Any:
        seen.append((number, key))
        if number == 7:
            raise Fault("none", left=7)
        return {"n": number}

    pair = BrokerPair(Calling(), policy=policy)
    assert pair.call("call", broker.callback(heard), 1) == {"n": 1}
    assert pair.call("call", broker.callback(heard), 2, key="b") == {"n": 2}
    assert pair.call("send", broker.callback(heard)) is None
    failure = pair.call("call", broker.callback(heard), 7)
    assert failure.check(Fault)
    assert pair.call("call", broker.callback(heard)).check(broker.WrongArguments)
    assert pair.call("other", broker.callback(heard)).check(broker.NoSuchMethod)
    assert seen == [(1, "a"), (2, "b"), (1, "a"), (7, "a")]


@every
def test_coroutine_functions(policy: Policy) -> None:
    """So is a coroutine function."""

    async def heard(number: int) -> int:
        return number + 1

    pair = BrokerPair(Calling(), policy=policy)
    assert pair.call("call", broker.callback(heard), 1) == 2


def test_identity() -> None:
    """The same function gives the same object while a peer holds it, and it is released with it."""

    class Ear:
        def heard(self) -> None:
            pass

    gc.collect()
    ear, root = Ear(), Calling()
    pair = BrokerPair(root)
    kept = broker.callback(ear.heard)
    assert broker.callback(ear.heard) is kept
    assert broker.callback(Ear().heard) is not kept
    pair.call("call", kept)
    pair.call("call", broker.callback(ear.heard))
    assert root.kept[0] is root.kept[1]
    before = len(adapters._CALLBACKS)
    del kept
    gc.collect()
    assert len(adapters._CALLBACKS) == before
    pair.call("forget")
    pair.collect()
    assert len(adapters._CALLBACKS) == before - 1


def test_misuse() -> None:
    """Anything else is a TypeError in words."""
    with pytest.raises(TypeError, match="callback takes a function, not int"):
        broker.callback(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="forward takes a RemoteReference, not Root"):
        broker.forward(broker.Root())  # type: ignore[arg-type]


# Three programs: a caller, one in the middle, and a worker.


class Thing(broker.Referenceable):
    """An object of the worker."""

    def remote_name(self) -> str:
        """Tell its name."""
        return "thing"


class Worker(broker.Root):
    """The far side."""

    def __init__(self) -> None:
        self.thing = Thing()
        self.seen: list[Any] = []
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.over = asyncio.Event()

    def remote_echo(self, *args: Any, **kw: Any) -> Any:
        """Return it all."""
        return [args, kw]

    def remote_fail(self) -> None:
        """Raise an error with a field."""
        raise Fault("none", left=3)

    def remote_crash(self) -> None:
        """Raise one that is not registered."""
        raise KeyError("secret")

    def remote_give(self) -> Any:
        """Return references in containers and copies."""
        return {"list": [self.thing], "box": Box(self.thing), "record": Record((self.thing,))}

    def remote_same(self, thing: Any) -> bool:
        """Tell whether the own object has come home."""
        return thing is self.thing

    async def remote_ask(self, ear: Any) -> Any:
        """Call an object of the caller."""
        return await ear.callRemote("name")

    async def remote_dawdle(self) -> None:
        """Take long, and note the cancellation."""
        self.started.set()
        try:
            await self.over.wait()
        finally:
            self.cancelled.set()


class Middle(broker.Root):
    """Gives out what it holds of the worker."""

    def __init__(self) -> None:
        self.worker: Any = None

    def remote_worker(self) -> Any:
        """Forward the worker."""
        return broker.forward(self.worker)


@asynccontextmanager
async def three(policy: Policy) -> AsyncIterator[tuple[Worker, Any, Any]]:
    """Yield the worker, the middle's connection to it, and the caller's reference to it."""
    worker, middle = Worker(), Middle()
    async with (
        broker.serve(worker, "pb://127.0.0.1:0", policy=policy) as far,
        broker.serve(middle, "pb://127.0.0.1:0", policy=policy) as near,
        broker.connect(far.addresses[0], policy=policy) as link,
        broker.connect(near.addresses[0], policy=policy) as caller,
    ):
        middle.worker = link.root
        yield worker, link, await caller.root.callRemote("worker")


@every
async def test_calls_are_forwarded(policy: Policy) -> None:
    """Name, arguments and outcome are passed on."""
    async with three(policy) as (_, _, there):
        assert await there.callRemote("echo", 1, "a", key=[b"x"]) == [(1, "a"), {"key": [b"x"]}]
        with pytest.raises(Fault) as caught:
            await there.callRemote("fail")
        assert (caught.value.left, str(caught.value)) == (3, "none")
        with pytest.raises(broker.RemoteError):
            await there.callRemote("crash")
        with pytest.raises(broker.NoSuchMethod):
            await there.callRemote("nothing")
        with pytest.raises(broker.WrongArguments):
            await there.callRemote("same")


@every
async def test_references_are_forwarded(policy: Policy) -> None:
    """A reference in a result or an argument is forwarded, and comes home as the object itself."""
    async with three(policy) as (_, _, there):
        found = await there.callRemote("give")
        things = [found["list"][0], found["box"].thing, found["record"].thing[0]]
        assert things[0] is things[1] is things[2]
        assert await things[0].callRemote("name") == "thing"
        assert await there.callRemote("same", things[0])
        mine = Thing()
        assert await there.callRemote("ask", mine) == "thing"
        came = await there.callRemote("echo", [mine], box=Box(mine))
        assert came == [([mine],), {"box": Box(mine)}]


@every
async def test_a_worker_that_goes_away(policy: Policy) -> None:
    """The caller sees NoSuchObject: its own connection is well."""
    async with three(policy) as (worker, link, there):
        running = there.callRemote("dawdle")
        await worker.started.wait()
        await link.close()
        for failed in (running, there.callRemote("echo")):
            with pytest.raises(broker.NoSuchObject) as caught:
                await failed
            assert policy.published_errors or (
                str(caught.value) == "the object behind this one is gone"
            )
        assert not there.broker.disconnected
        # Under the published policy the method runs on.
        worker.over.set()
        await worker.cancelled.wait()
        await asyncio.sleep(0)


async def test_cancellation_and_deadline() -> None:
    """A cancelled call, and one whose time is over, is cancelled at the worker."""
    async with three(STRICT) as (worker, _, there):
        task = asyncio.ensure_future(there.callRemote("dawdle"))
        await worker.started.wait()
        task.cancel()
        await worker.cancelled.wait()
    async with three(STRICT) as (worker, _, there):
        with pytest.raises(broker.CallTimeout):
            async with broker.timeout(0.2):
                await there.callRemote("dawdle")
        await worker.cancelled.wait()
