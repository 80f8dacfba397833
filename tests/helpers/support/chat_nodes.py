"""Nodes of the chat for tests: towns of one process, or processes, with one NATS server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broker
from broker.topics.engines.nats import NatsEngine
from cred import Identity
from examples.chat.guests import Guest, Listener
from examples.chat.model import Town
from examples.chat.nodes import Nodes
from examples.chat.pace import Rate
from support.folders import ROOT
from support.programs import environment

__all__ = ["ChatProcess", "Node", "until"]

FRONT_ENDS = ("pb", "pb-plain", "irc", "ircs", "lines", "web")


async def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Node:
    """A town of this process, which is joined by others.

    Attributes:
        town: the town.
        engine: carries the events.
        nodes: the others.
    """

    def __init__(self, url: str, name: str, lease: float = 5.0):
        self.town = Town(rate=Rate(10_000, 1.0))
        self.engine = NatsEngine(url, name=name)
        self.nodes = Nodes(self.town, broker.Topics(self.engine, lease=lease))

    async def start(self) -> Node:
        """Join the others."""
        await self.nodes.listen()
        await self.nodes.start()
        return self

    def enter(self, name: str, *rooms: str) -> tuple[Guest, list[tuple[str, ...]]]:
        """Let a guest in; return it, and what it hears."""
        heard: list[tuple[str, ...]] = []
        listener = Listener(lambda *event: heard.append(event), "fake")
        guest = self.town.enter(Identity(name), listener)
        for room in rooms:
            guest.join(room)
        return guest, heard

    def names(self, room: str) -> list[str]:
        """Return who is in a room, in the order of the names."""
        found = self.town.rooms.get(room)
        return [] if found is None else sorted(found.names)


class ChatProcess:
    """The chat as a process of its own.

    Attributes:
        process: the process.
        pb: its address for PB without TLS.
        lines: its port for netcat.
    """

    def __init__(self, process: asyncio.subprocess.Process, pb: str, lines: int):
        self.process = process
        self.pb = pb
        self.lines = lines

    @classmethod
    async def start(cls, folder: Path, nats: str, at_end: list[Any], **more: Any) -> ChatProcess:
        """Start one, and wait until it says how to reach it."""
        options = {"folder": folder, "nats": nats, **dict.fromkeys(FRONT_ENDS, 0), **more}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "examples.chat",
            *(f"--{name}={value}" for name, value in options.items()),
            stdout=asyncio.subprocess.PIPE,
            env=environment(PYTHONPATH=str(ROOT)),
        )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        at_end.append(end)
        assert process.stdout is not None
        text = ""
        while "netcat" not in text:
            line = (await process.stdout.readline()).decode()
            assert line, text
            text += line
        pb = text.partition("PB, this machine")[2].split()[0]
        return cls(process, pb, int(text.partition("nc 127.0.0.1 ")[2].split()[0]))

    async def kill(self) -> None:
        """Kill it, without a chance to say anything."""
        self.process.kill()
        await self.process.wait()
