"""Starts the programs that visit the chat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from support.programs import command, environment

__all__ = ["program"]


async def program(
    at_end: list[Callable[[], Awaitable[object]]], name: str, port: int, person: str, password: str
) -> tuple[asyncio.subprocess.Process, list[str]]:
    """Start a program of this package, and wait until it is in the room.

    Args:
        at_end: gets a function that ends it.
        name: of its module.
        port: of the chat.
        person: the user.
        password: of the user.

    Returns:
        The process, and what it has printed.
    """
    process = await asyncio.create_subprocess_exec(
        *command(f"chat_clients.{name}", str(port), person, password),
        stdout=asyncio.subprocess.PIPE,
        env=environment(PYTHONWARNINGS="ignore"),
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    at_end.append(end)
    assert process.stdout is not None
    lines: list[str] = []
    while (line := await process.stdout.readline()) != b"in\n":
        assert line, lines
        lines.append(line.decode().rstrip())
    return process, lines
