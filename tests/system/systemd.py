"""``pb serve`` and ``pb unit`` with the programs of systemd: `make system` runs this."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import broker

PB = [sys.executable, "-m", "broker"]
MODULE = """
import asyncio, os
import broker

class Echo(broker.Root):
    def remote_pid(self):
        return os.getpid()

    async def remote_wait(self):
        await asyncio.sleep(0.3)
        return "waited"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with the module that is served."""
    (tmp_path / "served.py").write_text(MODULE)
    return tmp_path


@contextmanager
def activated(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``pb serve`` behind systemd-socket-activate; yields the process and the port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    command = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=office", *PB]
    process = subprocess.Popen(
        [*command, "serve", "served:Echo", "pb+systemd:office", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def connected(port: int) -> broker.Connection:
    """Connect, as soon as systemd-socket-activate listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await broker.connect(f"pb://127.0.0.1:{port}")
            except broker.Disconnected:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("processes", [1, 2])
async def test_socket_activation(folder: Path, processes: int) -> None:
    """The first connection starts the server, which serves it; a signal lets its call end."""
    with activated(folder, "--processes", str(processes)) as (process, port):
        connection = await connected(port)
        pid = await connection.root.callRemote("pid")
        # It has become the server, or the parent of its processes.
        assert (pid == process.pid) == (processes == 1)
        # One process may serve before the other one.
        assert process.stdout is not None
        output = await asyncio.to_thread(process.stdout.readline)
        shown = f"pb://127.0.0.1:{port}" if processes == 1 else "pb+systemd:office"
        assert output == f"serving at {shown}\n"
        waiting = connection.root.callRemote("wait")
        await connection.root.callRemote("pid")
        process.send_signal(signal.SIGTERM)
        assert await waiting == "waited"
        await connection.wait_closed()
        _, errors = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors


def test_a_name_that_was_not_passed(folder: Path) -> None:
    """A server that systemd gave no socket of that name ends with an error that says so."""
    result = subprocess.run(
        [*PB, "serve", "served:Echo", "pb+systemd:office"],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert result.returncode in (1, 2)
    assert "no socket was passed under the name 'office'" in result.stderr


UNITS = [
    ("office.service", ["--config", "pb.toml", "--name", "office"]),
    ("office.service", ["--config", "pb.toml", "--name", "office", "--user", "root"]),
    ("office.socket", ["--socket", "--name", "office", "--listen", "pbs://[::]:8787"]),
    ("office.socket", ["--socket", "--name", "office", "--listen", "pb+unix:///run/office/s"]),
]


@pytest.mark.parametrize(("name", "arguments"), UNITS)
@pytest.mark.parametrize("address", ["pb+systemd:office", "pb://127.0.0.1:80"])
def test_units(folder: Path, name: str, arguments: list[str], address: str) -> None:
    """systemd-analyze finds no mistake in what ``pb unit`` prints."""
    (folder / "pb.toml").write_text(f"[serve]\ntarget = 'served:Echo'\naddresses = ['{address}']\n")
    units = folder / "units"
    units.mkdir()

    def printed(*arguments: str) -> str:
        command = [*PB, "unit", *arguments]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout

    # Each unit names the other one.
    for unit, given in (UNITS[0], UNITS[2], (name, arguments)):
        (units / unit).write_text(printed(*given))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(units / name)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = [line for line in result.stderr.splitlines() if "office" in line]
    # systemd 253 is the first with this type.
    told = [line for line in told if "Failed to parse service type" not in line]
    assert (result.returncode, told) == (0, []), result.stderr
