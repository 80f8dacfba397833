"""The chat by netcat: `make system` runs this."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE, Process

from support.chat import SmallChat


async def netcat(port: int) -> Process:
    """Start netcat."""
    program = shutil.which("nc")
    assert program is not None
    return await asyncio.create_subprocess_exec(
        program, "127.0.0.1", str(port), stdin=PIPE, stdout=PIPE
    )


async def told(process: Process, last: str, *lines: str) -> list[str]:
    """Type lines, read up to a last line, and end the input."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(f"{line}\n" for line in lines).encode())
    answer: list[str] = []
    while answer[-1:] != [last]:
        line = await process.stdout.readline()
        assert line, answer
        answer.append(line.decode().rstrip())
    # Netcat ends when both sides have ended.
    process.stdin.close()
    assert await process.stdout.read() == b""
    assert await process.wait() == 0
    return answer


async def test_a_visit() -> None:
    """Lines go both ways, /quit leaves, and who comes next sees a new banner."""
    async with SmallChat() as chat:
        bob, heard = chat.fake("bob")
        bob.join("#lobby")
        chat.town.set_banner("admin", "an old banner")
        process = await netcat(chat.lines)
        lines = await told(process, "bye", "alice", "alice alice", "hello from netcat", "/quit")
        assert lines == [
            "an old banner",
            "name:",
            "password:",
            "* alice has come",
            "you are in #lobby, people: 2; /help helps",
            "bye",
        ]
        assert ("said", "#lobby", "alice", "hello from netcat") in heard
        chat.town.set_banner("admin", "a new banner")
        refused = "wrong user name or password"
        lines = await told(await netcat(chat.lines), refused, "alice", "wrong")
        assert lines == ["a new banner", "name:", "password:", refused]
        process = await netcat(chat.lines)
        assert process.stdin is not None
        process.stdin.write(b"alice\nalice alice\n")
        while chat.town.person("alice") is None or not chat.town.find("#lobby").names[1:]:
            await asyncio.sleep(0.01)
        bob.say("#lobby", "hello netcat")
        assert "<bob> hello netcat" in await told(process, "bye", "/quit")
