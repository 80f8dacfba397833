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


async def told(process: Process, *lines: str) -> list[str]:
    """Type lines, and read up to the end of the program."""
    text = "".join(f"{line}\n" for line in lines)
    # The input stays open: the other end hangs up.
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(text.encode())
    answer = (await process.stdout.read()).decode()
    process.stdin.close()
    assert await process.wait() == 0
    return answer.splitlines()


async def test_a_visit() -> None:
    """Banner, name and password; lines go both ways; /quit leaves; the next one sees a new banner."""
    async with SmallChat() as chat:
        bob, heard = chat.fake("bob")
        bob.join("#lobby")
        chat.town.set_banner("admin", "an old banner")
        process = await netcat(chat.lines)
        lines = await told(process, "alice", "alice alice", "hello from netcat", "/quit")
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
        lines = await told(await netcat(chat.lines), "alice", "wrong")
        assert lines == ["a new banner", "name:", "password:", "wrong user name or password"]
        process = await netcat(chat.lines)
        assert process.stdin is not None
        process.stdin.write(b"alice\nalice alice\n")
        while chat.town.person("alice") is None or not chat.town.find("#lobby").names[1:]:
            await asyncio.sleep(0.01)
        bob.say("#lobby", "hello netcat")
        assert "<bob> hello netcat" in await told(process, "/quit")
