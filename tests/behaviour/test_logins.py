"""Logins: what the realm receives, what the client receives, and when the login ends."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from zope.interface import implementer

import broker
import cred
from broker import pb
from broker.login.client import login

ALICE = cred.UsernamePassword("alice", "secret")


class Member(broker.Avatar):
    """Notes its calls, and its end."""

    def __init__(self, world: World, name: Any, mind: Any):
        self.world = world
        self.name = name
        self.mind = mind

    def perspective_whoami(self) -> Any:
        return self.name

    def perspective_name_of(self, name: str) -> Any:
        return name

    async def perspective_greet(self) -> Any:
        return await self.mind.callRemote("greet", self.name)

    def perspective_raise(self) -> Any:
        raise cred.Unauthorized("members only")

    def logout(self) -> None:
        self.world.logouts.append(self.name)
        self.world.left.set()


class World:
    """A realm of members and guests."""

    def __init__(self) -> None:
        self.logouts: list[Any] = []
        self.requests: list[Any] = []
        self.left = asyncio.Event()
        self.is_full = False
        self.hold: asyncio.Event | None = None
        self.entered = asyncio.Event()
        checkers = [
            cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret", bob="other"),
            cred.AllowAnonymousAccess(),
        ]
        self.portal = cred.Portal(broker.realm(self.avatar), checkers)
        self.members_only = cred.Portal(broker.realm(self.avatar), checkers[:1])

    async def avatar(self, avatar_id: Any, mind: Any) -> Member:
        self.requests.append((avatar_id, mind))
        if self.is_full:
            raise cred.LoginDenied("the world is full")
        name = avatar_id.decode() if isinstance(avatar_id, bytes) else avatar_id or "guest"
        if mind is not None:
            await mind.callRemote("greet", "realm")
        if self.hold is not None:
            self.entered.set()
            await self.hold.wait()
        return Member(self, name, mind)


class Mind(broker.Referenceable):
    """The object that the client gives to the realm."""

    def __init__(self) -> None:
        self.greeted: list[str] = []

    def remote_greet(self, by: str) -> str:
        self.greeted.append(by)
        return f"greeted by {by}"


async def test_password(face: Any) -> None:
    """A password gives access to its user's avatar; the realm is asked once."""
    world = World()
    link = await face.connect(await face.serve(world.portal), ALICE)
    assert await face.outcome(link.reference.callRemote("whoami")) == "alice"
    assert len(world.requests) == 1
    assert (link.far.peer.avatar_id, link.far.peer.mechanism) == ("alice", "password")
    assert link.near.peer.mechanism == "password"


async def test_user_names(face: Any) -> None:
    """Checkers and realms get a user name as text, and published programs get it as bytes."""
    world = World()
    await face.connect(await face.serve(world.portal), ALICE)
    assert world.requests[0][0] == (b"alice" if face.is_published else "alice")


async def test_guest(face: Any) -> None:
    """A login without a name is a guest's login, if guests are allowed."""
    world = World()
    link = await face.connect(await face.serve(world.portal), cred.Anonymous())
    assert await face.outcome(link.reference.callRemote("whoami")) == "guest"
    assert world.requests == [(cred.ANONYMOUS, None)]
    assert (link.far.peer.avatar_id, link.far.peer.mechanism) == (None, "anonymous")


async def test_mind(face: Any) -> None:
    """The realm calls the mind before it has returned the avatar; the avatar calls it later."""
    world = World()
    mind = Mind()
    link = await face.connect(await face.serve(world.portal), ALICE, mind)
    assert mind.greeted == ["realm"]
    assert await face.outcome(link.reference.callRemote("greet")) == "greeted by alice"
    assert mind.greeted == ["realm", "alice"]


@pytest.mark.parametrize(
    "credentials", [cred.UsernamePassword("alice", "wrong"), cred.UsernamePassword("eve", "secret")]
)
async def test_wrong_login(face: Any, credentials: Any) -> None:
    """A wrong password and an unknown user are one error; the realm is not asked."""
    world = World()
    server = await face.serve(world.portal)
    with pytest.raises(cred.UnauthorizedLogin) as caught:
        await face.connect(server, credentials)
    assert str(caught.value) == "wrong user name or password"
    assert world.requests == []


async def test_refused_guest(face: Any) -> None:
    """A guest gets an error that this server does not accept guests."""
    server = await face.serve(World().members_only)
    with pytest.raises(cred.UnhandledCredentials):
        await face.connect(server, cred.Anonymous())


async def test_refused_by_the_realm(face: Any) -> None:
    """An error that the realm raises arrives as its class, with its text."""
    world = World()
    world.is_full = True
    server = await face.serve(world.portal)
    with pytest.raises(cred.LoginDenied, match=r"^the world is full$"):
        await face.connect(server, ALICE)


async def test_errors_of_cred(face: Any) -> None:
    """An avatar may raise the errors of cred, which arrive as their classes."""
    link = await face.connect(await face.serve(World().portal), ALICE)
    error = await face.trapped(link.reference.callRemote("raise"), cred.Unauthorized)
    assert str(error) == "members only"


async def test_logout_on_disconnect(face: Any) -> None:
    """When the client has disconnected, its avatar is logged out, once."""
    world = World()
    link = await face.connect(await face.serve(world.portal), ALICE)
    await link.close()
    gc.collect()
    assert world.logouts == ["alice"]


async def test_logout_on_release(face: Any) -> None:
    """When the client drops the avatar, it is logged out, and not again at the disconnection."""
    world = World()
    link = await face.connect(await face.serve(world.portal), ALICE)
    link.reference = None
    if not face.is_published:
        # connection.avatar lives as long as the connection.
        link.near.avatar = None
    gc.collect()
    await world.left.wait()
    assert (world.logouts, link.near.disconnected) == (["alice"], 0)
    await link.close()
    assert world.logouts == ["alice"]


async def test_gone_before_the_avatar(face: Any) -> None:
    """A client that disconnects while the realm makes its avatar is still logged out, once."""
    world = World()
    world.hold = asyncio.Event()
    server = await face.serve(world.portal)
    login = asyncio.ensure_future(face.connect(server, ALICE))
    await world.entered.wait()
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login


async def test_two_users(face: Any) -> None:
    """Two clients have their own avatars; when one disconnects the other stays logged in."""
    world = World()
    server = await face.serve(world.portal)
    alice = await face.connect(server, ALICE)
    bob = await face.connect(server, cred.UsernamePassword(b"bob", b"other"))
    await alice.close()
    assert await face.outcome(bob.reference.callRemote("whoami")) == "bob"
    assert world.logouts == ["alice"]


async def test_published_realm(face: Any) -> None:
    """A realm in PB's form, with an interface, an avatar and a logout, works as well."""
    logouts: list[Any] = []

    @implementer(cred.IRealm)
    class Realm:
        def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            assert pb.IPerspective in interfaces
            return pb.IPerspective, Member(World(), "published", mind), lambda: logouts.append(1)

    portal = cred.Portal(Realm(), [cred.AllowAnonymousAccess()])
    link = await face.connect(await face.serve(portal), cred.Anonymous())
    assert await face.outcome(link.reference.callRemote("whoami")) == "published"
    await link.close()
    assert logouts == [1]


class Clerk(broker.Avatar):
    """Returns its caller."""

    async def perspective_who(self) -> Any:
        await asyncio.sleep(0)
        return broker.current_call().peer.avatar_id

    def perspective_keeper(self) -> Any:
        return Keeper()


class Keeper(broker.Referenceable):
    """Returns its caller too."""

    async def remote_who(self) -> Any:
        await asyncio.sleep(0)
        return broker.current_call().peer.avatar_id


async def test_two_logins_on_one_connection(face: Any) -> None:
    """A call on an avatar, or on an object from it, belongs to its own user, not the last one."""
    world = World()
    world.portal.realm = broker.realm(lambda avatar_id, mind: Clerk())
    server = await face.serve(world.portal)
    link = await face.connect(server, ALICE)
    keeper = await face.outcome(link.reference.callRemote("keeper"))
    bob = await face.outcome(login(link.near, cred.UsernamePassword("bob", "other")))
    for reference, name in ((link.reference, "alice"), (keeper, "alice"), (bob, "bob")):
        assert await face.outcome(reference.callRemote("who")) == name
    assert link.far.peer.avatar_id == "bob"
