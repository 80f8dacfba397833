"""Peers that are cut off: `make system` runs this as root, for it makes network namespaces.

A server and a client are in namespaces of their own, joined by a switch in a third. The switch is
turned off: no packet and no link that is down says what has happened, and each end must notice it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

import broker
from broker.core.policy import Policy

SERVER, CLIENT = "10.213.7.1", "10.213.7.2"
SILENCE, PATIENCE = 2, 3

# The kernel rounds its timers, and sends the first probe within a second of the idle time.
SLACK = 2.5


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


def policy_of(dialect: str) -> Policy:
    """The policy of both ends."""
    return Policy(
        dialects=(dialect,),
        ping_after=SILENCE,
        ping_timeout=PATIENCE,
        insecure_plaintext=True,
        # Not what is tried here: it would notice unsent bytes, too.
        stall_timeout=600.0,
    )


async def serve(dialect: str, is_busy: bool) -> None:
    """Serve one connection; print when it is there, and how long after the cut it has ended."""
    async with broker.serve(Echo(), f"pb://{SERVER}:8787", policy=policy_of(dialect)) as server:
        print("ready", flush=True)
        while not server.connections:
            await asyncio.sleep(0.01)
        await _wait_for_the_end(server.connections[0], None)


async def connect(dialect: str, is_busy: bool) -> None:
    """Connect, and print how long after the cut the connection has ended."""
    connection = await broker.connect(f"pb://{SERVER}:8787", policy=policy_of(dialect))
    await connection.root.callRemote("echo", "hello")
    await _wait_for_the_end(connection, connection.root if is_busy else None)


async def _wait_for_the_end(connection: Any, root: Any) -> None:
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    cut = time.monotonic()
    call = root.callRemote("echo", "nobody hears") if root is not None else None
    await connection.wait_closed()
    print(time.monotonic() - cut, flush=True)
    if call is not None:
        try:
            await call
        except broker.PBConnectionLost as error:
            assert error.may_have_run


def ip(*arguments: str) -> None:
    """Run the command ``ip``."""
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture
def namespaces() -> Iterator[list[str]]:
    """The namespaces of server, client and switch; the switch is a bridge named ``switch``."""
    names = [f"pb{os.getpid()}{role}" for role in ("server", "client", "switch")]
    *ends, middle = names
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", middle, "link", "add", "switch", "type", "bridge")
        ip("-n", middle, "link", "set", "switch", "up")
        for name, address in zip(ends, (SERVER, CLIENT), strict=True):
            port = name.removeprefix("pb")
            ip("-n", name, "link", "add", "eth0", "type", "veth",
               "peer", "name", port, "netns", middle)  # fmt: skip
            ip("-n", middle, "link", "set", port, "master", "switch", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def start(namespace: str, *arguments: str) -> subprocess.Popen[str]:
    """Run this file in a namespace."""
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def read(process: subprocess.Popen[str]) -> str:
    """Read a line of what a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("dialect", ["pb", "none", "msgpack/1"])
def test_cut_off(namespaces: list[str], dialect: str, is_busy: bool) -> None:
    """Both ends notice within ``ping_after`` and ``ping_timeout`` that the other is cut off.

    When idle, and when a call was made that is never acknowledged.
    """
    busy = "busy" if is_busy else ""
    server = start(namespaces[0], "serve", dialect, busy)
    client = None
    try:
        assert read(server) == "ready"
        client = start(namespaces[1], "connect", dialect, busy)
        assert read(client) == read(server) == "connected"
        ip("-n", namespaces[2], "link", "set", "switch", "down")
        for process in (server, client):
            assert process.stdin is not None
            print("cut", file=process.stdin, flush=True)
        for process in (server, client):
            assert 0 < float(read(process)) < SILENCE + PATIENCE + SLACK
            assert process.wait(10) == 0
    finally:
        for process in (server, client):
            if process is not None:
                process.kill()
                process.communicate()


if __name__ == "__main__":
    asyncio.run({"serve": serve, "connect": connect}[sys.argv[1]](sys.argv[2], bool(sys.argv[3])))
