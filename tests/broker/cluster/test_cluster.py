"""Named objects over nodes: several nodes in one process, and a directory that can be cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from support.clusters import Certificates, CutEngine, Room

import broker
from broker.errors import ConfigError, Disconnected, NameLost, NameTaken, NoSuchObject


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of the nodes."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def nodes(
    certificates: Certificates, count: int = 2, **options: Any
) -> AsyncIterator[list[broker.Cluster]]:
    """Run nodes with one directory."""
    engine = options.pop("engine", None) or broker.MemoryEngine()
    async with AsyncExitStack() as stack:
        made = [broker.Cluster(engine, **certificates.node, **options) for _ in range(count)]
        for node in made:
            await stack.enter_async_context(node)
        yield made


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def say(reference: broker.RemoteReference, text: str = "hello") -> Any:
    """Call a room."""
    return await reference.callRemote("say", text)


POLICIES = {
    "strict": broker.STRICT,
    "published": broker.PUBLISHED,
    "pb": broker.STRICT.but(dialects=("pb",)),
}


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> broker.Policy:
    """Each policy, and the other dialect."""
    return POLICIES[request.param]


async def test_each_node_calls_by_name(certificates: Certificates, policy: broker.Policy) -> None:
    """A name is called from every node, the one that has it too, and the calls reach one object."""
    async with nodes(certificates, 3, policy=policy) as (one, other, third):
        room = Room()
        assert await one.export("rooms.lobby", room) > 0
        for node in (one, other, third):
            await say(await node.reference("rooms.lobby"))
        assert room.said == ["hello"] * 3


async def test_contracts(certificates: Certificates) -> None:
    """A servant of a contract is exported, and a reference is used by its contract."""

    class Adder(Protocol):
        async def add(self, a: int, b: int) -> int:
            """Add."""
            ...

    class Sum:
        async def add(self, a: int, b: int) -> int:
            """Add."""
            return a + b

    async with nodes(certificates) as (one, other):
        await one.export("sum", broker.servant(Adder)(Sum()))
        assert await (await other.reference("sum")).of(Adder).add(1, 2) == 3


async def test_a_name_has_one_node(certificates: Certificates) -> None:
    """A name that a node has is refused to others, and to itself, until it is withdrawn."""
    async with nodes(certificates) as (one, other):
        first = await one.export("a", Room())
        with pytest.raises(NameTaken, match=f"the node at {one.address} has 'a'"):
            await other.export("a", Room())
        with pytest.raises(NameTaken, match="'a': this node has it already"):
            await one.export("a", Room())
        await one.withdraw("a")
        with pytest.raises(NoSuchObject):
            await one.withdraw("a")
        assert await other.export("a", Room()) > first
        assert (one.number("a"), other.number("a") is not None) == (None, True)


async def test_withdrawn_names(certificates: Certificates, policy: broker.Policy) -> None:
    """After a withdrawal a reference fails and says why; another name of the node goes on."""
    async with nodes(certificates, policy=policy) as (one, other):
        room = Room()
        await one.export("a", room)
        await one.export("b", Room())
        reference, kept = await other.reference("a"), await other.reference("b")
        await one.withdraw("a")
        with pytest.raises(NameLost, match="this node does not hold 'a' any more"):
            await say(reference)
        with pytest.raises(NoSuchObject, match="no node has 'a'"):
            await other.reference("a")
        assert (room.said, await say(kept)) == ([], 1)
        # A new claim does not revive the old reference.
        await one.export("a", room)
        with pytest.raises(NameLost):
            await say(reference)


@pytest.mark.parametrize("name", ["", "a b", "a.*", ">", ".a", "a..b", "a" * 65, "é", None, b"a"])
async def test_wrong_names(certificates: Certificates, name: Any) -> None:
    """A name of another form is refused before anybody is asked."""
    async with nodes(certificates, 1) as (one,):
        for use in (
            one.export(name, Room()),
            one.activate(name, Room),
            one.reference(name),
        ):
            with pytest.raises(ValueError, match="not a name: tokens of"):
                await use


async def test_too_many_names(certificates: Certificates) -> None:
    """A node holds at most so many names."""
    async with nodes(certificates, 1, max_exports=2) as (one,):
        await one.export("a", Room())
        await one.activate("b", Room)
        for refused in (one.export("c", Room()), one.activate("c", Room)):
            with pytest.raises(broker.ServerBusy, match=r"2 names \(max_exports\)"):
                await refused
        await one.withdraw("a")
        await one.export("c", Room())


async def test_two_nodes_activate_at_once(certificates: Certificates) -> None:
    """Of nodes that ask for a name at the same moment one makes the object, and all get that."""
    made: list[str] = []

    async def slow(name: str) -> Room:
        made.append(name)
        await asyncio.sleep(0)
        return Room(name)

    async with nodes(certificates, 3) as members:
        asking = [node.activate(f"r.{n}", slow) for n in range(5) for node in members * 3]
        found = await asyncio.gather(*asking)
        assert sorted(made) == [f"r.{n}" for n in range(5)]
        counts = [await say(reference) for reference in found]
        assert sorted(counts) == sorted(list(range(1, 10)) * 5)


async def test_a_factory_that_fails(certificates: Certificates) -> None:
    """The asker gets the error of its factory, and another node can make the object."""

    async def broken(name: str) -> Room:
        raise LookupError("no such room in the database")

    async with nodes(certificates) as (one, other):
        with pytest.raises(LookupError, match="no such room"):
            await one.activate("a", broken)
        with pytest.raises(broker.ConfigError, match="a Referenceable is exported"):
            await one.activate("a", lambda name: "text")  # type: ignore[arg-type, return-value]
        assert await say(await other.activate("a", Room)) == 1
        assert other.number("a") is not None


async def test_an_asker_that_gives_up(certificates: Certificates) -> None:
    """An asker that is cancelled does not end the making: others wait for it."""
    go = asyncio.Event()

    async def slow(name: str) -> Room:
        await go.wait()
        return Room(name)

    async with nodes(certificates) as (one, other):
        first = asyncio.ensure_future(one.activate("a", slow))
        await until(lambda: one.number("a") is not None)
        second = asyncio.ensure_future(other.activate("a", slow))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        assert await say(await second) == 1
        assert other.number("a") is None


async def test_a_node_that_closes(certificates: Certificates) -> None:
    """The names of a node that closes are free at once, and references to it fail."""
    engine = broker.MemoryEngine()
    async with nodes(certificates, 1, engine=engine) as (one,):
        async with nodes(certificates, 1, engine=engine) as (leaving,):
            await leaving.export("a", Room())
            reference = await one.reference("a")
        with pytest.raises(Disconnected):
            await say(reference)
        assert await say(await one.activate("a", Room, timeout=2.0)) == 1


async def test_a_node_cut_from_the_directory(certificates: Certificates) -> None:
    """A node that cannot renew its lease stops serving; another gets the name, and keeps it."""
    engine = broker.MemoryEngine()
    cut, lost = CutEngine(engine), list[tuple[str, Any]]()
    room = Room()
    options: dict[str, Any] = {**certificates.node, "lease": 1.0}
    async with (
        broker.Cluster(cut, lost=lambda *what: lost.append(what), **options) as alone,
        broker.Cluster(engine, **options) as other,
    ):
        first = await alone.export("a", room)
        made = await other.reference("a")
        itself = await made.callRemote("itself")
        held = await alone.activate("made", Room)
        assert await say(held) == 1
        cut.cut.is_cut = True
        # Nobody but its own clock tells it.
        await until(lambda: not alone.is_member)
        with pytest.raises((NameLost, Disconnected)):
            await say(made)
        # A reference that did not come by a name does not outlive the lease either.
        await until(lambda: itself.broker.connection.is_closed)
        with pytest.raises(Disconnected):
            await say(itself)
        assert (room.said, alone.number("a")) == ([], None)
        with pytest.raises(Disconnected, match="the directory of names cannot be used"):
            await alone.reference("a", timeout=0.1)
        second = None
        while second is None:
            try:
                second = await other.export("a", Room())
            except NameTaken:
                await asyncio.sleep(0.05)
        assert second > first
        cut.cut.is_cut = False
        await until(lambda: alone.is_member and len(lost) == 2)
        assert {name for name, _ in lost} == {"a", "made"}
        assert lost[-1] == ("a", room)
        assert alone.number("a") is None
        assert await say(await alone.reference("a")) == 1
        assert room.said == []


async def test_a_node_that_comes_back_in_time(certificates: Certificates) -> None:
    """A name that nobody has taken meanwhile is claimed again, under a larger number."""
    engine = broker.MemoryEngine()
    cut, lost = CutEngine(engine), list[str]()
    room = Room()
    options: dict[str, Any] = {**certificates.node, "lease": 0.6}
    async with (
        broker.Cluster(cut, lost=lambda name, _: lost.append(name), **options) as alone,
        broker.Cluster(engine, **options) as other,
    ):
        first = await alone.export("a", room)
        cut.cut.is_cut = True
        await until(lambda: not alone.is_member)
        cut.cut.is_cut = False
        await until(lambda: alone.number("a") is not None)
        assert (alone.number("a") or 0) > first
        assert await say(await other.reference("a")) == 1
        assert (room.said, lost) == (["hello"], [])


async def test_a_short_outage(certificates: Certificates) -> None:
    """An outage of the directory that is shorter than the lease is not noticed by callers."""
    engine = broker.MemoryEngine()
    cut = CutEngine(engine)
    options: dict[str, Any] = {**certificates.node, "lease": 5.0}
    async with (
        broker.Cluster(cut, **options) as one,
        broker.Cluster(engine, **options) as other,
    ):
        number = await one.export("a", Room())
        reference = await other.reference("a")
        cut.cut.is_cut = True
        await until(lambda: cut.cut.renewals >= 2)
        assert await say(reference) == 1
        asking = asyncio.ensure_future(one.reference("a"))
        cut.cut.is_cut = False
        assert await say(await asking) == 2
        assert one.number("a") == number


async def test_an_export_whose_answer_was_late(certificates: Certificates) -> None:
    """A claim that this node does not know is given up as soon as somebody asks for it."""
    engine = broker.MemoryEngine()
    async with nodes(certificates, 2, engine=engine, lease=30.0) as (one, other):
        held: Any = one._held
        await held._directory.claim("a")
        assert await say(await other.activate("a", Room)) == 1
        assert other.number("a") is not None


async def test_no_directory(certificates: Certificates) -> None:
    """Without a directory a node does not start, and says so; nothing is left open."""
    cut = CutEngine(broker.MemoryEngine())
    cut.cut.is_cut = True
    node = broker.Cluster(cut, **certificates.node)
    with pytest.raises(Disconnected, match=r"gave no lease in 0\.2 s"):
        await node.start(timeout=0.2)
    with pytest.raises(broker.ConnectError):
        await broker.connect(node.address, tls=broker.TLS.client(**certificates.node), timeout=2.0)


async def test_a_withdrawal_that_failed(certificates: Certificates) -> None:
    """A name whose withdrawal the directory has not taken is not served, and can be withdrawn."""
    engine = broker.MemoryEngine()
    cut = CutEngine(engine)
    async with (
        broker.Cluster(cut, **certificates.node) as one,
        broker.Cluster(engine, **certificates.node) as other,
    ):
        await one.export("a", Room())
        reference = await other.reference("a")
        cut.cut.is_cut = True
        with pytest.raises(Disconnected):
            await one.withdraw("a")
        with pytest.raises(NameLost):
            await say(reference)
        cut.cut.is_cut = False
        with pytest.raises(NameTaken, match="is withdrawing it"):
            await one.export("a", Room())
        await one.withdraw("a")
        await other.export("a", Room())


def test_wrong_settings(certificates: Certificates, tmp_path: Path) -> None:
    """Settings that cannot work are refused before anything is opened."""
    engine = broker.MemoryEngine()
    for options, text in [
        ({"address": "pb://127.0.0.1:0"}, "nodes reach each other by TLS"),
        ({"address": "pbs://0.0.0.0:8790"}, "give advertise="),
        ({"advertise": "pbs://0.0.0.0:8790"}, "give advertise="),
        ({"lease": 0.1}, "at least 0.5 seconds"),
        ({"lease": float("nan")}, "at least 0.5 seconds"),
        ({"max_exports": 0}, "must be positive"),
    ]:
        with pytest.raises(ConfigError, match=text):
            broker.Cluster(engine, **{**certificates.node, **options})
    with pytest.raises(broker.WrongType, match="an engine with a directory"):
        broker.Cluster("nats://127.0.0.1", **certificates.node)  # type: ignore[arg-type]


async def test_wrong_objects(certificates: Certificates) -> None:
    """Only what peers can call is exported."""
    async with nodes(certificates, 1) as (one,):
        with pytest.raises(broker.WrongType, match="a Referenceable is exported"):
            await one.export("a", object())  # type: ignore[arg-type]
        assert "0 names" in repr(one)
