"""Results that are known later: in order, and cancelled only where they are ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.memory import BrokerPair
from twisted.internet import defer as twisted_defer

from broker.connection.peer import current_call
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.defer import Deferred, fail, succeed
from broker.flavors.referenceable import Root
from broker.net.scheduler import LoopScheduler
from broker.timeouts import timeout


class House(Root):
    """Has methods of every kind."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.returned: dict[str, Any] = {}
        self.gate: asyncio.Future[None] | None = None

    async def remote_wait(self, name: Any) -> Any:
        """Begin, wait at the gate, end."""
        self.log.append(name)
        if self.gate is not None:
            try:
                await self.gate
            except asyncio.CancelledError:
                self.log.append(f"{name} cancelled")
                raise
        return name

    def remote_plain(self, name: Any) -> Any:
        """Begin and end."""
        self.log.append(name)
        return name

    async def remote_fail(self) -> None:
        """Raise."""
        await asyncio.sleep(0)
        raise KeyError("late")

    def remote_given(self, name: str) -> Any:
        """Return what the test has put there."""
        return self.returned[name]

    async def remote_caller(self) -> Any:
        """Tell who is calling, now and later, also in a task of its own."""
        peers = [current_call().peer]
        await asyncio.sleep(0)
        peers.append(current_call().peer)
        peers.append(await asyncio.create_task(self.who()))
        return [peer.address for peer in peers]

    async def who(self) -> Any:
        """Be a task."""
        return current_call().peer

    def remote_plain_caller(self) -> Any:
        """Tell who is calling."""
        return current_call().peer.address


class Looped:
    """A pair in a running loop."""

    def __init__(self, policy: Policy = STRICT):
        self.house = House()
        scheduler: Any = LoopScheduler(asyncio.get_running_loop())
        self.pair = BrokerPair(self.house, policy=policy, scheduler=scheduler, connect=False)
        for broker in (self.pair.client, self.pair.server):
            broker.makeConnection(self.pair.transport(broker))

    def cross(self) -> None:
        """Deliver what has been written so far."""
        client, server = self.pair.client, self.pair.server
        for sender, receiver in ((client, server), (server, client)):
            sender.flush()
            data = self.pair.transport(sender).take()
            if data and not receiver.disconnected:
                receiver.dataReceived(data)

    async def settle(self) -> None:
        """Deliver, and let the loop turn, a few times."""
        for _ in range(10):
            self.cross()
            await asyncio.sleep(0)

    async def call(self, name: str, *args: Any) -> Any:
        """Call, and return the result or Failure."""
        found: list[Any] = []
        self.pair.root.callRemote(name, *args).addBoth(found.append)
        while not found:
            await self.settle()
        return found[0]


@asynccontextmanager
async def looped_pair(policy: Policy = STRICT) -> AsyncIterator[Looped]:
    """A pair in the running loop, whose ends are lost afterwards."""
    looped = Looped(policy)
    await looped.settle()
    yield looped
    looped.pair.client.connectionLost(None)  # type: ignore[arg-type]
    looped.pair.server.connectionLost(None)  # type: ignore[arg-type]
    await asyncio.sleep(0)


@pytest.mark.parametrize("kinds", ["ap", "aap", "apapp", "paaap", "aaaa", "pppp"])
async def test_methods_begin_in_the_order_of_their_calls(kinds: str) -> None:
    """Also when one is async and the next is not, in one segment or in several."""
    async with looped_pair() as looped:
        names = {"a": "wait", "p": "plain"}
        for together in (True, False):
            looped.house.log.clear()
            for number, kind in enumerate(kinds):
                looped.pair.root.callRemote(names[kind], number).addErrback(lambda _: None)
                if not together:
                    looped.cross()
            await looped.settle()
            assert looped.house.log == list(range(len(kinds)))


async def test_when_the_first_step_is_taken() -> None:
    """On Python 3.12 and later in the turn of its call; a method that ends in it is answered then.

    On earlier versions, and if the loop has a task factory, in the next iteration.
    """
    loop = asyncio.get_running_loop()
    for factory in (None, lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw)):
        async with looped_pair() as looped:
            loop.set_task_factory(factory)
            answer = looped.pair.root.callRemote("wait", 1)
            looped.cross()
            is_eager = sys.version_info >= (3, 12) and factory is None
            assert looped.house.log == ([1] if is_eager else [])
            assert answer.called is is_eager
            await looped.settle()
            loop.set_task_factory(None)
            assert looped.house.log == [1]
            assert await answer == 1


async def test_a_first_step_that_ends_the_connection() -> None:
    """The method is cancelled where it waits next, as one that began earlier is."""
    async with looped_pair() as looped:
        house = looped.house
        house.gate = asyncio.get_running_loop().create_future()

        async def close_and_wait() -> None:
            looped.pair.server.connectionLost(None)  # type: ignore[arg-type]
            await house.remote_wait("cancelled")

        house.returned["closing"] = close_and_wait()
        looped.pair.root.callRemote("given", "closing").addErrback(lambda _: None)
        await looped.settle()
        assert house.log == ["cancelled", "cancelled cancelled"]
        assert len(looped.pair.server._running_methods or ()) == 0


async def test_a_deadline() -> None:
    """It cancels a method that waits, without a message of the caller."""
    async with looped_pair() as looped:
        looped.house.gate = asyncio.get_running_loop().create_future()
        async with timeout(0.05):
            looped.pair.root.callRemote("wait", "late").addErrback(lambda _: None)
        looped.cross()
        while len(looped.house.log) < 2:
            await asyncio.sleep(0)
        assert looped.house.log == ["late", "late cancelled"]


async def test_async_methods_run_side_by_side() -> None:
    """A method that waits holds nobody up."""
    async with looped_pair() as looped:
        looped.house.gate = asyncio.get_running_loop().create_future()
        waiting = looped.pair.root.callRemote("wait", 1)
        assert await looped.call("plain", 2) == 2
        looped.house.gate.set_result(None)
        await looped.settle()
        assert await waiting == 1


async def test_nothing_is_kept_of_what_has_ended() -> None:
    """What has been answered is not held any more, with a loop or without."""
    async with looped_pair() as looped:
        await looped.call("wait", 1)
        results: Any = looped.pair.server._running_methods
        assert len(results) == 0

    pair = BrokerPair(House())
    assert pair.call("wait", 1) == 1
    results: Any = pair.server._running_methods
    assert len(results) == 0


async def test_what_async_methods_raise() -> None:
    """It is the answer, as with any other method."""
    async with looped_pair(PUBLISHED) as looped:
        failure = await looped.call("fail")
        assert failure.type == "builtins.KeyError"


async def test_every_kind_of_awaitable() -> None:
    """Deferreds of ours and of Twisted's, futures, and anything else with ``__await__``."""

    class Custom:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "custom"

    async with looped_pair(PUBLISHED) as looped:
        future = asyncio.get_running_loop().create_future()
        failing = asyncio.get_running_loop().create_future()
        cancelled = asyncio.get_running_loop().create_future()
        looped.house.returned = {
            "ours": succeed("ours"),
            "ours later": Deferred(),
            "ours fails": fail(KeyError("ours")),
            "theirs": twisted_defer.succeed("theirs"),
            "theirs fails": twisted_defer.fail(KeyError("theirs")),
            "future": future,
            "failing": failing,
            "cancelled": cancelled,
            "custom": Custom(),
        }
        loop = asyncio.get_running_loop()
        loop.call_soon(future.set_result, "future")
        loop.call_soon(failing.set_exception, KeyError("future"))
        loop.call_soon(cancelled.cancel)
        loop.call_soon(looped.house.returned["ours later"].callback, "later")
        for name in ("ours", "theirs", "future", "custom"):
            assert await looped.call("given", name) == name
        assert await looped.call("given", "ours later") == "later"
        for name in ("ours fails", "theirs fails", "failing"):
            assert (await looped.call("given", name)).type == "builtins.KeyError"
        assert "CancelledError" in (await looped.call("given", "cancelled")).type


@pytest.mark.parametrize(("policy", "cancels"), [(STRICT, True), (PUBLISHED, False)])
async def test_the_peer_has_gone(policy: Policy, cancels: bool) -> None:
    """Strict cancels the tasks that we created, published lets them run; futures are nobody's."""
    async with looped_pair(policy) as looped:
        house = looped.house
        house.gate = asyncio.get_running_loop().create_future()
        future = asyncio.get_running_loop().create_future()
        deferred: Deferred[Any] = Deferred()
        house.returned = {"future": future, "deferred": deferred}
        for call in (("wait", "a"), ("given", "future"), ("given", "deferred")):
            looped.pair.root.callRemote(*call).addErrback(lambda _: None)
        await looped.settle()
        looped.pair.server.connectionLost(None)  # type: ignore[arg-type]
        await looped.settle()
        assert house.log == (["a", "a cancelled"] if cancels else ["a"])
        assert not future.cancelled()
        assert not deferred.called
        # A task that is cancelled cancels what it waits for.
        assert house.gate.cancelled() is cancels
        for late in {future} if cancels else {future, house.gate}:
            late.set_result(None)
        deferred.callback(None)
        await looped.settle()


async def test_who_is_calling() -> None:
    """``current_call`` knows in plain and async methods, and in tasks that these start."""
    async with looped_pair() as looped:
        assert await looped.call("caller") == ["the client"] * 3
        assert await looped.call("plain_caller") == "the client"
        with pytest.raises(LookupError, match="none is running here"):
            current_call()


async def test_two_connections_do_not_see_each_others_caller() -> None:
    """Each method sees its own."""
    async with looped_pair() as looped:
        other = Looped()
        other.pair.server.peer.address = "another client"
        await other.settle()
        assert await other.call("caller") == ["another client"] * 3
        assert await looped.call("caller") == ["the client"] * 3


def test_without_a_loop() -> None:
    """Our own driver steps an async method where no loop runs, and is stopped with the peer."""

    class Driven(Root):
        def __init__(self) -> None:
            self.gate: Deferred[str] = Deferred()
            self.log: list[str] = []

        async def remote_wait(self) -> Any:
            try:
                return [await self.gate, current_call().peer.address]
            except BaseException as error:
                self.log.append(type(error).__name__)
                raise

    house = Driven()
    pair = BrokerPair(house)
    answer = pair.root.callRemote("wait")
    pair.exchange()
    house.gate.callback("open")
    assert pair.get(answer) == ["open", "the client"]
    house = Driven()
    pair = BrokerPair(house)
    pair.root.callRemote("wait").addErrback(lambda _: None)
    pair.exchange()
    pair.cut()
    assert len(house.log) == 1
