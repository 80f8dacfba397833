"""Both networks against the chat server: what each tells, and that they connect again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import broker
from cred import LoginFailed, UsernamePassword
from examples.chat.client.model import Event
from examples.chat.client.networks import Kept, Network, NotConnected, network_of, nick_of
from examples.chat.client.pb_network import PBNetwork

KINDS = ["pb", "pbs", "irc", "irc+tls"]
INSIDE_TLS = ["pbs", "irc+tls"]
FRONT_ENDS = {"pb": "pb_plain", "pbs": "pb", "irc": "irc", "irc+tls": "ircs"}


def address_of(chat: Any, kind: str) -> str:
    """Return the address of a front end, for the client."""
    return f"{kind}://{chat.addresses[FRONT_ENDS[kind]].rpartition('/')[2]}"


def network(chat: Any, kind: str, nick: str, password: str | None = None) -> Network:
    """Return a network of a chat for a user."""
    ca = str(chat.folder / "ca.pem")
    return network_of(address_of(chat, kind), nick, password or nick * 2, ca)


class Heard:
    """What a network tells, as it comes."""

    def __init__(self, events: AsyncIterator[Event]):
        self.events = events

    async def next(self, kind: str, **fields: Any) -> Event:
        """Return the next event of that kind with these fields; earlier ones are dropped."""
        async for event in self.events:
            if event.kind == kind and all(
                getattr(event, name) == value for name, value in fields.items()
            ):
                return event
        raise AssertionError(f"no {kind} came")


@asynccontextmanager
async def connected(chat: Any, kind: str, nick: str) -> AsyncIterator[tuple[Network, Heard]]:
    """Connect as a user, and go into the lobby."""
    found = network(chat, kind, nick)
    await found.connect()
    heard = Heard(found.events())
    await found.join("#lobby")
    await heard.next("room", place="#lobby")
    try:
        yield found, heard
    finally:
        await found.close()
        await heard.events.aclose()


@pytest.mark.parametrize(
    ("kind", "other_kind"), [("pb", "irc"), ("pbs", "pbs"), ("irc", "pbs"), ("irc+tls", "irc")]
)
async def test_two_people_talk(kind: str, other_kind: str, open_chat: Any) -> None:
    """Each hears that the other comes, what they say in the room and in private, and the topic."""
    async with (
        open_chat() as chat,
        connected(chat, kind, "alice") as (alice, hears),
        connected(chat, other_kind, "bob") as (bob, bob_hears),
    ):
        assert (await hears.next("joined")).who == "bob"
        await alice.say("#lobby", "hello ünter")
        assert await bob_hears.next("said") == (
            "said",
            "#lobby",
            "alice",
            "hello ünter",
            (),
            (),
        )
        await bob.say("#lobby", "/me waves")
        assert (await hears.next("said"))[1:4] == ("#lobby", "bob", "/me waves")
        await bob.say("alice", "psst")
        assert (await hears.next("said"))[1:4] == ("bob", "bob", "psst")
        await alice.set_topic("#lobby", "tea: at five")
        assert (await bob_hears.next("topic"))[1:4] == ("#lobby", "alice", "tea: at five")
        await bob.part("#lobby")
        assert (await hears.next("left")).who == "bob"


@pytest.mark.parametrize("kind", INSIDE_TLS)
async def test_a_room(kind: str, open_chat: Any) -> None:
    """Who joins a room learns its topic and its people; the banner comes at first."""
    async with open_chat() as chat, connected(chat, "pbs", "bob") as (bob, _):
        await bob.set_topic("#lobby", "tea")
        alice = network(chat, kind, "alice")
        await alice.connect()
        heard = Heard(alice.events())
        await alice.join("#lobby")
        assert (await heard.next("banner")).text == chat.town.banner
        room = await heard.next("room")
        assert (room.place, room.text, set(room.names)) == ("#lobby", "tea", {"alice", "bob"})
        await alice.close()
        assert (await heard.next("offline")).text


@pytest.mark.parametrize("kind", INSIDE_TLS)
async def test_a_wrong_password(kind: str, open_chat: Any) -> None:
    """The login fails with the server's words, and is not tried again."""
    async with open_chat() as chat:
        wrong = network(chat, kind, "alice", "looking glass")
        with pytest.raises(LoginFailed, match="wrong user name or password"):
            await wrong.connect()
        events = [event async for event in Kept(wrong).events()]
        assert [event.kind for event in events] == ["stopped"]


@pytest.mark.parametrize("kind", INSIDE_TLS)
async def test_a_certificate_of_a_stranger(kind: str, open_chat: Any) -> None:
    """The client does not log in, and does not try again."""
    async with open_chat() as chat:
        stranger = network_of(address_of(chat, kind), "alice", "alicealice")
        events = [event async for event in Kept(stranger).events()]
        assert [event.kind for event in events] == ["stopped"]
        assert "certificate" in events[0].text


@pytest.mark.parametrize("kind", INSIDE_TLS)
async def test_an_error(kind: str, open_chat: Any) -> None:
    """A room that cannot be joined is told, and the connection goes on."""
    async with open_chat() as chat, connected(chat, kind, "alice") as (alice, heard):
        await alice.join("#no/room")
        assert "letters" in (await heard.next("error")).text
        await alice.join("#yes")
        assert (await heard.next("room")).place == "#yes"


async def test_a_fault_of_the_server(open_chat: Any) -> None:
    """A call that fails at the server in a way that it does not tell is an error for the user."""
    async with open_chat() as chat, connected(chat, "pbs", "alice") as (alice, _):
        chat.town.person = None
        with pytest.raises(broker.Error, match="internal error"):
            await alice.say("bob", "hello")
        await alice.say("#lobby", "hello")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kick(kind: str, open_chat: Any) -> None:
    """Who is kicked is told why, and does not come back by itself."""
    async with open_chat() as chat:
        events = Kept(network(chat, kind, "alice")).events()
        heard = Heard(events)
        await heard.next("banner")
        chat.town.kick("alice", "too loud")
        assert (await heard.next("stopped")).text == "kicked: too loud"
        assert [event async for event in events] == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_is_started_again(kind: str, open_chat: Any) -> None:
    """The client comes back into its rooms; by PB it learns what was said before it was back."""
    waits: list[float] = []
    may_try = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await may_try.wait()

    async def credentials() -> UsernamePassword:
        # The first login, and those for which the time has come.
        if waits:
            await may_try.wait()
        waits.append(0.0)
        return UsernamePassword("alice", "alicealice")

    async with open_chat() as chat:
        port = int(chat.addresses[FRONT_ENDS[kind]].rpartition(":")[2])
        found = network(chat, kind, "alice")
        if isinstance(found, PBNetwork):
            found._credentials = credentials
        kept = Kept(found, sleep)
        heard = Heard(kept.events())
        await heard.next("online")
        await kept.join("#lobby")
        await heard.next("room")
    await heard.next("offline")
    with pytest.raises(NotConnected):
        await kept.say("#lobby", "is there anybody?")
    async with open_chat(**{FRONT_ENDS[kind]: port}) as chat:
        async with connected(chat, "pbs", "bob") as (bob, bob_hears):
            await bob.say("#lobby", "nobody heard this")
            may_try.set()
            await heard.next("online")
            room = await heard.next("room")
            if kind.startswith("pb"):
                assert [line[2:] for line in room.lines] == [("bob", "nobody heard this")]
            assert (await bob_hears.next("joined")).who == "alice"
            await kept.say("#lobby", "here again")
            assert (await bob_hears.next("said")).text == "here again"
        await kept.close()
        await heard.events.aclose()
    assert waits[0] < 1.0


async def test_delays_grow() -> None:
    """Attempts that fail are farther and farther apart, up to half a minute."""
    waits: list[float] = []

    class Nobody:
        async def connect(self) -> None:
            raise ConnectionRefusedError("nobody is there")

        async def close(self) -> None:
            pass

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    events = Kept(Nobody(), sleep).events()
    for _ in range(12):
        assert await anext(events) == Event("offline", text="nobody is there")
    await events.aclose()
    assert waits[0] < 1 < 10 < min(waits[8:])
    assert max(waits) < 50


async def test_a_server_that_asks_for_time() -> None:
    """No attempt is made before the server takes logins again."""
    waits: list[float] = []

    class Busy:
        async def connect(self) -> None:
            raise broker.TooManyAttempts("too many failed logins", after=70.0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    events = Kept(Busy(), sleep).events()
    assert [(await anext(events)).kind for _ in range(3)] == ["offline"] * 3
    assert waits == [70.0, 70.0]
    await events.aclose()


async def test_what_ends_a_line(open_chat: Any) -> None:
    """A text for IRC cannot have a second line, and a place cannot have a second field."""
    async with (
        open_chat() as chat,
        connected(chat, "irc", "alice") as (alice, _),
        connected(chat, "pbs", "bob") as (_, heard),
    ):
        await alice.say("#lobby", "one\r\nQUIT :two\0")
        assert (await heard.next("said")).text == "one  QUIT :two"
        with pytest.raises(broker.Error, match="is not a name"):
            await alice.join("#a b")
        for place in ("#lobby :x", "", ":#lobby"):
            with pytest.raises(broker.Error, match="is not a name"):
                await alice.say(place, "hello")


async def test_a_long_text(open_chat: Any) -> None:
    """By IRC a long text is sent in several lines, and no character is lost."""
    async with (
        open_chat() as chat,
        connected(chat, "irc", "alice") as (alice, _),
        connected(chat, "pbs", "bob") as (_, heard),
    ):
        await alice.say("#lobby", "ü" * 300)
        texts = [(await heard.next("said")).text, (await heard.next("said")).text]
        assert "".join(texts) == "ü" * 300


@pytest.mark.parametrize(
    "address",
    ["gopher://x", "pbs://", "pbs://alice:secret@x", "pbs://x/path", "irc://public.example", "x"],
)
def test_addresses_that_are_refused(address: str) -> None:
    """A scheme that is not known, no host, a password, and IRC to a public host without TLS."""
    with pytest.raises(broker.ConfigError):
        network_of(address, "alice", "secret")


def test_the_name_in_an_address() -> None:
    """It is before the at-sign, or is not there."""
    assert (nick_of("pbs://alice@x"), nick_of("irc+tls://x:7000")) == ("alice", "")
