"""The IRC client against a server that is scripted: what other servers than ours may send."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cred import LoginFailed
from examples.chat.client import irc_network
from examples.chat.client.irc_network import IRCNetwork
from examples.chat.client.model import Event

WELCOME = ":irc.example 001 alice :Welcome"
LOGIN = {
    "CAP REQ :sasl": ":irc.example CAP * ACK :sasl",
    "AUTHENTICATE :PLAIN": "AUTHENTICATE +",
    f"AUTHENTICATE :{base64.b64encode(bytes(1) + b'alice' + bytes(1) + b'secret').decode()}": (
        ":irc.example 903 alice :done"
    ),
    "CAP :END": WELCOME,
}
"""What the server answers to a line."""


class Scripted:
    """A server that answers lines, and is told what else to send."""

    def __init__(self, answers: dict[str, str]):
        self.answers = answers
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.writer: asyncio.StreamWriter
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        self.writer = writer
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.lines.put_nowait(line)
            if line in self.answers:
                self.send(self.answers[line])
        writer.close()

    def send(self, *lines: str) -> None:
        """Send lines."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def rest(self) -> list[str]:
        """Return the lines of the client, up to its QUIT."""
        lines = [""]
        while lines[-1] != "QUIT":
            lines.append(await self.lines.get())
        return lines


@asynccontextmanager
async def scripted(answers: dict[str, str]) -> AsyncIterator[tuple[Scripted, IRCNetwork]]:
    """Start a server, and return it and a client that is not connected."""
    script = Scripted(answers)
    async with await asyncio.start_server(script.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        network = IRCNetwork("127.0.0.1", port, "alice", "secret")
        try:
            yield script, network
        finally:
            await network.close()
            script.writer.transport.abort()


async def told(*lines: str) -> list[Event]:
    """Return what the client tells of lines of a server, up to its end."""
    async with scripted(LOGIN) as (server, network):
        await network.connect()
        server.send(*lines)
        server.writer.write_eof()
        return [event async for event in network.events()]


LOST = Event("offline", text="the connection was lost")


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([":bob!b@h PRIVMSG #a :\x01ACTION waves\x01"], [Event("said", "#a", "bob", "/me waves")]),
        ([":bob!b@h PRIVMSG alice :psst"], [Event("said", "bob", "bob", "psst")]),
        ([":irc.example NOTICE alice :soon"], [Event("noticed", "", "irc.example", "soon")]),
        ([":op!o@h KICK #a bob :out"], [Event("left", "#a", "bob", "out")]),
        ([":bob!b@h QUIT :bye"], [Event("quit", "", "bob", "bye")]),
        ([":bob!b@h NICK robert"], [Event("renamed", "", "bob", "robert")]),
        (
            [
                ":s 332 alice #a :tea",
                ":s 353 alice = #a :@op +bob",
                ":s 353 alice = #a :alice",
                ":s 366 alice #a :End",
            ],
            [Event("room", "#a", "", "tea", ("op", "bob", "alice"))],
        ),
        (
            [
                ":s 375 alice :- s -",
                ":s 372 alice :- one",
                ":s 372 alice :- two",
                ":s 376 alice :E",
            ],
            [Event("banner", text="one\ntwo")],
        ),
        ([":s 404 alice #a :No"], [Event("error", "#a", text="#a No")]),
        (
            ["", ":", "JOIN", ":bob!b@h TOPIC #a", ":s 366", ":s 353 alice", "PRIVMSG #a", "\x00"],
            [],
        ),
    ],
)
async def test_lines(lines: list[str], events: list[Event]) -> None:
    """Each kind of line is told as an event; a line that lacks fields is not."""
    assert await told(*lines) == [*events, LOST]


async def test_the_end() -> None:
    """Its reason is told. Who is killed does not come back by itself."""
    assert await told("ERROR :Closing link: restart") == [
        Event("offline", text="Closing link: restart")
    ]
    assert await told(":op KILL alice :out", ":s NOTICE alice :x") == [Event("stopped", text="out")]


async def test_pings() -> None:
    """A ping is answered with its token."""
    async with scripted(LOGIN) as (server, network):
        await network.connect()
        server.send("PING :a b")
        server.writer.write_eof()
        assert [event async for event in network.events()] == [LOST]
        assert "PONG :a b" in await server.rest()


async def test_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not even answer a ping is given up."""
    async with scripted(LOGIN) as (server, network):
        await network.connect()
        monkeypatch.setattr(irc_network, "SILENCE", 0.05)
        assert [event.kind async for event in network.events()] == ["offline"]
        assert "PING :still there?" in await server.rest()


@pytest.mark.parametrize(
    "answer",
    [":s CAP * NAK :sasl", ":s 904 alice :wrong", ":s 433 * alice :in use", ":s 464 alice :no"],
)
async def test_refused_logins(answer: str) -> None:
    """A login that the server refuses fails, and the connection is closed."""
    async with scripted({"CAP REQ :sasl": answer}) as (_, network):
        with pytest.raises(LoginFailed):
            await network.connect()


@pytest.mark.parametrize("answer", ["ERROR :full", "ERROR", ":s 001"])
async def test_odd_answers(answer: str) -> None:
    """An end before the login is a lost connection."""
    async with scripted({"CAP REQ :sasl": answer}) as (server, network):
        if answer == ":s 001":
            await network.connect()
            assert server.lines.qsize() >= 1
        else:
            with pytest.raises(ConnectionResetError):
                await network.connect()
