"""``pb top`` in a terminal of tmux, whose screen is compared with what is there: `make system`."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.inspection.contract import Inspection

PB = [sys.executable, "-m", "broker"]


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """Make a terminal, which ends with the test."""
    made = Screen(tmp_path)
    yield made
    made.tmux("kill-server")


class Screen:
    """A terminal of tmux with a server of its own."""

    def __init__(self, folder: Path):
        self._folder = folder

    def tmux(self, *arguments: str) -> str:
        """Run a command of tmux."""
        command = ["tmux", "-L", f"pb-{os.getpid()}", "-f", "/dev/null", *arguments]
        return subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=False
        ).stdout

    def begin(self, *command: str, size: tuple[int, int] = (150, 40)) -> None:
        """Run a command in it."""
        columns, rows = map(str, size)
        size_of = ("-x", columns, "-y", rows)
        # The size of the terminal counts, not that of the tests.
        given = f"env -u COLUMNS -u LINES {shlex.join(command)}"
        self.tmux("new-session", "-d", *size_of, given)

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them."""
        self.tmux("send-keys", *keys)

    @property
    def lines(self) -> list[str]:
        """What is shown."""
        return self.tmux("capture-pane", "-p").splitlines()

    def until(self, wanted: Any) -> list[str]:
        """Wait until ``wanted(lines)`` is true; return the lines."""
        end = time.monotonic() + 25
        lines = self.lines
        while not wanted(lines):
            if time.monotonic() > end:
                raise AssertionError("\n".join(lines))
            time.sleep(0.05)
            lines = self.lines
        return lines


def rows_of(lines: list[str]) -> list[list[str]]:
    """Return the words of the rows of the table of ``pb top``, below its titles."""
    begin = next((index for index, line in enumerate(lines) if is_title(line)), len(lines))
    words = (line.split() for line in lines[begin + 1 :])
    return [each for each in words if each and re.fullmatch(r"[\d,]+", each[0])]


def is_title(line: str) -> bool:
    """Whether a line has the titles of the table."""
    return {"#", "address", "dialect"} <= set(line.split())


async def test_top(tmp_path: Path, screen: Screen) -> None:
    """The table has each connection; keys sort it, open a connection, and end it."""
    admin = f"pb+unix://{tmp_path}/admin"
    serving = broker.serve(House(), "pb://127.0.0.1:0", admin=admin)
    async with serving as server, broker.connect(admin) as operator:
        clients = [await broker.connect(server.addresses[0]) for _ in range(3)]
        things = await clients[1].root.callRemote("things", 5)
        await asyncio.to_thread(screen.begin, *PB, "top", admin, "--every", "0.2")

        async def until(wanted: Any) -> list[str]:
            return await asyncio.to_thread(screen.until, wanted)

        def numbers(lines: list[str]) -> list[str]:
            return [row[0] for row in rows_of(lines)]

        lines = await until(lambda lines: numbers(lines) == ["1", "2", "3"])
        assert lines[0].split()[:2] == [server.addresses[0], "serving"]
        assert lines[1].startswith(" 3 open of 3   0 slow   0 held   0 calls running")
        (title,) = filter(is_title, lines)
        assert title.split()[:4] == ["#", "▾", "address", "user"]
        rows = await operator.root.of(Inspection).connections()
        assert [row[:5] for row in rows_of(lines)] == [
            [str(each.number), each.address, "-", "msgpack/1", "flowing"] for each in rows
        ]
        await asyncio.to_thread(screen.press, "r")
        await until(lambda lines: numbers(lines) == ["3", "2", "1"])
        # The column of references: the second connection has most.
        await asyncio.to_thread(screen.press, *["s"] * 10)
        await until(lambda lines: numbers(lines)[:1] == ["2"])
        await asyncio.to_thread(screen.press, "Home", "Enter")
        await until(lambda lines: any("exported_types" in line for line in lines))
        await asyncio.to_thread(screen.press, "Escape")
        await until(lambda lines: not any("exported_types" in line for line in lines))
        await asyncio.to_thread(screen.press, "k")
        await until(lambda lines: any("End connection " in line for line in lines))
        await asyncio.to_thread(screen.press, "y")
        await until(lambda lines: any("2 open of 3" in line for line in lines))
        await asyncio.to_thread(screen.press, "q")
        await until(lambda lines: not lines)
        del things
        for client in clients:
            await client.close()


async def test_top_with_many_connections(tmp_path: Path, screen: Screen) -> None:
    """1,000 connections are counted; the table has those with most calls first."""
    admin = f"pb+unix://{tmp_path}/admin"
    policy = broker.STRICT.but(max_waiting=2000, max_waiting_each=2000)
    async with broker.serve(House(), "pb://127.0.0.1:0", admin=admin, policy=policy) as server:
        clients = [await broker.connect(server.addresses[0]) for _ in range(1000)]
        await asyncio.to_thread(screen.begin, *PB, "top", admin, "--every", "0.5", size=(150, 50))

        async def load() -> None:
            while True:
                await clients[700].root.callRemote("echo", 1)
                await asyncio.sleep(0.001)

        loading = asyncio.create_task(load())

        async def until(wanted: Any) -> list[str]:
            return await asyncio.to_thread(screen.until, wanted)

        lines = await until(lambda lines: any("1,000 open of 1,000" in line for line in lines))
        assert len(rows_of(lines)) > 20
        await asyncio.to_thread(screen.press, *["s"] * 6)
        await until(lambda lines: [row[0] for row in rows_of(lines)][:1] == ["701"])
        loading.cancel()
        await asyncio.to_thread(screen.press, "q")
        await until(lambda lines: not lines)
        await asyncio.gather(*(client.close() for client in clients))


class House(broker.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_things(self, count: int) -> list[Any]:
        """Return new objects."""
        return [broker.Referenceable() for _ in range(count)]
