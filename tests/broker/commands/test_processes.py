"""``pb serve --processes``: several processes at one port, as one server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.commands import processes as processes_module
from broker.commands.processes import Processes

MODULE = """
import asyncio, os, time
from contextlib import asynccontextmanager
import broker

class Echo(broker.Root):
    def remote_pid(self):
        return os.getpid()

    async def remote_wait(self):
        await asyncio.sleep(0.2)
        return "waited"

    def remote_die(self):
        os._exit(3)

@asynccontextmanager
async def around():
    yield Echo()
    print("left", flush=True)

@asynccontextmanager
async def wrong():
    yield 7
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Write the module that is served, and return its folder."""
    (tmp_path / "served.py").write_text(MODULE)
    return tmp_path


def address_of(process: Any) -> str:
    """Return the address that is printed when all processes serve."""
    line = process.stdout.readline()
    assert line.startswith("serving at "), process.communicate()
    return str(line.removeprefix("serving at ").strip())


async def pid_of(address: str) -> int:
    """Return the process that a new connection reaches."""
    async with broker.connect(address) as connection:
        return int(await connection.root.callRemote("pid"))


async def pids_of(address: str, count: int, without: frozenset[int] = frozenset()) -> set[int]:
    """Connect until so many processes have answered."""
    found: set[int] = set()
    async with asyncio.timeout(30):
        while len(found) < count:
            try:
                found |= {await pid_of(address)} - without
            except broker.Disconnected:
                await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize(
    ("target", "listening"),
    [
        ("served:Echo", "pb://127.0.0.1:0"),
        ("served:Echo", "ws://127.0.0.1:0/pb"),
        ("served:around", "pb://127.0.0.1:0"),
    ],
)
async def test_one_port(
    target: str, listening: str, start: Callable[..., Any], module: Path
) -> None:
    """All processes get connections; a signal lets their calls end, and the status is 0.

    Each process enters a context manager of the program, and leaves it.
    """
    process = start("serve", target, listening, "--processes", "3")
    address = address_of(process)
    assert process.pid not in await pids_of(address, 3)
    async with broker.connect(address) as connection:
        waiting = connection.root.callRemote("wait")
        await connection.root.callRemote("pid")
        process.terminate()
        assert await waiting == "waited"
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert errors.count("ended, after") == 3
    assert output.count("left") == (3 if target == "served:around" else 0)


async def test_a_process_that_ends(start: Callable[..., Any], module: Path) -> None:
    """A process that has ended is started again; the others serve meanwhile."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", "--processes", "2")
    address = address_of(process)
    before = await pids_of(address, 2)
    with pytest.raises(broker.PBConnectionLost):
        async with broker.connect(address) as connection:
            await connection.root.callRemote("die")
    (new,) = await pids_of(address, 1, frozenset(before))
    assert new not in before
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert " of 2 ended (3)" in errors


def test_a_port_in_use(start: Callable[..., Any], module: Path) -> None:
    """A port that a server has alone ends the command with status 1."""
    address = address_of(start("serve", "served:Echo", "pb://127.0.0.1:0"))
    second = start("serve", "served:Echo", address, "--processes", "2")
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1
    assert "pb serve: " in errors and "Traceback" not in errors


def test_a_context_manager_that_gives_something_else(
    start: Callable[..., Any], module: Path
) -> None:
    """The command ends with an error about the object."""
    process = start("serve", "served:wrong", "pb://127.0.0.1:0", "--processes", "2")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2, errors
    assert "pb serve: served:wrong is of type int" in errors and "Traceback" not in errors


def test_a_unix_socket(start: Callable[..., Any], module: Path) -> None:
    """A UNIX socket cannot be shared."""
    process = start("serve", "served:Echo", f"pb+unix://{module}/s", "--processes", "2")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "several processes cannot listen at pb+unix://" in errors


def test_a_parent_that_is_killed(start: Callable[..., Any], module: Path) -> None:
    """Children end when their parent is gone."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", "--processes", "2")
    asyncio.run(pids_of(address_of(process), 2))
    process.kill()
    # The children have the other ends of its pipes.
    _, errors = process.communicate(timeout=20)
    assert errors.count("ended, after") == 2


def test_no_process_is_left(start: Callable[..., Any], module: Path) -> None:
    """After a signal no child is left."""
    process = start("serve", "served:Echo", "pb://127.0.0.1:0", "--processes", "2")
    address = address_of(process)
    pids = asyncio.run(pids_of(address, 2))
    process.terminate()
    process.communicate(timeout=20)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_service_manager_hears_of_the_end(
    start: Callable[..., Any], module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears that all are ready, and at a signal that they drain and need time for it."""
    path = module / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        process = start("serve", "served:Echo", "pb://127.0.0.1:0", "--processes", "2")
        address = address_of(process)
        assert heard.recv(4096).split(b"\n") == [b"READY=1", b"STATUS=serving in 2 processes"]
        async with broker.connect(address) as connection:
            waiting = connection.root.callRemote("wait")
            await connection.root.callRemote("pid")
            process.terminate()
            assert await waiting == "waited"
        assert heard.recv(4096).split(b"\n") == [b"STOPPING=1", b"STATUS=draining"]
        assert heard.recv(4096) == b"EXTEND_TIMEOUT_USEC=20000000"
        await asyncio.to_thread(process.communicate, timeout=20)
        assert process.returncode == 0


def test_time_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the processes drain, the service manager hears again that they need time."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        parent = Processes(2, broker.serve(broker.Root()), lambda addresses, index: 0)
        parent._tell_of_the_end()
        with pytest.raises(BlockingIOError):
            heard.recv(4096)
        parent._signals = 1
        for _ in range(3):
            parent._tell_of_the_end()
        assert heard.recv(4096).startswith(b"STOPPING=1")
        assert heard.recv(4096).startswith(b"EXTEND_TIMEOUT_USEC=")
        with pytest.raises(BlockingIOError):
            heard.recv(4096)
        monkeypatch.setattr(processes_module, "STOPPING_EVERY", 0.0)
        parent._tell_of_the_end()
        assert heard.recv(4096).startswith(b"EXTEND_TIMEOUT_USEC=")
