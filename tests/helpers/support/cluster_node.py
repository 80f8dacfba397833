"""A node of a cluster as a process of its own: it does what its standard input says.

``python -m support.cluster_node URL FOLDER LEASE``; the URL is of NATS or PostgreSQL. Each line is
a command with its arguments, and each answer is one line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import broker
from broker.topics.engines.nats import NatsEngine
from broker.topics.engines.postgres import PostgresEngine

__all__ = ["NodeProcess"]


class Counter(broker.Referenceable):
    """What is exported: it counts, and tells its process."""

    def __init__(self, name: str):
        self._count = 0

    def remote_count(self) -> tuple[int, int]:
        """Return how often it was called, and the id of the process."""
        self._count += 1
        return self._count, os.getpid()


class NodeProcess:
    """The process, as a test uses it."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process

    @classmethod
    async def start(cls, url: str, folder: Path, lease: float) -> NodeProcess:
        """Start it, and wait until it is a node."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.cluster_node",
            url,
            str(folder),
            str(lease),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        made = cls(process)
        assert await made.answer() == "ready"
        return made

    async def ask(self, *words: str) -> str:
        """Give a command, and return its answer."""
        self.send(*words)
        return await self.answer()

    def send(self, *words: str) -> None:
        """Give a command."""
        assert self.process.stdin is not None
        self.process.stdin.write((" ".join(words) + "\n").encode())

    async def answer(self) -> str:
        """Return the next answer."""
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            return (await self.process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        """Kill it, without a chance to say anything."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def _do(cluster: broker.Cluster, words: list[str]) -> object:
    command, name = words
    if command == "export":
        return await cluster.export(name, Counter(name))
    if command == "number":
        return cluster.number(name)
    reference = await (
        cluster.reference(name) if command == "count" else cluster.activate(name, Counter)
    )
    return " ".join(map(str, await reference.callRemote("count")))


async def _main(url: str, folder: Path, lease: float) -> None:
    files: dict[str, Any] = {
        "certificate": folder / "nodes.pem",
        "key": folder / "nodes.key",
        "ca": folder / "nodes-ca.pem",
    }
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    engine = NatsEngine(url) if url.startswith("nats:") else PostgresEngine(url)
    async with broker.Cluster(engine, lease=lease, **files) as cluster:
        print("ready", flush=True)
        while line := await reader.readline():
            try:
                answer = await _do(cluster, line.decode().split())
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            print(answer, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
