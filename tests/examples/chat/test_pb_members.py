"""What PB clients may call, and what they are told."""

import asyncio

import pytest
from support.chat import RoomView, SmallChat

import broker
from examples.chat import pb_members
from examples.chat.errors import BadName, ChatError, NoSuchPlace, NotInRoom, TooMany
from examples.chat.pace import Rate


class Ear(broker.Referenceable):
    """Notes what it hears."""

    def __init__(self):
        self.heard = asyncio.Queue()

    def remote_heard(self, *event):
        """Note an event."""
        self.heard.put_nowait(event)

    async def next(self):
        """The next event."""
        return await self.heard.get()


async def test_a_room():
    """The cache of a room has its state, and is kept up to date until the client leaves."""
    async with SmallChat() as chat:
        bob, heard = chat.fake("bob")
        bob.join("#tea")
        bob.say("#tea", "early")
        ear = Ear()
        connection = await chat.pb_user("alice", ear)
        call = connection.avatar.callRemote
        assert await call("banner") == chat.town.banner
        room = await call("join", "#tea")
        assert isinstance(room, RoomView)
        assert await call("join", "#tea") is room
        assert (room.name, room.topic, room.names) == ("#tea", "", ["bob", "alice"])
        assert [tuple(line)[1:] for line in room.history] == [("bob", "early")]
        await call("topic", "#tea", "lemon?")
        assert room.topic == "lemon?"
        await call("say", "#tea", "hello")
        assert heard[-1] == ("said", "#tea", "alice", "hello")
        await call("say", "bob", "psst")
        await call("notice", "bob", "beep")
        assert heard[-2:] == [("said", "bob", "alice", "psst"), ("noticed", "bob", "alice", "beep")]
        assert await call("rooms") == [("#tea", 2, "lemon?")]
        assert await call("people") == ["alice", "bob"]
        await call("part", "#tea", "bye")
        bob.set_topic("#tea", "milk?")
        assert await call("people") == ["alice", "bob"]
        assert room.topic == "lemon?"
        again = await call("join", "#tea")
        assert again is not room
        assert again.topic == "milk?"
        bob.leave()
        assert [await ear.next() for _ in range(5)] == [
            ("joined", "#tea", "alice", ""),
            ("topic", "#tea", "alice", "lemon?"),
            ("left", "#tea", "alice", "bye"),
            ("joined", "#tea", "alice", ""),
            ("left", "#tea", "bob", ""),
        ]
        assert again.names == ["alice"]
        await connection.close()


@pytest.mark.parametrize(
    ("error", "method", "args"),
    [
        (NoSuchPlace, "say", ("nobody", "x")),
        (NotInRoom, "say", ("#tea", "x")),
        (NotInRoom, "topic", ("#tea", "x")),
        (NotInRoom, "part", ("#tea",)),
        (BadName, "join", ("#T\r\n",)),
        (TooMany, "say", ("alice", "x" * 501)),
        (ChatError, "say", (b"#tea", "x")),
        (ChatError, "say", ("alice", 7)),
        (ChatError, "join", (None,)),
        (ChatError, "topic", ("#tea", ["x"])),
    ],
)
async def test_refusals(error, method, args):
    """What cannot be done is refused with an error of the chat, whose text arrives."""
    async with SmallChat() as chat:
        connection = await chat.pb_user("alice")
        with pytest.raises(error) as caught:
            await connection.avatar.callRemote(method, *args)
        assert type(caught.value) is error
        assert "internal error" not in str(caught.value)
        await connection.close()


async def test_without_a_mind():
    """A client without a mind can do everything; one whose mind is no reference too."""
    async with SmallChat() as chat:
        bob, _ = chat.fake("bob")
        bob.join("#tea")
        for mind in None, "a text":
            connection = await chat.pb_user("alice", mind)
            room = await connection.avatar.callRemote("join", "#tea")
            bob.set_topic("#tea", f"for {mind}")
            await connection.avatar.callRemote("banner")
            assert room.topic == f"for {mind}"
            await connection.close()


async def test_a_second_login():
    """The first connection hears why it ends, and is closed; the second one is in the chat."""
    async with SmallChat() as chat:
        ear = Ear()
        first = await chat.pb_user("alice", ear)
        second = await chat.pb_user("alice")
        await first.wait_closed()
        assert (await ear.next())[0::3] == ("gone", "you have come in again from elsewhere")
        assert await second.avatar.callRemote("people") == ["alice"]
        await second.close()


async def test_listeners_that_have_gone():
    """Who has gone while others speak is neither an error of theirs, nor of who comes next."""
    async with SmallChat() as chat:
        bob, heard = chat.fake("bob")
        bob.join("#tea")
        for _ in range(3):
            connection = await chat.pb_user("alice", Ear())
            await connection.avatar.callRemote("join", "#tea")
            # The server does not know yet that the connection has ended.
            closing = asyncio.ensure_future(connection.close())
            bob.say("#tea", "hello")
            bob.set_topic("#tea", "x")
            await closing
            while "alice" in chat.town.find("#tea").names:
                await asyncio.sleep(0.01)
        assert [event[0] for event in heard].count("left") == 3


async def test_the_rate():
    """Calls wait if they are too fast; those that would wait for very long are refused."""
    async with SmallChat(rate=Rate(4, 0.2)) as chat:
        _, heard = chat.fake("bob")
        connection = await chat.pb_user("alice")
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = connection.avatar.callRemote
        await asyncio.gather(*[call("say", "bob", str(number)) for number in range(8)])
        assert loop.time() - began >= 0.19
        assert [event[3] for event in heard] == [str(number) for number in range(8)]
        await connection.close()


async def test_a_flood(monkeypatch):
    """A call that would have to wait for longer than 30 s is refused at once."""
    async with SmallChat(rate=Rate(1, 20.0)) as chat:
        chat.fake("bob")
        connection = await chat.pb_user("alice")
        call = connection.avatar.callRemote
        await call("say", "bob", "1")
        waiting = asyncio.ensure_future(call("say", "bob", "2"))
        with pytest.raises(TooMany, match="more slowly"):
            await call("say", "bob", "3")
        waiting.cancel()
        await connection.close()


async def test_a_client_that_does_not_read(monkeypatch):
    """It is disconnected, and the speaker does not wait for it."""
    monkeypatch.setattr(pb_members, "MOST_WAITING", 50)
    async with SmallChat() as chat:
        bob, _ = chat.fake("bob")
        bob.join("#tea")
        connection = await chat.pb_user("alice", Ear())
        await connection.avatar.callRemote("join", "#tea")
        transport = connection.avatar.broker.transport
        transport.pauseProducing()
        said = 0
        while "alice" in chat.town.find("#tea").names:
            for _ in range(100):
                bob.say("#tea", "x" * 500)
            said += 100
            await asyncio.sleep(0)
            assert said < 100_000
        transport.resumeProducing()
        await connection.wait_closed()
