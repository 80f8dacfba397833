"""The reactor as the guest of a loop that the program runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.reactor import Reactor
from broker.reactor.error import (
    ReactorAlreadyRunning,
)
from broker.reactor.protocol import Factory, Protocol

Run = Callable[[], None]


# In a loop of the program.


def test_guest(reactor: Reactor, journal: Any) -> None:
    """In an asyncio program the reactor uses the running loop: without run, everything works."""

    async def program() -> None:
        assert reactor.running
        over = asyncio.Event()
        server = Factory.forProtocol(
            journal.protocol("server", dataReceived=lambda p, data: p.transport.write(data))
        )
        client = journal.client_factory(
            journal.protocol(
                "client",
                connectionMade=lambda p: p.transport.write(b"hello"),
                dataReceived=lambda p, data: p.transport.loseConnection(),
            ),
            clientConnectionLost=lambda connector, reason: over.set(),
        )
        port = reactor.listenTCP(0, server, interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, client)
        await over.wait()
        await port.stopListening()
        called = asyncio.Event()
        reactor.callLater(0.01, called.set)
        await called.wait()
        called.clear()
        await asyncio.to_thread(reactor.callFromThread, called.set)
        await called.wait()

    asyncio.run(program())
    assert "clientConnectionLost ConnectionDone" in journal
    assert "server connectionLost ConnectionDone" in journal
    assert not reactor.running


async def test_guest_run(reactor: Reactor) -> None:
    """run is refused in a running loop, and the error says that it is not needed."""
    with pytest.raises(ReactorAlreadyRunning, match="needs no run"):
        reactor.run()


async def test_guest_stop(reactor: Reactor, journal: Any) -> None:
    """In an asyncio program stop closes what the reactor opened, and the loop keeps running."""
    late: list[str] = []
    made, over = asyncio.Event(), asyncio.Event()
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    client = journal.client_factory(
        journal.protocol("client", connectionMade=lambda _: made.set()),
        clientConnectionLost=lambda connector, reason: over.set(),
    )
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    reactor.callLater(3600, late.append, "late")
    await made.wait()
    reactor.stop()
    await over.wait()
    while reactor.getDelayedCalls():
        await asyncio.sleep(0)
    assert late == []
    assert "not listening" in repr(port)
    # New requests work again from now on.
    called = asyncio.Event()
    reactor.callLater(0, called.set)
    await called.wait()


def test_guest_early(reactor: Reactor) -> None:
    """Requests made before the asyncio program began are handled once it uses the reactor."""
    seen: list[str] = []
    reactor.callWhenRunning(seen.append, "when running")
    reactor.callLater(0, seen.append, "later")
    reactor.callFromThread(seen.append, "from thread")

    async def program() -> None:
        called = asyncio.Event()
        reactor.callLater(0.01, called.set)
        await called.wait()

    asyncio.run(program())
    assert seen == ["from thread", "when running", "later"]


def test_guest_of_two_loops(reactor: Reactor) -> None:
    """Requests to a loop that was closed are not carried over to the next one."""
    seen: list[str] = []
    waiting: list[list[Any]] = []

    async def program(name: str) -> None:
        called = asyncio.Event()
        reactor.callLater(0, called.set)
        await called.wait()
        seen.append(name)
        left = reactor.callLater(3600, seen.append, "late")
        waiting.append([left, reactor.getDelayedCalls()])

    asyncio.run(program("first"))
    asyncio.run(program("second"))
    assert seen == ["first", "second"]
    assert [calls for _, calls in waiting] == [[left] for left, _ in waiting]


def test_run_after_being_a_guest(reactor: Reactor, run: Run) -> None:
    """A reactor that was a guest can still run its own loop."""

    async def program() -> None:
        reactor.callLater(0, print)

    asyncio.run(program())
    reactor.callWhenRunning(reactor.stop)
    run()


def test_being_a_guest_after_run(reactor: Reactor) -> None:
    """A reactor that has run can still be the guest of a loop."""
    reactor.callWhenRunning(reactor.stop)
    reactor.run()

    async def be_a_guest() -> None:
        assert reactor.running
        called = asyncio.Event()
        reactor.callLater(0, called.set)
        await called.wait()

    asyncio.run(be_a_guest())


def test_guest_stop_first(reactor: Reactor) -> None:
    """stop also drops calls that wait for a loop."""
    seen: list[str] = []
    reactor.callWhenRunning(seen.append, "when running")

    async def program() -> None:
        reactor.stop()
        await asyncio.sleep(0.01)

    asyncio.run(program())
    assert seen == []


def test_two_loops_at_once(reactor: Reactor, run: Run) -> None:
    """A second thread's loop cannot take the reactor away from the one where it runs."""
    raised: list[Exception] = []

    async def program() -> None:
        try:
            reactor.callLater(0, print)
        except RuntimeError as exc:
            raised.append(exc)

    def body() -> None:
        asyncio.run(program())
        reactor.callFromThread(reactor.stop)

    thread = threading.Thread(target=body)
    reactor.callWhenRunning(thread.start)
    run()
    thread.join()
    [exc] = raised
    assert "use callFromThread" in str(exc)
