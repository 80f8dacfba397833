"""The chat on several nodes, with one real NATS server: towns of this process, and processes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.chat import RoomView
from support.chat_nodes import ChatProcess, Node, until
from support.chats import NAMES, make_folder
from support.nats_server import NatsServer

import broker
from cred import UsernamePassword
from examples.chat.archive import SQLArchive

pytestmark = pytest.mark.timeout(120)

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server for all tests of this file."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def joined(server: NatsServer, count: int, **how: Any) -> AsyncIterator[list[Node]]:
    """Run towns that share what happens."""
    name = f"chat{next(_NUMBERS)}"
    nodes = [Node(server.url, name, **how) for _ in range(count)]
    try:
        yield [await node.start() for node in nodes]
    finally:
        for node in nodes:
            await node.nodes.close()


async def test_one_room_across_all(server: NatsServer) -> None:
    """Guests of three nodes are in one room: they see who comes, goes and speaks, and the topic."""
    async with joined(server, 3) as (one, two, three):
        alice, alice_heard = one.enter("alice", "#tea")
        bob, bob_heard = two.enter("bob", "#tea")
        carol, carol_heard = three.enter("carol", "#tea")
        for node in (one, two, three):
            await until(lambda node=node: node.names("#tea") == ["alice", "bob", "carol"])  # type: ignore[misc]
        alice.say("#tea", "hello")
        alice.set_topic("#tea", "milk")
        carol.notice("#tea", "a bot")
        await until(lambda: ("topic", "#tea", "alice", "milk") in bob_heard)
        bob.part("#tea", "bye")
        await until(lambda: ("left", "#tea", "bob", "bye") in alice_heard)
        await until(lambda: ("left", "#tea", "bob", "bye") in carol_heard)
        told = [("said", "#tea", "alice", "hello"), ("topic", "#tea", "alice", "milk")]
        for heard in (bob_heard, carol_heard):
            assert [event for event in heard if event in told] == told
        assert alice_heard.count(("noticed", "#tea", "carol", "a bot")) == 1
        assert ("said", "#tea", "alice", "hello") not in alice_heard
        lines = [one.town.rooms["#tea"].history, three.town.rooms["#tea"].history]
        assert list(lines[0]) == list(lines[1]) and len(lines[0]) == 1
        assert [node.town.rooms["#tea"].topic for node in (one, two, three)] == ["milk"] * 3
        alice.leave("good night")
        await until(lambda: three.names("#tea") == ["carol"])
        assert [each.name for each in two.town.where()] == ["bob", "carol"]


async def test_private_messages(server: NatsServer) -> None:
    """A private message is heard once, by the guest whom it is for, at whichever node."""
    async with joined(server, 3) as (one, two, three):
        alice, _ = one.enter("alice")
        bob, bob_heard = two.enter("bob")
        _, carol_heard = three.enter("carol")
        await until(lambda: one.town.person("BOB") is not None)
        await until(lambda: two.town.person("carol") is not None)
        alice.say("BOB", "psst")
        bob.notice("carol", "beep")
        await until(lambda: bool(bob_heard) and bool(carol_heard))
        assert bob_heard == [("said", "bob", "alice", "psst")]
        assert carol_heard == [("noticed", "carol", "bob", "beep")]


async def test_banner_and_kick(server: NatsServer) -> None:
    """An admin of one node sets the banner of all, and ends the sessions of a user of another."""
    async with joined(server, 2) as (one, two):
        _, heard = two.enter("bob", "#tea")
        await until(lambda: one.names("#tea") == ["bob"])
        one.town.set_banner("admin", "mind the step")
        await until(lambda: two.town.banner == "mind the step")
        assert heard[-1] == ("banner", "", "admin", "mind the step")
        ended: list[tuple[str, str]] = []
        two.town.end_sessions = lambda name, why: len(ended.append((name, why)) or "1")  # type: ignore[func-returns-value]
        assert one.town.kick("bob", "too loud")
        await until(lambda: heard[-1] == ("gone", "", "bob", "kicked: too loud"))
        assert ended == [("bob", "kicked: too loud")]
        await until(lambda: not one.town.where() and not two.town.where())
        assert not one.town.kick("bob")


async def test_a_user_comes_in_elsewhere(server: NatsServer) -> None:
    """A user who comes in at another node leaves the first one; the others see one of them."""
    async with joined(server, 3) as (one, two, three):
        _, heard = one.enter("alice", "#tea")
        await until(lambda: two.names("#tea") == ["alice"])
        again, _ = two.enter("alice", "#milk")
        await until(lambda: heard[-1][0] == "gone")
        assert heard[-1][3] == "you have come in again from elsewhere"
        await until(lambda: three.names("#milk") == ["alice"])
        for node in (one, two, three):
            assert [(each.name, each.rooms) for each in node.town.where()] == [
                ("alice", ("#milk",))
            ]
        assert again.is_here


async def test_at_two_nodes_at_once(server: NatsServer) -> None:
    """Of sessions that begin at the same moment at all nodes one is left, the same for all."""
    async with joined(server, 3) as nodes:
        for number in range(10):
            name = f"user{number}"
            guests = [node.enter(name, "#tea")[0] for node in nodes]
            await until(lambda guests=guests: sum(each.is_here for each in guests) <= 1)  # type: ignore[misc]
            assert [each.is_here for each in guests].count(True) == 1
            home = guests.index(next(guest for guest in guests if guest.is_here))
            for index, node in enumerate(nodes):
                at = None if index == home else nodes[home].nodes.name

                def agrees(node: Node = node, name: str = name, at: str | None = at) -> bool:
                    person = node.town.person(name)
                    return person is not None and (person.home, [*person.rooms]) == (at, ["#tea"])

                await until(agrees)


async def test_a_node_that_begins_later(server: NatsServer, tmp_path: Path) -> None:
    """It knows who is there, more than one answer holds, and the history, each line once."""
    address = f"sql:sqlite:///{tmp_path / 'chat.sqlite'}"
    async with joined(server, 1) as (one,):
        archive = SQLArchive(address)
        archive.load(one.town)
        for number in range(250):
            guest, _ = one.enter(f"user{number}", "#tea")
            guest.say("#tea", str(number))
        archive.close()
        later = Node(server.url, f"chat{next(_NUMBERS) - 1}")
        # The numbers of the names go on for the next test.
        next(_NUMBERS)
        await later.nodes.listen()
        guest.say("#tea", "meanwhile")
        archive = SQLArchive(address)
        archive.load(later.town)
        archive.close()
        later.town.archive = None
        try:
            await later.nodes.start()
            await until(lambda: len(later.names("#tea")) == 250)
            assert later.names("#tea") == one.names("#tea")
            texts = [line.text for line in later.town.rooms["#tea"].history]
            await until(lambda: "meanwhile" in texts)
            assert texts == [line.text for line in one.town.rooms["#tea"].history]
        finally:
            await later.nodes.close()
        await until(lambda: later.nodes.name not in one.nodes.known)


async def test_lost_events(server: NatsServer) -> None:
    """A node that may have lost events asks who is there, and corrects what it has."""
    async with joined(server, 2) as (one, two):
        alice, _ = one.enter("alice", "#tea")
        one.enter("bob", "#tea", "#milk")
        await until(lambda: two.names("#milk") == ["bob"])
        one.town.others = None
        alice.leave()
        one.enter("carol", "#tea")
        one.town.others = one.nodes
        two.engine.gap()
        await until(lambda: two.names("#tea") == ["bob", "carol"])
        assert two.names("#milk") == ["bob"]


async def test_a_node_that_closes(server: NatsServer) -> None:
    """The people of a node that is closed leave at once, however long its lease is."""
    async with joined(server, 2, lease=60.0) as (one, two):
        one.enter("alice", "#tea")
        _, heard = two.enter("bob", "#tea")
        await until(lambda: two.names("#tea") == ["alice", "bob"])
        await one.nodes.close()
        await until(lambda: two.names("#tea") == ["bob"])
        assert heard[-1] == ("left", "#tea", "alice", "the server has ended")


async def test_what_cannot_be_used(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be read is logged, and those after it are done."""
    async with joined(server, 2) as (one, two):
        topics: broker.Topics = one.nodes._topics
        for data in ("text", [], ["x"], ["node", None, "no such event"]):
            topics.publish("chat.events", data)
        one.enter("alice")
        await until(lambda: two.town.person("alice") is not None)
        assert caplog.text.count("an event of another node cannot be used") >= 4


class Ear(broker.Referenceable):
    """Hears what is said."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    def remote_heard(self, event: str, room: str, who: str, text: str) -> None:
        """Note it."""
        self.heard.append((event, room, who, text))


async def test_three_processes(server: NatsServer, tmp_path: Path, at_end: list[Any]) -> None:
    """A node is killed: its people leave at the other nodes, and a link moves to one of those."""
    folder = tmp_path / "chat"
    await asyncio.to_thread(make_folder, folder, (*NAMES, "carol"))
    nodes = [await ChatProcess.start(folder, server.url, at_end, lease=2.0) for _ in range(3)]
    ear = Ear()
    rooms: list[RoomView] = []
    alice, bob, carol = (UsernamePassword(name, name * 2) for name in (*NAMES, "carol"))
    link = broker.Link([nodes[0].pb, nodes[1].pb], alice)

    @link.task
    async def join(connection: broker.Connection) -> None:
        rooms.append(await connection.avatar.callRemote("join", "#lobby"))

    async with link, broker.connect(nodes[2].pb, bob, mind=ear) as connection:
        room = await connection.avatar.callRemote("join", "#lobby")
        await until(lambda: len(rooms) == 1)
        assert link.connection is not None
        at = f":{link.connection.peer.address.port}"
        first = next(node for node in nodes if node.pb.endswith(at))
        lost = await broker.connect(first.pb, carol)
        await lost.avatar.callRemote("join", "#lobby")
        for each in (room, rooms[0]):
            await until(lambda each=each: sorted(each.names) == ["alice", "bob", "carol"])  # type: ignore[misc]
        await link.avatar.callRemote("say", "#lobby", "from the first")
        await until(lambda: ("said", "#lobby", "alice", "from the first") in ear.heard)
        await first.kill()
        await until(lambda: len(rooms) == 2)
        await until(lambda: ("joined", "#lobby", "alice", "") in ear.heard[-2:])
        # She is at the other node now. Carol, who has no link, is gone with her node.
        await link.avatar.callRemote("say", "#lobby", "from the second")
        await until(lambda: ("said", "#lobby", "alice", "from the second") in ear.heard)
        await until(lambda: ("left", "#lobby", "carol", "the server has gone") in ear.heard)
        assert [event[:3] for event in ear.heard].count(("left", "#lobby", "alice")) == 1
        await until(lambda: sorted(rooms[1].names) == ["alice", "bob"])
        assert sorted(room.names) == ["alice", "bob"]
        assert [text for _, _, text in rooms[1].history] == ["from the first"]
