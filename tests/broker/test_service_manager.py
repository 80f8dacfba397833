"""The protocol of sd_notify: what a service manager hears of a server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.service_manager import ServiceManager


class Told:
    """A service manager: the socket that hears the messages."""

    def __init__(self, path: str):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + path[1:] if path[0] == "@" else path)
        self.sock.settimeout(20)

    def hear(self) -> list[str]:
        """Return the lines of the next message."""
        return self.sock.recv(4096).decode().split("\n")

    def hear_until(self, line: str) -> None:
        """Wait for a line."""
        while line not in self.hear():
            pass


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Listen as a service manager does."""
    manager = Told(str(tmp_path / "notify"))
    with manager.sock:
        yield manager


async def test_ready_and_watchdog(told: Told) -> None:
    """The manager hears READY with the status, then WATCHDOG from a timer of the loop."""
    manager = ServiceManager({"NOTIFY_SOCKET": told.path, "WATCHDOG_USEC": "20000"})
    assert manager.watchdog == 0.02
    manager.begin(lambda: "serving\x1b, 0 connections")
    assert told.hear() == ["READY=1", "STATUS=serving\\x1b, 0 connections"]
    assert told.hear() == ["WATCHDOG=1"]
    assert await asyncio.to_thread(told.hear) == ["WATCHDOG=1"]
    manager.end()
    told.sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            told.hear()


async def test_a_blocked_loop_feeds_no_watchdog(told: Told) -> None:
    """While the loop is blocked, no WATCHDOG is sent."""
    manager = ServiceManager({"NOTIFY_SOCKET": told.path, "WATCHDOG_USEC": "2000"})
    manager.begin(lambda: "")
    told.hear_until("WATCHDOG=1")
    told.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        told.hear()
    manager.end()


def test_reloading(told: Told) -> None:
    """RELOADING has the time, so that READY after it is known to be later."""
    manager = ServiceManager({"NOTIFY_SOCKET": told.path})
    before = time.monotonic_ns() // 1000
    read: list[int] = []
    manager.reload(lambda: read.append(1))
    reloading, stamp = told.hear()
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert (told.hear(), read) == (["READY=1"], [1])
    with pytest.raises(ZeroDivisionError):
        manager.reload(lambda: 1 / 0)
    told.hear()
    assert told.hear() == ["READY=1"]


async def test_stopping(told: Told) -> None:
    """STOPPING asks for the time that draining needs."""
    manager = ServiceManager({"NOTIFY_SOCKET": told.path})
    manager.stopping()
    manager.stopping()
    manager.end()
    assert told.hear() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=20000000"]
    told.sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        told.hear()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"NOTIFY_SOCKET": "@nowhere-at-all"},
    ],
)
async def test_without_a_manager(environment: dict[str, str]) -> None:
    """Without a manager, or with one that is gone, nothing happens."""
    manager = ServiceManager(environment)
    manager.begin(lambda: "serving")
    manager.stopping()
    read: list[int] = []
    manager.reload(lambda: read.append(1))
    manager.end()
    assert read == [1]


def test_the_watchdog_of_another_process(told: Told) -> None:
    """A watchdog for another process is not this one's."""
    variables = {"NOTIFY_SOCKET": told.path, "WATCHDOG_USEC": "1000000"}
    assert ServiceManager({**variables, "WATCHDOG_PID": "1"}).watchdog == 0
    assert ServiceManager({**variables, "WATCHDOG_PID": str(os.getpid())}).watchdog == 1
    assert ServiceManager({**variables, "WATCHDOG_USEC": "x"}).watchdog == 0


PROGRAM = """
import asyncio, broker

async def main():
    server = await broker.serve(broker.Root(), "pb://127.0.0.1:0")
    await server.serve_forever(reload=lambda: print("reloaded", flush=True))

asyncio.run(main())
"""


def test_a_server() -> None:
    """A server tells its manager when it is ready, reloads, and stops; the name may be abstract."""
    manager = Told(f"@perspective-broker-test-{os.getpid()}")
    with manager.sock:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "NOTIFY_SOCKET": manager.path},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert manager.hear() == ["READY=1", "STATUS=serving, 0 connections"]
            process.send_signal(signal.SIGHUP)
            assert manager.hear()[0] == "RELOADING=1"
            assert manager.hear() == ["READY=1"]
            assert process.stdout.readline() == "reloaded\n"
            process.terminate()
            assert manager.hear()[0] == "STOPPING=1"
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            process.communicate()
