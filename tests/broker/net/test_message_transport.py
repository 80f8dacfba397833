"""A transport over messages: order, pieces of 64 KiB, flow control, and each kind of end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.net.filters import Route
from broker.net.message_transport import PIECE, MessageTransport
from broker.net.socket_addresses import IPv4Address
from broker.net.transports import HIGH_WATER

PEER = IPv4Address("TCP", "192.0.2.7", 5)


class Ends:
    """Both sides of a transport: the messages in, and those out.

    Attributes:
        sent: the messages that were sent.
        asked: how often the next message was asked for.
        may_send: sending waits while this is not set.
    """

    def __init__(self, protocol: Any, transport: MessageTransport):
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.asked = 0
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.transport = transport
        self.protocol = protocol
        protocol.makeConnection(transport)
        self.task = asyncio.ensure_future(transport.run(protocol, self.receive, self.send))

    async def receive(self) -> bytes | None:
        """Return the next message."""
        self.asked += 1
        found = await self.incoming.get()
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    async def send(self, data: bytes) -> None:
        """Take a message, or wait."""
        await self.may_send.wait()
        self.sent.append(data)
        await asyncio.sleep(0)

    async def turns(self, count: int = 10) -> None:
        """Let some turns of the loop pass."""
        for _ in range(count):
            await asyncio.sleep(0)


@pytest.fixture
def ends(recorder: Any) -> Callable[[], Ends]:
    """Return a function that makes a connection."""
    return lambda: Ends(recorder(), MessageTransport(Route(PEER), has_tls=False))


async def test_data(ends: Any) -> None:
    """Messages in are data; what is written in one turn is one message, or several of 64 KiB."""
    made = ends()
    made.incoming.put_nowait(b"hel")
    made.incoming.put_nowait(b"lo")
    assert await made.protocol.received(5) == b"hello"
    made.transport.write(b"a")
    made.transport.write(b"")
    made.transport.write(b"b")
    await made.turns()
    made.transport.write(bytes(PIECE + 1))
    made.transport.loseConnection()
    await made.task
    assert made.sent == [b"ab", bytes(PIECE), b"\0"]
    assert isinstance(made.protocol.reason, ConnectionDone)
    assert made.protocol.lost_calls == 1


async def test_slow_peer(ends: Any) -> None:
    """``unsent`` is what was not taken; ``on_drained`` is called once most of it has been."""
    made = ends()
    drained: list[int] = []
    made.transport.on_drained = lambda: drained.append(made.transport.unsent)
    made.may_send.clear()
    made.transport.write(bytes(HIGH_WATER * 3))
    await made.turns()
    assert made.transport.unsent == made.transport.most_unsent == HIGH_WATER * 3
    assert drained == []
    made.may_send.set()
    await made.turns(20)
    assert (made.transport.unsent, drained) == (0, [0])
    made.transport.abortConnection()
    await made.task


async def test_producers(ends: Any) -> None:
    """A push producer is paused above the high water mark; a pull producer is asked when empty."""
    made = ends()
    told: list[str] = []

    class Producer:
        """Notes what it is told."""

        left = 3

        def pauseProducing(self) -> None:
            """Note it."""
            told.append("pause")

        def resumeProducing(self) -> None:
            """Write, as a pull producer does."""
            told.append("resume")
            self.left -= 1
            if self.left > 0:
                made.transport.write(b"x")

        def stopProducing(self) -> None:
            """Note it."""
            told.append("stop")

    made.transport.registerProducer(Producer(), True)
    made.may_send.clear()
    made.transport.write(bytes(HIGH_WATER + 1))
    assert told == ["pause"]
    made.may_send.set()
    await made.turns(20)
    assert told == ["pause", "resume"]
    made.transport.unregisterProducer()
    pull = Producer()
    made.transport.registerProducer(pull, False)
    await made.turns(30)
    assert pull.left <= 0
    assert made.sent[-2:] == [b"x", b"x"]
    made.transport.abortConnection()
    await made.task
    assert told[-1] == "stop"
    made.transport.registerProducer(Producer(), True)
    assert told[-2:] == ["stop", "stop"]


async def test_paused(ends: Any) -> None:
    """While reading is paused, the next message is not asked for."""
    made = ends()
    await made.turns()
    assert made.asked == 1
    made.transport.pause_reading()
    assert not made.transport.is_reading
    made.incoming.put_nowait(b"1")
    made.incoming.put_nowait(b"2")
    await made.turns()
    assert (bytes(made.protocol.data), made.asked) == (b"1", 1)
    made.transport.resume_reading()
    assert await made.protocol.received(2) == b"12"
    # A close ends also what is paused.
    made.transport.pause_reading()
    made.transport.loseConnection()
    await made.task


async def test_end_of_the_peer(ends: Any) -> None:
    """The end of the messages is a clean end; an error of the server in front is not."""
    for end, kind in ((None, ConnectionDone), (OSError("gone"), ConnectionLost)):
        made = ends()
        made.incoming.put_nowait(end)
        await made.task
        assert type(made.protocol.reason) is kind
        made.transport.write(b"late")
        assert made.transport.unsent == 0


async def test_abort(ends: Any) -> None:
    """An abort drops what is not sent, also while sending waits."""
    made = ends()
    made.may_send.clear()
    made.transport.write(b"never")
    await made.turns()
    made.transport.write(b"never")
    made.transport.abortConnection()
    assert made.transport.is_closing and made.transport.unsent == 0
    made.may_send.set()
    await made.task
    assert b"nevernever" not in b"".join(made.sent)
    assert isinstance(made.protocol.reason, ConnectionAborted)


async def test_failing_send(recorder: Any) -> None:
    """An error of sending ends the connection."""
    transport, protocol = MessageTransport(Route(PEER), has_tls=False), recorder()

    async def fail(data: bytes) -> None:
        raise OSError("gone")

    async def nothing() -> bytes | None:
        await asyncio.Event().wait()
        return None

    transport.write(b"x")
    await transport.run(protocol, nothing, fail)
    assert isinstance(protocol.reason, ConnectionLost)


async def test_raising_protocol(ends: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A protocol that raises loses its connection, with one record."""
    made = ends()

    def fail(data: bytes) -> None:
        raise KeyError("x")

    made.protocol.dataReceived = fail
    made.incoming.put_nowait(b"1")
    await made.task
    assert isinstance(made.protocol.reason, ConnectionAborted)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_leaving_at_once(ends: Any) -> None:
    """``leave`` sends what is written; at once it waits a second at most."""
    made = ends()
    made.transport.write(b"bye")
    made.transport.leave()
    await made.task
    assert made.sent == [b"bye"]
    made = ends()
    made.may_send.clear()
    made.transport.write(b"bye")
    made.transport.leave(at_once=True)
    await made.turns()
    made.may_send.set()
    await made.task
    assert made.sent == [b"bye"]
    assert isinstance(made.protocol.reason, ConnectionAborted)


async def test_cancelled(ends: Any) -> None:
    """When the server in front cancels, the protocol is told, and no task is left."""
    made = ends()
    await made.turns()
    made.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await made.task
    assert made.protocol.lost_calls == 1


async def test_who(ends: Any) -> None:
    """It tells who is there as the route says."""
    transport = ends().transport
    assert (transport.peer_address, transport.getPeer(), transport.proxy_address) == (
        PEER,
        PEER,
        None,
    )
    assert (transport.is_secure, transport.is_private) == (False, False)
    assert transport.channel_binding() is None and transport.verified_chain() == ()
    here = MessageTransport(Route(IPv4Address("TCP", "127.0.0.1", 1)), has_tls=False)
    assert here.is_private
    assert MessageTransport(Route(None), has_tls=True).is_private
    assert not MessageTransport(Route(None), has_tls=False).is_private
    told: list[int] = []
    here.when_secured(lambda: told.append(1))
    here.watch_peer(1, 1)
    assert told == [1]
    transport.abortConnection()
