"""serve: addresses, stats, draining, and the signals that end it."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.login.server import PortalRoot
from broker.running_server import Server
from broker.server import serve
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"

PROGRAM = """
import asyncio, broker

class Root(broker.Root):
    async def remote_slow(self, seconds):
        print("running", flush=True)
        await asyncio.sleep(seconds)
        return "done"

    def remote_echo(self, value):
        return value

async def main():
    server = await broker.serve(Root(), "pb://127.0.0.1:0")
    print(server.addresses[0], flush=True)
    await server.serve_forever()
    print("ended", flush=True)

asyncio.run(main())
"""


class Slow(broker.Root):
    """Has a method that answers when it is told to."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.release = asyncio.Event()

    async def remote_slow(self) -> str:
        """Wait."""
        self.reached.set()
        await self.release.wait()
        return "done"

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


async def test_addresses() -> None:
    """Each address given is served, with its real port, and can be connected to as it stands."""
    async with serve(Slow(), LOOPBACK, "pb://localhost:0") as server:
        assert len(server.addresses) == 2
        assert server.addresses[1].startswith("pb://localhost:")
        for address in server.addresses:
            async with broker.connect(address) as connection:
                assert await connection.root.callRemote("echo", 1) == 1


async def test_default_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address, it is the loopback at PB's port."""
    bound: list[Any] = []
    monkeypatch.setattr(Server, "_listen", lambda self, locations, *rest: bound.extend(locations))
    await serve(Slow())
    assert [str(location) for location in bound] == ["pb://127.0.0.1:8787"]


async def test_nothing_stays_open_when_one_port_is_taken() -> None:
    """When one of several addresses cannot be had, none is held."""
    async with serve(Slow(), LOOPBACK) as first:
        async with serve(Slow(), LOOPBACK) as other:
            free = other.addresses[0]
        with pytest.raises(broker.CannotListenError):
            await serve(Slow(), free, first.addresses[0])
        async with serve(Slow(), free):
            pass


async def test_connections_and_stats(caplog: pytest.LogCaptureFixture) -> None:
    """A server tells its open connections and counts those that were; each is two lines of INFO."""
    caplog.set_level(logging.INFO, "broker.server")

    async with serve(Slow(), LOOPBACK) as server:
        async with broker.connect(server.addresses[0]) as connection:
            (far,) = server.connections
            assert far.peer.address == connection.broker.transport.getHost()
            assert (server.stats.accepted, server.stats.closed) == (1, 0)
        await far.wait_closed()
        assert server.connections == ()
        assert (server.stats.accepted, server.stats.closed) == (1, 1)
    begun, ended = [record.getMessage() for record in caplog.records]
    assert begun.startswith("connection from 127.0.0.1:")
    assert ended.startswith(f"{begun} ended: ")


@pytest.mark.row("B17")
async def test_leaving_drains() -> None:
    """Leaving the block waits for running calls, refuses new ones as not run, and then closes."""
    root = Slow()
    serving = serve(root, LOOPBACK)
    server = await serving.__aenter__()
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    leaving = asyncio.create_task(serving.__aexit__(None, None, None))
    await asyncio.sleep(0)
    with pytest.raises(broker.ServerDraining, match=r"^not run: the server is shutting down$"):
        await connection.root.callRemote("echo", 1)
    with pytest.raises(broker.ConnectionRefusedError):
        await broker.connect(server.addresses[0])
    assert not leaving.done()
    root.release.set()
    assert await running == "done"
    await leaving
    await connection.wait_closed()


@pytest.mark.row("B17")
async def test_drain_has_an_end() -> None:
    """What still runs after the seconds of grace is cut off."""
    root = Slow()
    server = await serve(root, LOOPBACK)
    connection = await broker.connect(server.addresses[0])
    running = connection.root.callRemote("slow")
    await root.reached.wait()
    await server.close(drain=0.05)
    with pytest.raises(broker.PBConnectionLost):
        await running


async def test_leaving_by_an_exception() -> None:
    """An exception closes at once: it does not wait for calls."""
    root = Slow()
    with pytest.raises(ZeroDivisionError):
        async with serve(root, LOOPBACK) as server:
            connection = await broker.connect(server.addresses[0])
            running = connection.root.callRemote("slow")
            await root.reached.wait()
            raise ZeroDivisionError
    with pytest.raises(broker.PBConnectionLost):
        await running
    await connection.wait_closed()


async def test_serve_forever_ends_with_the_server() -> None:
    """Closing the server ends ``serve_forever``."""
    server = await serve(Slow(), LOOPBACK)
    serving = asyncio.create_task(server.serve_forever(handle_signals=False))
    await asyncio.sleep(0)
    assert not serving.done()
    await server.close()
    await serving


async def test_cancelling_serve_forever() -> None:
    """Cancelling ``serve_forever`` gives the signals back and leaves the server as it is."""
    before = signal.getsignal(signal.SIGTERM)
    async with serve(Slow(), LOOPBACK) as server:
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert signal.getsignal(signal.SIGTERM) is not before
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert signal.getsignal(signal.SIGTERM) is before
        async with broker.connect(server.addresses[0]) as connection:
            assert await connection.root.callRemote("echo", 1) == 1


class Program:
    """The program above, in a process."""

    def __init__(self, folder: Path):
        path = folder / "program.py"
        path.write_text(PROGRAM)
        self.process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE)

    async def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        read = self.process.stdout.readline
        return (await asyncio.to_thread(read)).decode().strip()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.row("B17")
async def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM or SIGINT lets running calls end, refuses others, and ends the process in order."""
    with Program(tmp_path) as program:
        connection = await broker.connect(await program.line())
        running = connection.root.callRemote("slow", 0.5)
        assert await program.line() == "running"
        program.process.send_signal(number)
        with pytest.raises(broker.ServerDraining):
            while True:
                await connection.root.callRemote("echo", 1)
        assert await running == "done"
        await connection.wait_closed()
        assert await program.line() == "ended"
        assert await asyncio.to_thread(program.process.wait) == 0


async def test_a_second_signal_aborts(tmp_path: Path) -> None:
    """A second signal does not wait for what runs; the process ends in order all the same."""
    with Program(tmp_path) as program:
        connection = await broker.connect(await program.line())
        running = connection.root.callRemote("slow", 60)
        assert await program.line() == "running"
        program.process.send_signal(signal.SIGTERM)
        with pytest.raises(broker.ServerDraining):
            while True:
                await connection.root.callRemote("echo", 1)
        program.process.send_signal(signal.SIGTERM)
        with pytest.raises(broker.PBConnectionLost):
            await running
        assert await program.line() == "ended"
        assert await asyncio.to_thread(program.process.wait) == 0


async def test_what_is_served() -> None:
    """A Root, a Portal, or what adapts to IPBRoot is served; anything else is a TypeError."""
    portal = Portal(broker.realm(lambda avatar_id, mind: None), [AllowAnonymousAccess()])
    for target in (portal, PortalRoot(portal), broker.Root()):
        async with serve(target, LOOPBACK):
            pass
    with pytest.raises(TypeError, match="serves a Root or a Portal, not object"):
        await serve(object(), LOOPBACK)
