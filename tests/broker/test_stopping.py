"""Stopping: draining of servers and of clients that are called, in both dialects."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.core.events import PeerDrains, PeerLeaves
from broker.core.policy import STRICT
from broker.server import serve

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = ["pb", "msgpack/1"]


class Slow(broker.Root):
    """Has a method that answers when it is told to, and calls back before it does."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    async def remote_slow(self, worker: Any = None) -> Any:
        """Wait."""
        self.reached.set()
        await self.release.wait()
        return "done" if worker is None else await worker.callRemote("work")

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


class Worker(Slow):
    """Is handed to a server."""

    def remote_work(self) -> str:
        """Work."""
        return "worked"


class Office(broker.Root):
    """Takes workers."""

    def __init__(self) -> None:
        self.workers: asyncio.Queue[broker.RemoteReference] = asyncio.Queue()

    def remote_join(self, worker: broker.RemoteReference) -> None:
        """Keep a worker."""
        self.workers.put_nowait(worker)


def told(connection: broker.Connection, monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[Any]:
    """What a connection is told from now on: that the peer drains, and its goodbye."""
    came: asyncio.Queue[Any] = asyncio.Queue()
    host = connection.broker
    handle = host.on_event

    def on_event(event: Any) -> None:
        handle(event)
        if isinstance(event, PeerDrains | PeerLeaves):
            came.put_nowait(event)

    monkeypatch.setattr(host, "on_event", on_event)
    return came


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_server_drains(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are told when it begins; running calls go on, callbacks too, and are answered."""
    root, policy = Slow(), STRICT.but(dialects=(dialect,))
    server = await serve(root, LOOPBACK, policy=policy, drain=math.inf)
    connection = await broker.connect(server.addresses[0], policy=policy)
    running = connection.root.callRemote("slow", Worker())
    await root.reached.wait()
    events = told(connection, monkeypatch)
    closing = asyncio.create_task(server.close())
    if dialect == "msgpack/1":
        assert await events.get() == PeerDrains(0, ())
    for _ in range(2):
        with pytest.raises(broker.ServerDraining, match=r"^not run: the server is shutting"):
            await connection.root.callRemote("echo", 1)
        connection.root.send("echo", 1)
        assert connection.root.callRemote("echo", 1, pbanswer=False) is None
    assert not closing.done()
    assert not connection.is_closed
    root.release.set()
    assert await running == "worked"
    await closing
    await connection.wait_closed()
    if dialect == "msgpack/1":
        assert events.get_nowait() == PeerLeaves("draining", "the server is shutting down")
    assert events.empty()
    with pytest.raises(broker.DeadReferenceError):
        connection.root.callRemote("echo", 1)


async def test_the_end_says_why() -> None:
    """A call that the drain cuts off fails with what the server has said."""
    root = Slow()
    server = await serve(root, LOOPBACK, drain=0.05)
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    await server.close()
    with pytest.raises(broker.PBConnectionLost, match="the server is shutting down") as caught:
        await running
    assert caught.value.may_have_run
    assert caught.value.goodbye == "closing"


async def test_who_comes_while_it_drains() -> None:
    """A connection whose dialect is agreed on after the drain began is told, too."""
    root = Slow()
    server = await serve(root, LOOPBACK)
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(server.addresses[0]))
    await reader.readexactly(1)
    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0)
    writer.write(b"\x09\x82msgpack/1")
    said = b""
    while b"\x93\x0f\x00\x90" not in said:
        said += await reader.read(100)
    writer.close()
    root.release.set()
    assert await running == "done"
    await closing
    await connection.close()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("give", ["serve", "close", "serve_forever"])
async def test_the_time_of_a_drain(give: str) -> None:
    """The seconds are those of ``serve``, unless ``close`` or ``serve_forever`` have others."""
    root = Slow()
    server = await serve(root, LOOPBACK, drain=0.05 if give == "serve" else math.inf)
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    if give == "serve_forever":
        serving = asyncio.create_task(server.serve_forever(drain=0.05))
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        await serving
    else:
        await server.close(**({} if give == "serve" else {"drain": 0.05}))
    with pytest.raises(broker.PBConnectionLost):
        await running


@pytest.mark.parametrize("seconds", [-1, -0.5, math.nan, "30", True, -math.inf])
async def test_times_that_cannot_be(seconds: Any) -> None:
    """A drain that is negative or no number is refused where it is given."""
    with pytest.raises(broker.ConfigError, match="drain="):
        serve(Slow(), LOOPBACK, drain=seconds)
    async with serve(Slow(), LOOPBACK) as server:
        with pytest.raises(broker.ConfigError, match="drain="):
            await server.close(drain=seconds)
        with pytest.raises(broker.ConfigError, match="drain="):
            await server.serve_forever(drain=seconds)
        async with broker.connect(server.addresses[0]) as connection:
            with pytest.raises(broker.ConfigError, match="drain="):
                await connection.serve_forever(drain=seconds)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_client_drains(dialect: str) -> None:
    """SIGTERM has a called client refuse calls, answer those that run, and close."""
    office, policy, worker = Office(), STRICT.but(dialects=(dialect,)), Worker()
    async with serve(office, LOOPBACK, policy=policy) as server:
        connection = await broker.connect(server.addresses[0], policy=policy)
        await connection.root.callRemote("join", worker)
        reference = await office.workers.get()
        running = reference.callRemote("slow")
        await worker.reached.wait()
        serving = asyncio.create_task(connection.serve_forever(drain=math.inf))
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(broker.ServerDraining):
            while True:
                await reference.callRemote("echo", 1)
        assert not serving.done()
        worker.release.set()
        assert await running == "done"
        await serving
        assert connection.is_closed


async def test_a_second_signal_ends_a_client() -> None:
    """A second signal does not wait for the calls that run."""
    office, worker = Office(), Worker()
    async with serve(office, LOOPBACK) as server:
        connection = await broker.connect(server.addresses[0])
        await connection.root.callRemote("join", worker)
        reference = await office.workers.get()
        running = reference.callRemote("slow")
        await worker.reached.wait()
        serving = asyncio.create_task(connection.serve_forever())
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(broker.ServerDraining):
            while True:
                await reference.callRemote("echo", 1)
        signal.raise_signal(signal.SIGINT)
        await serving
        with pytest.raises(broker.PBConnectionLost):
            await running


@pytest.mark.parametrize("takes_signals", [False, True])
async def test_a_client_serves_until_the_end(takes_signals: bool) -> None:
    """``connection.serve_forever`` returns when the connection ends, and gives signals back."""
    before = signal.getsignal(signal.SIGTERM)
    async with serve(Slow(), LOOPBACK) as server:
        connection = await broker.connect(server.addresses[0])
        serving = asyncio.create_task(connection.serve_forever(handle_signals=takes_signals))
        await asyncio.sleep(0)
        assert (signal.getsignal(signal.SIGTERM) is before) != takes_signals
    await serving
    assert signal.getsignal(signal.SIGTERM) is before
    await connection.serve_forever()


PROGRAM = """
import asyncio
import broker

class Root(broker.Root):
    async def remote_slow(self):
        await asyncio.sleep(3600)
"""


async def test_pb_serve(tmp_path: Path) -> None:
    """``pb serve --drain`` bounds the calls that run when a signal comes; -1 is wrong use."""
    (tmp_path / "slow.py").write_text(PROGRAM, "utf-8")
    command = [sys.executable, "-m", "broker", "serve", "slow:Root", LOOPBACK, "--drain"]

    process = await asyncio.create_subprocess_exec(
        *command, "0.05", cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().split()[-1]
    connection = await broker.connect(address)
    running = connection.root.callRemote("slow")
    with pytest.raises(broker.NoSuchMethod):
        await connection.root.callRemote("nothing")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(broker.PBConnectionLost):
        await running
    assert await process.wait() == 0
    wrong = subprocess.run(
        [*command, "-1"], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "drain=-1.0" in wrong.stderr
