"""What a client that speaks in lines may cost: bytes, lines, and time."""

import asyncio
import socket

import pytest
from support.chat import Raw, SmallChat

import broker
from examples.chat.line_clients import connection
from examples.chat.line_clients.irc import IRC
from examples.chat.pace import Rate


@pytest.mark.parametrize("tail", [b"", b"\r\n"], ids=["no end", "an end"])
async def test_a_line_that_is_too_long(tail):
    """It ends the connection, whether its end has come or not."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob")
        client.writer.write(b"PRIVMSG #lobby :" + b"x" * 600 + tail)
        assert (await client.rest())[-1] == "ERROR :Closing link: that line is too long"
        assert chat.town.where() == []


async def test_tags_have_a_limit_of_their_own():
    """A line with tags may be as long as both limits together."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob")
        client.send("@a=" + "x" * 4000 + " PING :here")
        await client.expect(r":\S+ PONG \S+ :here$")
        client.send("@a=" + "x" * 5000 + " PING :here")
        assert await client.expect("ERROR ")


async def test_lines_wait_and_then_the_connection_ends():
    """Lines that come too fast wait; a client that sends many more is disconnected."""
    async with SmallChat(rate=Rate(20, 3600.0)) as chat:
        client = await chat.irc_user("bob")
        # The login has taken three of twenty.
        client.send(*[f"PING {number}" for number in range(30)])
        await client.expect(r":\S+ PONG \S+ :16$")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.reader.readline(), 0.05)
        client.send(*["PING again"] * connection.MOST_WAITING)
        assert (await client.rest())[-1].startswith("ERROR :Closing link: too many lines")
        assert chat.town.where() == []


async def test_no_login():
    """A client that does not log in in time is told so, and disconnected."""
    async with SmallChat() as chat:
        chat.logins.policy = broker.STRICT.but(login_timeout=0.05)
        client = await chat.raw(chat.lines)
        lines = await client.rest()
        assert lines[-1] == "login not completed in 0.05 s"


async def test_an_error_of_ours(monkeypatch, caplog):
    """It ends the connection of its client only, with a text that tells nothing, and is logged."""

    async def broken(connection, line):
        raise RuntimeError("a secret")

    monkeypatch.setattr(IRC, "take", broken)
    async with SmallChat() as chat:
        client = await chat.raw(chat.irc)
        client.send("PING x")
        assert await client.rest() == ["ERROR :Closing link: internal error"]
        assert "a secret" in caplog.text


async def test_ends_of_lines_that_others_send():
    """Nobody can put a line into what another front end writes."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob", "#tea")
        mallory = await chat.pb_user("carol")
        await mallory.avatar.callRemote("join", "#tea")
        for text in "x\r\n:admin PRIVMSG #tea :y", "x\n:admin QUIT", "x\0y":
            await mallory.avatar.callRemote("say", "#tea", text)
            await mallory.avatar.callRemote("topic", "#tea", text)
        await mallory.avatar.callRemote("part", "#tea", "bye\r\n:admin QUIT")
        lines = await client.until(r":carol!carol@\S+ PART")
        assert len(lines) == 7
        assert all(line.startswith(":carol!carol@") for line in lines)
        await mallory.close()


async def test_ends_of_lines_that_come_back():
    """What a client gets back of its own lines is one line too."""
    async with SmallChat() as chat:
        client = await chat.irc_user("bob")
        client.send("PING :a\r:admin QUIT\0b", "PING :end")
        assert await client.until(r":\S+ PONG \S+ :end") == [
            ":chat.example PONG chat.example :a :admin QUIT b"
        ]


async def _silent(port, *lines):
    """Connect, send lines, and read nothing from then on, not even into the kernel."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, "".join(f"{line}\r\n" for line in lines).encode())
    return sock


async def _stalled(chat, front_end):
    """Let bob come in and read nothing more; return his socket and his connection."""
    lines = {
        "irc": ["PASS :bob bob", "NICK bob", "USER x 0 * :x", "JOIN #lobby"],
        "lines": ["bob", "bob bob"],
    }
    sock = await _silent(getattr(chat, front_end), *lines[front_end])
    while chat.town.person("bob") is None or not chat.town.person("bob").rooms:
        await asyncio.sleep(0.01)
    return sock, chat.town.person("bob")._listener.hears.__self__


@pytest.mark.parametrize("front_end", ["irc", "lines"])
async def test_a_reader_that_stalls(front_end):
    """It gets no more events above 64 KiB; the others hear all, and none waits for it."""
    async with SmallChat() as chat:
        sock, stalled = await _stalled(chat, front_end)
        alice, _ = chat.fake("alice")
        alice.join("#lobby")
        listener = await chat.lines_user("carol")
        text, most = "x" * 400, 0
        for first in range(0, 10_000, 50):
            for number in range(first, first + 50):
                alice.say("#lobby", f"{number} {text}")
                most = max(most, stalled.transport.unsent)
            for number in range(first, first + 50):
                assert await listener.expect("<alice> ") == f"<alice> {number} {text}"
        assert 64 * 1024 < most < 64 * 1024 + connection.MOST_TOGETHER * 512
        assert chat.town.person("bob") is not None
        sock.close()


@pytest.mark.parametrize("front_end", ["irc", "lines"])
async def test_a_reader_that_reads_again(front_end):
    """It is told how much it has missed, and hears again; what it did itself is not missed."""
    async with SmallChat() as chat:
        sock, stalled = await _stalled(chat, front_end)
        alice, _ = chat.fake("alice")
        alice.join("#lobby")
        said = 0
        while not stalled._missed:
            alice.say("#lobby", f"{said} " + "x" * 400)
            said += 1
        alice.set_topic("#lobby", "tea")
        # As a command does that was begun before.
        chat.town.person("bob").set_topic("#lobby", "milk")
        client = Raw(*await asyncio.open_connection(sock=sock))
        lines = await client.until(r"(:\S+ NOTICE bob :|! )you have missed 2 lines$")
        heard = [line for line in lines if "xxx" in line]
        assert len(heard) == said - 1
        assert any("topic: milk" in line or "TOPIC #lobby :milk" in line for line in lines)
        if front_end == "irc":
            await client.expect(r":\S+ 332 bob #lobby :milk$")
            await client.expect(r":\S+ 353 bob = #lobby :bob alice$")
        alice.say("#lobby", "again")
        assert (await client.expect(".*again$")).endswith("again")
        await client.close()


async def test_answers_to_a_reader_that_stalls(monkeypatch):
    """It is cut off when more than the limit is unsent of the answers that it asked for."""
    monkeypatch.setattr(connection, "MOST_UNSENT", 100_000)
    async with SmallChat() as chat:
        for number in range(1000):
            chat.town.open_room(f"#room-{number}").topic = "x" * 300
        sock, stalled = await _stalled(chat, "irc")
        await asyncio.get_running_loop().sock_sendall(sock, b"LIST\r\n" * 30)
        while chat.town.person("bob") is not None:
            await asyncio.sleep(0.01)
        await stalled.transport.wait_ended(60.0)
        sock.close()
        assert stalled.transport.has_ended


async def test_a_reader_that_stalls_for_long(monkeypatch):
    """Less than that is enough, after some time."""
    monkeypatch.setattr(connection, "STALLED", 0.1)
    async with SmallChat() as chat:
        sock, stalled = await _stalled(chat, "lines")
        alice, _ = chat.fake("alice")
        alice.join("#lobby")
        said = 0
        while chat.town.person("bob") is not None:
            if stalled.transport.unsent <= 64 * 1024:
                alice.say("#lobby", "x" * 400)
                said += 1
            await asyncio.sleep(0)
        assert said > 100
        sock.close()


async def test_the_end_of_the_server():
    """Each client reads why; a client that does not close its side is cut off in time."""
    async with SmallChat() as chat:
        client = await chat.lines_user("alice")
        late = await chat.lines_user("bob")
        connections = [chat.town.person(name)._listener.hears.__self__ for name in ("alice", "bob")]
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(chat._ports[1].close())
            assert (await client.rest())[-1] == "the server is shutting down"
            await client.close()
            await closing
        assert all(each.transport.has_ended for each in connections)
        assert (await late.rest())[-1] == "the server is shutting down"
