"""Accepting: errors of accept, and loops that cannot watch sockets."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any

import pytest

from broker.net.listener import PAUSE, Listener
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.transports import StreamTransport


class FakeSocket:
    """A listening socket whose ``accept`` does what a test says."""

    family = socket.AF_INET

    def __init__(self, *outcomes: Any):
        self.outcomes = list(outcomes)

    def accept(self) -> Any:
        """Raise, or return, the next outcome."""
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome, None

    def getsockname(self) -> Any:
        """Return some address."""
        return ("127.0.0.1", 1)

    def fileno(self) -> int:
        """Look open."""
        return 99

    def close(self) -> None:
        """Do nothing."""


class Timer:
    """A scheduled call."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        """Note it."""
        self.is_cancelled = True


class Watch:
    """A loop that watches what it is told, and whose timers a test fires."""

    def __init__(self) -> None:
        self.watched: set[Any] = set()
        self.later: list[tuple[float, Any, Any, Timer]] = []

    def add_reader(self, sock: Any, f: Any, *args: Any) -> None:
        """Watch."""
        self.watched.add(sock)

    def time(self) -> float:
        """Stand still."""
        return 0.0

    def remove_reader(self, sock: Any) -> None:
        """Watch no longer."""
        self.watched.discard(sock)

    def call_later(self, delay: float, f: Any, *args: Any) -> Timer:
        """Note it."""
        timer = Timer()
        self.later.append((delay, f, args, timer))
        return timer


EXHAUSTED = OSError(errno.EMFILE, "Too many open files")


@pytest.mark.row("B18")
def test_no_descriptor_left(caplog: pytest.LogCaptureFixture) -> None:
    """Accepting pauses for a second each time, and one line is logged until it works again."""
    loop: Any = Watch()
    gone = ConnectionAbortedError(errno.ECONNABORTED, "")
    sock: Any = FakeSocket(EXHAUSTED, EXHAUSTED, gone, BlockingIOError())
    listener = Listener([sock], lambda: pytest.fail("nobody came"), loop)
    with caplog.at_level(logging.WARNING):
        listener._accept(sock)
        assert loop.watched == set()
        delay, resume, args, _ = loop.later.pop()
        assert delay == PAUSE == 1.0
        resume(*args)
        assert loop.watched == {sock}
        listener._accept(sock)
        assert [record.getMessage() for record in caplog.records] == [
            "no connections are accepted for now: too many open files; trying again every 1 s"
        ]
    _, resume, args, _ = loop.later.pop()
    resume(*args)
    listener._accept(sock)
    assert not sock.outcomes
    assert loop.watched == {sock}
    assert loop.later == []
    listener.close()
    assert loop.watched == set()


def test_closed_during_a_pause() -> None:
    """A listener that is closed during a pause does not resume."""
    loop: Any = Watch()
    sock: Any = FakeSocket(EXHAUSTED)
    listener = Listener([sock], lambda: pytest.fail("nobody came"), loop)
    listener._accept(sock)
    listener.close()
    ((_, _, _, timer),) = loop.later
    assert timer.is_cancelled


async def test_a_transport_that_cannot_be_made(
    caplog: pytest.LogCaptureFixture, each_loop, recorder
) -> None:
    """A connection without a transport is closed and logged; the next one is accepted."""
    loop = asyncio.get_running_loop()
    peers: list[Any] = []

    def new() -> StreamTransport:
        if not peers:
            peers.append(None)
            raise RuntimeError("no")
        return StreamTransport(lambda peer: peers.append(recorder()) or peers[-1], loop)

    listener = Listener(bind_stream("127.0.0.1", 0), new, loop)
    port = listener.addresses[0].port  # type: ignore[union-attr]
    for _ in range(2):
        here = recorder()
        transport = await connect_stream(lambda peer, here=here: here, "127.0.0.1", port)
        if peers == [None]:
            await here.lost()
    while len(peers) < 2:
        await asyncio.sleep(0)
    transport.loseConnection()
    await peers[1].lost()
    listener.close()
    assert [record.getMessage() for record in caplog.records] == ["a connection could not be taken"]


class Proactor(asyncio.SelectorEventLoop):
    """Like a proactor loop: its sockets cannot be watched."""

    def add_reader(self, *args: Any) -> None:
        """Refuse."""
        raise NotImplementedError


@pytest.mark.parametrize("each_loop", [Proactor])
async def test_a_loop_that_watches_no_sockets(each_loop, factory, recorder) -> None:
    """If sockets cannot be watched, the loop accepts by itself."""
    servers = factory(recorder)
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    port = listener.addresses[0].port  # type: ignore[union-attr]
    here = recorder()
    transport = await connect_stream(lambda peer: here, "127.0.0.1", port)
    transport.write(b"hello")
    server = await servers.next()
    assert await server.received(5) == b"hello"
    transport.loseConnection()
    await server.lost()
    listener.close()
    await asyncio.sleep(0)
