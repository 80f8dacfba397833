"""Giving sockets to loops: at once in asyncio's own loop, in a coroutine in others."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from broker.net import adopting
from broker.net.adopting import adopt_at_once
from broker.net.socket_source import SocketSource
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.transports import StreamTransport


@pytest.fixture(params=["at once", "in a coroutine"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a loop gets a socket: as itself, and as a loop that needs a coroutine."""
    if request.param == "in a coroutine":
        monkeypatch.setattr(adopting, "adopt_at_once", lambda *args: False)
        monkeypatch.setattr("broker.net.listener.adopt_at_once", lambda *args: False)
    return str(request.param)


async def test_both_ends(way: str, each_loop, factory, recorder) -> None:
    """Either way makes both ends of a connection, which pass data and the end; no task is left."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
    assert transport.connected
    server = await servers.next()
    transport.write(b"there")
    assert await server.received(5) == b"there"
    server.transport.write(b"back")
    assert await transport.protocol.received(4) == b"back"
    transport.loseConnection()
    await transport.protocol.lost()
    await server.lost()
    listener.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_task_to_accept(factory, recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own loop accepts a connection without a task."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    port = listener.addresses[0].port
    loop = asyncio.get_running_loop()
    made: list[Any] = []
    monkeypatch.setattr(loop, "create_task", lambda *args, **kw: made.append(args))
    transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
    server = await servers.next()
    monkeypatch.undo()
    assert made == []
    transport.loseConnection()
    await server.lost()
    listener.close()


async def test_which_loops(each_loop) -> None:
    """asyncio's own loop uses a SocketSource; for another one, nothing has happened."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        transport = StreamTransport(lambda peer: None, loop)
        is_own = isinstance(loop, asyncio.SelectorEventLoop)
        assert adopt_at_once(loop, here, transport) == is_own
        assert (type(getattr(transport, "_source", None)) is SocketSource) == is_own
        await asyncio.sleep(0)
        assert (here.fileno() < 0) == is_own
