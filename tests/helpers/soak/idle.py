"""Idle connections over TLS: how much memory each takes, in the processes of both ends."""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from support.certificates import Authority
from support.programs import command, environment

import broker
from soak.gauge import resident

__all__ = ["COUNT", "MEGABYTE", "WARM", "measure_idle", "serve_idle"]

COUNT = 2000
MEGABYTE = 1_000_000
# How many connections are made before the first look, one after the other.
WARM = 16
# Handshakes at a time: each costs its process about a millisecond, and there is a limit on those.
_AT_A_TIME = 16
_SETTLE = 2.0


class Root(broker.Root):
    """Gives back what it gets."""

    def remote_echo(self, data: bytes) -> bytes:
        """Give it back."""
        return data


async def serve_idle(certificate: str, key: str) -> None:
    """Serve over TLS; tell the address, and the resident memory after each line that comes in."""
    tls = broker.TLS.server(certificate, key)
    async with broker.serve(Root(), "pbs://127.0.0.1:0", tls=tls) as server:
        print(server.addresses[0], flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            gc.collect()
            print(len(server.connections), resident(), flush=True)


async def measure_idle(
    count: int = COUNT, size: int = 5, at_a_time: int = _AT_A_TIME
) -> dict[str, Any]:
    """Open connections, and return how much each takes at either end, in KiB.

    Args:
        count: how many.
        size: how many bytes each sends and receives before it is idle.
        at_a_time: how many of them connect and call at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        pair = authority.issue()
        pipe = asyncio.subprocess.PIPE
        peer = await asyncio.create_subprocess_exec(
            *command("soak.run", "serve-idle", str(pair.certificate_path), str(pair.key_path)),
            stdin=pipe, stdout=pipe, env=environment(),
        )  # fmt: skip
        try:
            assert peer.stdin is not None and peer.stdout is not None
            address = (await peer.stdout.readline()).decode("ascii").strip()
            tls = broker.TLS.client(ca=authority.ca_path)
            return await _measure(peer, address, tls, bytes(size), count, at_a_time)
        finally:
            if peer.stdin is not None:
                peer.stdin.close()
            await peer.wait()


async def _measure(
    peer: Any, address: str, tls: Any, data: bytes, count: int, at_a_time: int
) -> dict[str, Any]:
    async def ask() -> tuple[int, int]:
        peer.stdin.write(b"\n")
        connections, memory = (await peer.stdout.readline()).split()
        return int(connections), int(memory)

    gate = asyncio.Semaphore(at_a_time)

    async with AsyncExitStack() as stack:

        async def come(data: bytes) -> None:
            async with gate:
                connection = await stack.enter_async_context(broker.connect(address, tls=tls))
                assert await connection.root.callRemote("echo", data) == data

        # The first make what all of them share. They leave no free space of large messages.
        for _ in range(WARM):
            await come(b"hello")
        here, (_, there) = resident(), await ask()
        await asyncio.gather(*(come(data) for _ in range(count)))
        await asyncio.sleep(_SETTLE)
        gc.collect()
        (connections, after), here_after = await ask(), resident()
    return {
        "connections": connections,
        "server_kib": round((after - there) / count / 1024, 1),
        "client_kib": round((here_after - here) / count / 1024, 1),
    }
