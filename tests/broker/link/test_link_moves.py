"""A link moves away from a server that drains, before that server ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from support.linked import A, B, Office, linked, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link import Connected, Link, Moving
from broker.stopping import Notice
from broker.testing.clock import virtual_clock
from cred import Anonymous
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal

DIALECTS = ["msgpack/1", "pb"]
PUBLISHED = broker.PUBLISHED.but(insecure_plaintext=True)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("allowed", [POLICY, PUBLISHED], ids=["STRICT", "PUBLISHED"])
async def test_it_moves(net: MemoryNet, dialect: str, allowed: broker.Policy) -> None:
    """A call that runs ends on the old connection; new ones, recipes and tasks go to the other."""
    policy = allowed.but(dialects=(dialect,))
    offices = {A: Office("a"), B: Office("b")}
    servers = {each: net.serve(each, office, policy) for each, office in offices.items()}
    link = linked((A, B), policy=policy)
    tasks: list[str] = []

    @link.task
    async def follow(connection: broker.Connection) -> None:
        tasks.append(await connection.root.callRemote("name"))
        await asyncio.Event().wait()

    with virtual_clock():
        async with link:
            room = link.root.recipe("room", "x")
            old = await link.root.callRemote("name")
            here, there = (A, B) if old == "a" else (B, A)
            running = link.root.callRemote("wait")
            await turns()
            connection = link.connection
            assert connection is not None
            closing = asyncio.create_task(servers[here].close(drain=60))
            await turns()
            # In PB's dialects this call is refused, and tells the link that the server drains.
            assert await room.callRemote("say", "hi") == "x: hi"
            assert await link.root.callRemote("name") == offices[there].name
            assert not connection.is_closed
            assert not running.called
            offices[here].gate.set()
            assert await running == old
            await closing
            assert connection.is_closed
            assert tasks == [old, offices[there].name]
            assert "room x" in offices[there].log
            assert link.state == Connected(link.connection)  # type: ignore[arg-type]


async def test_the_goodbye_of_a_client_that_moves(net: MemoryNet) -> None:
    """The old server is told *moved* by a client that has another connection."""
    offices = {A: Office("a"), B: Office("b")}
    servers = {each: net.serve(each, office) for each, office in offices.items()}
    async with linked(A) as other, linked((A, B), retry=broker.Retry(first=0.0)) as link:
        # Another client, whose call keeps the server from its end.
        waiting = other.root.callRemote("wait")
        while await link.root.callRemote("name") == "b":
            servers[B].connections[0].broker.leave("closing", "go to the other server")
            await turns()
        end = next(each for each in servers[A].connections if each.peer.address.port != 40_000)
        closing = asyncio.create_task(servers[A].close(drain=60))
        await end.wait_closed()
        assert not waiting.called
        offices[A].gate.set()
        await closing
        reason: Any = end.broker.reason
        assert (reason.goodbye, str(reason)) == (
            "moved",
            "the peer closed the connection: the client has another connection",
        )


async def first_move(link: Link) -> Moving:
    """The next state in which a link moves."""
    async for state in link.states():
        if isinstance(state, Moving):
            return state
    raise AssertionError("it did not move")


async def test_elsewhere(net: MemoryNet) -> None:
    """A link goes to the address that the server names on a host that it knows, and to no other."""
    office, other = Office("a"), Office("other")
    named = ("pb://stranger:1", "pb+exec:false", "pb://a:9")
    server = net.serve(A, office, notice=Notice(5.0, named))
    net.serve("pb://a:9", other)
    net.serve("pb://stranger:1", Office("stranger"))
    with virtual_clock() as clock:
        async with linked() as link:
            running = link.root.callRemote("wait")
            await turns()
            moving = asyncio.create_task(first_move(link))
            closing = asyncio.create_task(server.close(drain=60))
            assert await moving == Moving("pb://a:9")
            assert await link.root.callRemote("name") == "other"
            assert clock.elapsed < 5
            office.gate.set()
            assert await running == "a"
            await closing
    assert net.dialled == {A: 1, "pb://a:9": 1}


async def test_a_task_on_a_server_that_drains(net: MemoryNet) -> None:
    """A task whose call is refused there ends silently; the next connection has its own."""
    offices = {each: Office(each) for each in (A, B)}
    servers = {each: net.serve(each, offices[each]) for each in (A, B)}
    link = linked((A, B))
    refused: list[BaseException] = []

    @link.task
    async def work(connection: broker.Connection) -> None:
        try:
            while True:
                await connection.root.callRemote("echo", 1)
                await asyncio.sleep(0.01)
        except BaseException as error:
            refused.append(error)
            raise

    with virtual_clock():
        async with link:
            here = await link.root.callRemote("name")
            running = link.root.callRemote("wait")
            await turns()
            closing = asyncio.create_task(servers[here].close(drain=60))
            await asyncio.sleep(1)
            offices[here].gate.set()
            await running
            await closing
            assert await link.root.callRemote("name") != here
    assert isinstance(refused[0], broker.ServerDraining)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("delay", "slow"), [(0.0, 3), (0.05, 3), (0.05, 0)])
async def test_a_drain_with_two_hundred_links(net: MemoryNet, delay: float, slow: int) -> None:
    """No call fails, and none runs twice, while clients move to and fro.

    With a delay, calls are on their way to a server that says goodbye: it has not run them.
    """
    net.delay = delay
    ran: Counter[int] = Counter()
    failed: list[BaseException] = []
    made = 0
    is_over = False

    class Counting(broker.Avatar):
        """Counts the calls of all servers together."""

        def perspective_count(self, number: int) -> int:
            """Count a call."""
            ran[number] += 1
            return number

        async def perspective_slowly(self, number: int) -> int:
            """Count a call, and answer later."""
            ran[number] += 1
            await asyncio.sleep(0.5)
            return number

    target = Portal(broker.realm(lambda who, mind: Counting()), [AllowAnonymousAccess()])

    async def work(link: Link) -> None:
        nonlocal made
        while not is_over:
            made += 1
            name = "slowly" if slow and made % slow == 0 else "count"
            try:
                await link.avatar.callRemote(name, made)
            except BaseException as error:
                failed.append(error)
                raise
            await asyncio.sleep(0.2)

    with virtual_clock():
        servers = {each: net.serve(each, target) for each in (A, B)}
        links = [linked((A, B), credentials=Anonymous()) for _ in range(200)]
        await asyncio.gather(*(link.__aenter__() for link in links))
        workers = [asyncio.create_task(work(link)) for link in links]
        for number in range(4):
            here = (A, B)[number % 2]
            await asyncio.sleep(2)
            await servers[here].close(drain=60)
            servers[here] = net.serve(here, target)
        is_over = True
        await asyncio.gather(*workers)
        await asyncio.gather(*(link.close() for link in links))
    assert failed == []
    assert made > 2000
    assert set(ran) == set(range(1, made + 1))
    assert max(ran.values()) == 1
