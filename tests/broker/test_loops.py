"""A connection and its event loop: calls from elsewhere are an error in words."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import Any

import pytest

import broker
from broker import pb, reactor
from broker.core.policy import STRICT

ANOTHER_THREAD = (
    "^this connection belongs to the loop of another thread; use broker.blocking, or"
    " loop.call_soon_threadsafe$"
)


class Root(broker.Root):
    """What the tests call."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_hear(self, what: Any) -> Any:
        """Note."""
        self.heard.append(what)
        return what


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_a_call_from_another_thread(dialect: str) -> None:
    """A call from another thread is a RuntimeError there, which names the way out."""
    root = Root()

    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(root, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        there = connection.root
        subscribers = broker.Subscribers()
        subscribers.add(there)
        for call in (there.callRemote, there.send, subscribers.send):
            with pytest.raises(RuntimeError, match=ANOTHER_THREAD):
                await asyncio.to_thread(call, "hear", "thread")
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(there.send, "hear", 1)
        await asyncio.sleep(0)
        assert await there.callRemote("hear", 2) == 2
    assert root.heard == [1, 2]


def test_a_connection_of_a_loop_that_has_ended() -> None:
    """A connection of an ended loop says so, in another loop and in none."""
    left: list[Any] = []

    async def leave_open() -> None:
        server = await broker.serve(Root(), "pb://127.0.0.1:0")
        left.extend([server, await broker.connect(server.addresses[0])])

    asyncio.run(leave_open())

    async def later() -> None:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            await left[1].root.callRemote("hear", 1)
        for end in (left[1].close, left[1].wait_closed):
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                await end()

    asyncio.run(later())
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        left[1].root.callRemote("hear", 1)
    # What such a loop leaves open, asyncio warns of when it is collected.
    left.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_loop_that_stands_still() -> None:
    """A call may be made while the loop does not run, but not while another does."""
    with asyncio.Runner() as runner:

        async def begin() -> Any:
            server = await broker.serve(Root(), "pb://127.0.0.1:0")
            return server, await broker.connect(server.addresses[0])

        server, connection = runner.run(begin())
        call = connection.root.callRemote("hear", 1)

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                connection.root.callRemote("hear", 2)

        asyncio.run(elsewhere())

        async def end() -> Any:
            result = await call
            await connection.close()
            await server.close()
            return result

        assert runner.run(end()) == 1


async def test_the_published_face() -> None:
    """The same holds where a reactor made the connection."""
    port = reactor.listenTCP(0, pb.PBServerFactory(Root()), interface="127.0.0.1")
    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    root = await factory.getRootObject()
    raised: list[Any] = []

    def work() -> None:
        try:
            root.callRemote("hear", 1)
        except RuntimeError as error:
            raised.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "another thread" in raised[0]
    factory.disconnect()
    await root.broker.closed
    await port.stopListening()


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_one_way_calls_to_a_peer_that_has_gone(dialect: str) -> None:
    """No one-way call raises for a peer that has gone, however it is made."""

    class Pond(broker.Cacheable):
        """Keeps its observers."""

        def __init__(self) -> None:
            self.observers: list[Any] = []

        def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
            """Keep one."""
            self.observers.append(observer)
            return {"name": "pond"}

    class Hub(broker.Root):
        """Keeps whom to tell."""

        def __init__(self) -> None:
            self.pond = Pond()
            self.listeners: list[Any] = []

        def remote_join(self, listener: Any) -> Any:
            """Keep one."""
            self.listeners.append(listener)
            return self.pond

        def remote_tell(self) -> int:
            """Tell all, by hand."""
            for listener in self.listeners:
                listener.send("hear", "send")
                assert listener.callRemote("hear", "call", pbanswer=False) is None
            for observer in self.pond.observers:
                assert observer.callRemote("told", pbanswer=False) is None
            with pytest.raises(broker.DeadReferenceError):
                self.listeners[0].callRemote("hear", 1)
            with pytest.raises(broker.DeadReferenceError):
                self.pond.observers[0].callRemote("told")
            return len(self.listeners)

    class RemotePond(broker.RemoteCache):
        """Follows."""

        name: str

        def observe_told(self) -> None:
            """Be told."""

    broker.register(RemotePond, name=broker.failure.qual(Pond))

    hub, ears = Hub(), [Root(), Root()]
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(hub, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as stays,
    ):
        goes = await broker.connect(server.addresses[0], policy=policy)
        kept = [
            await one.root.callRemote("join", ear)
            for one, ear in zip((goes, stays), ears, strict=True)
        ]
        far = hub.listeners[0].broker
        await goes.close()
        await far.closed
        assert await stays.root.callRemote("tell") == 2
        assert ears[1].heard == ["send", "call"]
        del kept
