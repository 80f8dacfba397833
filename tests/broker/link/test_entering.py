"""Recipes behind a login: the first of them leave with it, on the promise of the avatar."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.linked import A, Office, linked, turns
from support.memory_net import POLICY, MemoryNet, memory_net
from support.ways_in import ScramUsers

import broker
import cred
from broker.link import Connected, Lost
from broker.link.kept import MOST_BEHIND_LOGIN
from broker.login.context import ClientContext
from broker.testing.clock import virtual_clock
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.error import UnauthorizedLogin
from cred.portal import Portal

ALICE = cred.UsernamePassword("alice", "secret")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test; bytes travel one second."""
    made = memory_net(monkeypatch)
    made.delay = 1.0
    return made


def portal(office: Office, *checkers: Any) -> Portal:
    """A portal with one user and guests; each avatar has the methods of an office."""

    class Avatar(broker.Avatar):
        """Passes calls on."""

        def perspective_room(self, name: str, *others: Any) -> Any:
            """Return a room."""
            return office.remote_room(name, *others)

        def perspective_echo(self, value: Any) -> Any:
            """Return what came."""
            return office.remote_echo(value)

    users = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    return Portal(
        broker.realm(lambda who, mind: Avatar()), checkers or [users, cred.AllowAnonymousAccess()]
    )


async def seconds(clock: Any, call: Any) -> float:
    """Return how long a call takes."""
    began: float = clock.elapsed
    await call
    return float(clock.elapsed - began)


async def awaited(recipe: Any) -> Any:
    """Await a recipe."""
    return await recipe


@pytest.mark.parametrize("credentials", [ALICE, cred.Anonymous()])
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_one_flight(net: MemoryNet, credentials: Any, dialect: str) -> None:
    """The first recipes are there with the avatar, the others one round trip later."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, portal(office), policy)
    link = linked(credentials=credentials, policy=policy)
    rooms = [link.avatar.recipe("room", str(number)) for number in range(100)]
    with virtual_clock() as clock:
        async with link:
            for _ in range(2):
                now = 0.0 if dialect == "msgpack/1" else 2.0
                for room in rooms[:MOST_BEHIND_LOGIN]:
                    assert await seconds(clock, awaited(room)) == pytest.approx(now, abs=0.01)
                    now = 0.0
                left = 2.0 if dialect == "msgpack/1" else 0.0
                assert await seconds(clock, awaited(rooms[-1])) == pytest.approx(left, abs=0.01)
                assert [line for line in office.log if "room" in line] == [
                    f"room {number}" for number in range(100)
                ]
                assert await rooms[0].callRemote("say", "hi") == "0: hi"
                assert await rooms[9].callRemote("say", "hi") == "9: hi"
                office.log.clear()
                before = link.connection
                net.cut(A)
                async for state in link.states():
                    if isinstance(state, Connected) and state.connection is not before:
                        break


def second_of(link: Any, first: Any, what: str) -> Any:
    """Make the recipe behind the first one."""
    if what == "inner":
        return first.recipe("inner", "i")
    if what == "function":
        return link.recipe(lambda avatar: avatar.callRemote("room", "two"))
    if what == "keyword":
        return link.avatar.recipe("room", name="two")
    return link.avatar.recipe("room", "two", [1] if what == "list" else "x" * 1000)


@pytest.mark.parametrize("what", ["list", "keyword", "long", "inner", "function"])
async def test_what_is_not_sent_before_a_login(net: MemoryNet, what: str) -> None:
    """Arguments that are no single values, recipes of recipes, functions, and all behind these."""
    net.serve(A, portal(Office()))
    link = linked(credentials=ALICE)
    one = link.avatar.recipe("room", "one")
    two = second_of(link, one, what)
    three = link.avatar.recipe("room", "three")
    with virtual_clock() as clock:
        async with link:
            assert await seconds(clock, awaited(one)) == pytest.approx(0.0, abs=0.01)
            assert await seconds(clock, awaited(three)) == pytest.approx(2.0, abs=0.01)
            assert await two is two


async def test_a_refused_login(net: MemoryNet) -> None:
    """No recipe was made; the error is that of the login."""
    office = Office()
    net.serve(A, portal(office))
    link = linked(credentials=cred.UsernamePassword("alice", "guess"))
    room = link.avatar.recipe("room", "x")
    waiting = room.callRemote("say", "hi")
    with virtual_clock():
        with pytest.raises(UnauthorizedLogin):
            async with link:
                raise AssertionError("it was refused")
        with pytest.raises(UnauthorizedLogin):
            await waiting
        await turns()
    assert office.log == []


@pytest.mark.parametrize("calls", [1, 2])
async def test_a_server_that_takes_fewer_calls(net: MemoryNet, calls: int) -> None:
    """A recipe that was refused before the login is made again after it."""
    office = Office()
    net.serve(A, portal(office), POLICY.but(login_calls=calls))
    link = linked(credentials=ALICE)
    rooms = [link.avatar.recipe("room", str(number)) for number in range(5)]
    with virtual_clock():
        async with link:
            for number, room in enumerate(rooms):
                assert await room.callRemote("say", "hi") == f"{number}: hi"


@pytest.mark.parametrize("is_of_server", [False, True])
async def test_scram(net: MemoryNet, is_of_server: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind SCRAM, only if nobody can stand in for the server, which has not proved itself yet."""
    monkeypatch.setattr(ClientContext, "is_of_server", is_of_server)
    office = Office()
    net.serve(A, portal(office, ScramUsers(alice="secret")))
    link = linked(credentials=ALICE)
    room = link.avatar.recipe("room", "x")
    with virtual_clock() as clock:
        async with link:
            took = await seconds(clock, awaited(room))
            assert link.connection is not None
            assert link.connection.broker.peer.mechanism == "SCRAM-SHA-256"
            assert took == pytest.approx(0.0 if is_of_server else 2.0, abs=0.01)


async def test_a_loss_after_a_drain_is_told() -> None:
    """A server that has drained and is gone is told as Lost, as long as there is no other."""
    server = await broker.serve(portal(Office()), "pb://127.0.0.1:0")
    link = broker.Link(server.addresses[0], cred.Anonymous())
    states = link.states()
    async with link:
        assert await link.avatar.callRemote("echo", 5) == 5
        await server.close()
        async with asyncio.timeout(10):
            async for state in states:
                if isinstance(state, Lost):
                    break
        assert isinstance(state.reason, broker.PBConnectionLost)
