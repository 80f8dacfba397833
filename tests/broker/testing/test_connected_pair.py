"""A pair: two real ends over a network in memory, with a login that needs no password."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import pytest
from support.club import DIALECTS, Club, Member, Thing, club_portal

import broker
from broker import pb
from broker.login.client import Login
from broker.testing.connected_pair import pair
from broker.testing.login import AS_USER, TABLE
from broker.testing.loop import SimulatedLoop
from cred.credentials import UsernamePassword
from cred.error import LoginFailed, UnauthorizedLogin
from jelly.security import SecurityOptions


@pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["strict", "published"])
@pytest.mark.parametrize("dialect", [*DIALECTS, "none"])
async def test_a_root(dialect: str, policy: broker.Policy) -> None:
    """Both ends are those of `connect` and `serve`, in the given dialect and policy."""
    async with pair(Club(), dialect=dialect, policy=policy) as made:
        assert await made.client.root.callRemote("echo", (1, "a"), key=b"b") == [(1, "a"), b"b"]
        assert made.client.dialect == made.server.dialect == dialect
        assert made.server.stats.calls_received == 1
    assert made.client.is_closed
    assert made.server.is_closed


async def test_the_logins_of_several_front_ends() -> None:
    """A PortalLogins is served as its portal is: with credentials, or for a user."""
    logins = broker.PortalLogins(club_portal([]))
    async with pair(logins, user="bob", groups={"x"}) as made:
        assert made.client.avatar is not None
    with pytest.raises(TypeError, match="a portal asks for a login"):
        pair(logins)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_user_needs_no_password(dialect: str) -> None:
    """The realm is asked for the user, checkers are not; the groups are those of the caller."""
    members: list[Member] = []
    made = pair(club_portal(members), user="bob", groups={"admins", "x"}, dialect=dialect)
    async with made as connected:
        avatar = connected.client.avatar
        assert await avatar.callRemote("whoami") == ["bob", ["admins", "x"], "test"]
        assert await avatar.callRemote("delete", 3) == 3
        assert members[0].name == "bob"
        assert connected.server.peer.avatar_id == "bob"
    assert members[0].logouts == 1


async def test_a_user_as_bytes() -> None:
    """The realm of a published program gets bytes, if that is how the test gives the name."""
    members: list[Member] = []
    async with pair(club_portal(members), user=b"bob", policy=broker.PUBLISHED):
        assert members[0].name == b"bob"
    async with pair(club_portal(members), user=b"bob"):
        assert members[1].name == "bob"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_credentials_go_through_the_checkers(dialect: str) -> None:
    """Right ones log in; wrong ones fail as over a socket."""
    portal = club_portal()
    right, wrong = UsernamePassword("alice", "secret"), UsernamePassword("alice", "guess")
    async with pair(portal, credentials=right, dialect=dialect) as made:
        whoami = await made.client.avatar.callRemote("whoami")
        assert whoami[0] == "alice"
        assert whoami[2] != "test"
    with pytest.raises(UnauthorizedLogin):
        await pair(portal, credentials=wrong, dialect=dialect)


async def test_a_served_portal_has_no_such_login() -> None:
    """The login of a test is refused by a server that is not that of a pair with a user."""
    async with broker.serve(club_portal(), "pb://127.0.0.1:0") as server:
        made = broker.connect(server.addresses[0])
        made._login = Login(AS_USER, None, TABLE)
        with pytest.raises(LoginFailed, match="this server takes"):
            await made


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_mind(dialect: str) -> None:
    """The server calls the client back by the mind, which is not a leak."""
    async with pair(club_portal(), user="bob", mind=Thing(), dialect=dialect) as made:
        assert await made.client.avatar.callRemote("call_back") == "pong"
        await made.settled()
        assert made.leaks() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"user": "a", "credentials": UsernamePassword("a", "b")}, "not both"),
        ({}, "a portal asks for a login"),
        ({"groups": {"x"}, "credentials": UsernamePassword("a", "b")}, "which is not given"),
        ({"user": 5}, "user= is a str or bytes, not int"),
        ({"user": "a", "groups": "admins"}, "several names"),
    ],
)
def test_misuse_of_a_portal(options: dict[str, Any], text: str) -> None:
    """Arguments that do not fit each other are refused at once, and not in the login."""
    with pytest.raises(TypeError, match=text):
        pair(club_portal(), **options)


def test_misuse_of_a_root() -> None:
    """A root takes no login; other objects, dialects and policies are refused."""
    with pytest.raises(TypeError, match="for a Portal, not for a Root"):
        pair(Club(), user="alice")
    with pytest.raises(TypeError, match="a Root or a Portal"):
        pair(object())
    with pytest.raises(broker.ConfigError, match="no dialect 'xml'"):
        pair(Club(), dialect="xml")
    with pytest.raises(TypeError, match="policy="):
        pair(Club(), policy={})  # type: ignore[arg-type]


def test_a_pair_that_is_never_awaited() -> None:
    """It causes a warning, as a coroutine does."""
    with pytest.warns(RuntimeWarning, match=r"pair\(Club\) was never awaited"):
        pair(Club())
        gc.collect()


async def test_faults_of_the_network() -> None:
    """A cut ends both ends; a call that waits fails as lost, and one made later as not run."""
    async with pair(Club()) as made:
        waits = made.client.root.callRemote("wait")
        await made.settled()
        made.network.cut()
        with pytest.raises(broker.PBConnectionLost) as seen:
            await waits
        assert seen.value.may_have_run
        await made.server.wait_closed()
        with pytest.raises(broker.DeadReferenceError):
            made.client.root.callRemote("echo")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stall_of_one_direction(dialect: str) -> None:
    """The other direction flows; all bytes arrive after it is resumed."""
    club = Club()
    async with pair(club, dialect=dialect) as made:
        made.network.stall("to_client")
        answer = made.client.root.callRemote("pay", 5)
        while not club.total:
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"network\.resume\(\)"):
            await made.settled()
        assert not answer.called
        made.network.resume()
        assert await answer == 5


async def test_settled_waits_for_late_bytes() -> None:
    """Bytes that are delayed or slow have arrived when `settled` returns."""
    club = Club()
    async with pair(club) as made:
        made.network.delay = 0.02
        made.network.rate = 100_000
        made.client.root.send("pay", 5)
        await made.settled()
        assert club.total == 5


async def test_settled_waits_for_tasks_that_answers_wake() -> None:
    """A task that makes one call after the other has made all of them."""
    club = Club()
    async with pair(club) as made:

        async def pay() -> None:
            for _ in range(20):
                await made.client.root.callRemote("pay", 1)

        paying = asyncio.create_task(pay())
        await asyncio.sleep(0)
        await made.settled()
        assert club.total == 20
        await paying


async def test_the_end_of_the_block_ends_faults_and_methods() -> None:
    """A pair that is stalled and has a running method closes at once, and leaves no task."""
    club = Club()
    async with pair(club) as made:
        waits = made.client.root.callRemote("wait")
        waits.addErrback(lambda failure: None)
        await made.settled()
        made.network.stall()
    assert made.server.is_closed
    assert made.leaks() == []


async def test_a_block_that_raises() -> None:
    """Its error passes; both ends are closed."""
    with pytest.raises(KeyError):
        async with pair(Club()) as made:
            raise KeyError("x")
    assert made.client.is_closed
    assert made.server.is_closed


async def test_awaited() -> None:
    """Without a block, `close` ends both ends; a second call does nothing."""
    made = await pair(Club())
    assert "msgpack/1" in repr(made)
    await made.close()
    await made.close()
    assert made.client.is_closed


async def test_in_each_loop(each_loop: Any) -> None:
    """A pair works in each kind of loop."""
    async with pair(Club()) as made:
        assert await made.client.root.callRemote("echo", "a") == "a"


def test_in_the_simulated_loop() -> None:
    """And in the loop of the simulation, where a stall of an hour takes no time."""

    async def scenario() -> float:
        async with pair(Club()) as made:
            return float(await made.client.root.callRemote("sleep", 30))

    loop = SimulatedLoop(random.Random(1))
    try:
        assert loop.run_until_complete(scenario()) == pytest.approx(30, abs=0.01)
    finally:
        loop.close()


# The published face.


@pytest.mark.parametrize("dialect", [*DIALECTS, "none"])
async def test_factories_with_a_root(dialect: str) -> None:
    """The ends are those of a PBClientFactory and a PBServerFactory, in the given dialect."""
    async with pair(Club(), face="published", dialect=dialect) as made:
        root = await made.ends.client_factory.getRootObject()
        assert await root.callRemote("echo", "a") == "a"
        assert made.client.dialect == made.server.dialect == dialect
        assert type(made.ends.server_factory) is pb.PBServerFactory
        assert made.client.broker.policy.dynamic_methods
        del root
        await made.settled()
        assert made.leaks() == []
    assert made.client.is_closed
    assert made.server.is_closed


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_factories_with_a_login(dialect: str) -> None:
    """A user needs no password there, either; credentials go through the checkers."""
    members: list[Member] = []
    options: dict[str, Any] = {"face": "published", "dialect": dialect}
    portal = club_portal(members)
    async with pair(portal, user="bob", groups={"admins"}, mind=Thing(), **options) as made:
        assert await made.client.avatar.callRemote("delete", 3) == 3
        assert await made.client.avatar.callRemote("call_back") == "pong"
        await made.settled()
        assert made.leaks() == []
    right, wrong = UsernamePassword(b"alice", b"secret"), UsernamePassword(b"alice", b"guess")
    async with pair(portal, credentials=right, **options) as made:
        assert (await made.client.avatar.callRemote("whoami"))[0] == "alice"
    with pytest.raises(UnauthorizedLogin):
        await pair(portal, credentials=wrong, **options)
    assert [member.logouts for member in members] == [1, 1]


async def test_a_factory_of_the_program() -> None:
    """The target may be a PBServerFactory, whose protocol and hooks are used."""
    made_connections: list[Any] = []

    class Factory(pb.PBServerFactory):
        """Counts."""

        def clientConnectionMade(self, protocol: Any) -> None:
            """Note a connection."""
            made_connections.append(protocol)

    club = Club()
    factory = Factory(club)
    async with pair(factory, face="published") as made:
        assert made.ends.server_factory is factory
        assert made_connections == [made.server.broker]
        waits = made.client.root.callRemote("wait")
        await made.settled()
        made.network.cut()
        with pytest.raises(broker.PBConnectionLost):
            await waits
        # The factory of the client was told of the end.
        assert made.ends.client_factory._root is None
        # The published policy lets methods run on.
        assert [leak.kind for leak in made.leaks()] == ["task"]
        club.gate.set()
    assert factory.protocol is broker.Broker


async def test_a_factory_with_a_login() -> None:
    """A factory of a portal takes credentials; its security options and its protocol are used."""

    class Mine(pb.Broker):
        """The protocol of the program."""

    options = SecurityOptions()
    options.allowBasicTypes()
    factory = pb.PBServerFactory(club_portal(), security=options)
    factory.protocol = Mine
    alice = UsernamePassword("alice", "secret")
    async with pair(factory, credentials=alice, face="published") as made:
        assert (await made.client.avatar.callRemote("whoami"))[0] == "alice"
        assert type(made.server.broker) is Mine
        assert made.server.broker.security is options
    assert factory.protocol is Mine


def test_there_is_no_other_face() -> None:
    """Other faces are refused, and a factory is not a target of the asyncio face."""
    with pytest.raises(ValueError, match="no face 'sync'"):
        pair(Club(), face="sync")
    with pytest.raises(TypeError):
        pair(pb.PBServerFactory(Club()))
