"""Attacks on the front ends of lines of the chat: floods, forged lines, and readers that stall.

`make attacks` makes them on a process of its own, and measures.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from attacks.attacker import taming
from support.chat import Raw, SmallChat

from examples.chat.pace import USUAL_RATE

FORGED = "FORGED"
ENDS = ["\r", "\0", "\x85", "\u2028", "\x0b", "\x1b[2K\r"]
FLOODS = {
    "lines": b"PING x\r\n",
    "SASL": b"AUTHENTICATE PLAIN\r\nAUTHENTICATE " + b"A" * 400 + b"\r\n",
    "no end": b"x" * 65_536,
    "tags without end": b"@" + b"x" * 65_536,
    "ends of lines": b"\r\n" * 1_000,
    "zeros": bytes(65_536),
}


async def poured(client: Raw, data: bytes) -> int:
    """Send until the server closes; return how many bytes it has let come."""
    sent = 0
    try:
        while not client.reader.at_eof() and sent < 100_000_000:
            client.writer.write(data)
            await client.writer.drain()
            sent += len(data)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    return sent


@pytest.mark.row("C10")
@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("front_end", ["irc", "lines"])
async def test_a_flood(front_end: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It ends the connection; another guest is answered all the time, and nothing is logged."""
    with taming(caplog) as logged:
        async with SmallChat(rate=USUAL_RATE) as chat:
            bystander = await chat.pb_user("alice")
            client = await chat.raw(getattr(chat, front_end))
            flood = asyncio.create_task(
                poured(client, FLOODS[name] * max(1, 65_536 // len(FLOODS[name])))
            )
            while not flood.done():
                assert await bystander.avatar.callRemote("people") == ["alice"]
            # What is on its way is in the buffers of the two kernels.
            assert await flood < 20_000_000
            await bystander.close()
    assert logged == []


@pytest.mark.row("C10")
@pytest.mark.parametrize("front_end", ["irc", "lines"])
async def test_a_flood_of_a_guest(front_end: str) -> None:
    """A guest who says too much is disconnected; what the others hear is the rate."""
    async with SmallChat(rate=USUAL_RATE) as chat:
        _, heard = chat.fake("alice")
        chat.town.person("alice").join("#lobby")
        if front_end == "irc":
            client, line = await chat.irc_user("bob", "#lobby"), b"PRIVMSG #lobby :x\r\n"
        else:
            client, line = await chat.lines_user("bob"), b"x\r\n"
        await poured(client, line * 10_000)
        while chat.town.person("bob") is not None:
            await asyncio.sleep(0.01)
        assert sum(event[0] == "said" for event in heard) <= USUAL_RATE.lines
        assert heard[-1] == ("left", "#lobby", "bob", "too many lines; please write more slowly")


@pytest.mark.row("C10")
@pytest.mark.parametrize("end", ENDS)
async def test_forged_lines(end: str) -> None:
    """No end of a line, and no control character, comes through in any field of any command."""
    evil = f"x{end}:{FORGED} QUIT :y"
    async with SmallChat() as chat:
        irc = await chat.irc_user("alice", "#lobby")
        netcat = await chat.lines_user("bob")
        mallory = await chat.irc_user("carol", "#lobby")
        sly = await chat.lines_user("dave")
        mallory.send(
            *(f"{command} #lobby :{evil}" for command in ("PRIVMSG", "NOTICE", "TOPIC")),
            f"PRIVMSG alice,bob :{evil}", f"PRIVMSG #lobby :\x01ACTION {evil}\x01",
            f"JOIN #{evil}", f"JOIN :#{evil}", f"WHOIS {evil}", f"WHO {evil}", f"LIST {evil}",
            f"NAMES {evil}", f"MODE {evil}", f"NICK {evil}", f"CAP LS {evil}", f"PING :{evil}",
            evil, f"PART #lobby :{evil}", "JOIN #lobby", f"QUIT :{evil}",
        )  # fmt: skip
        sly.send(evil, f"/topic {evil}", f"/msg alice {evil}", f"/{evil}", f"/msg {evil}", "/quit")
        lines = [
            *await irc.until(r":dave!\S+ PART"),
            *await netcat.until(r"\* dave has gone"),
            *await mallory.rest(),
            *await sly.rest(),
        ]
        if not any("carol!carol@chat.example PART #lobby :x" in line for line in lines):
            lines += await irc.until(r":carol!\S+ PART #lobby :x")
    assert any(FORGED in line for line in lines)
    for line in lines:
        assert not line.startswith((FORGED, f":{FORGED}")), line
        assert not re.search("[\0\x02-\x1f\x7f-\x9f\u2028\u2029]", line), line
