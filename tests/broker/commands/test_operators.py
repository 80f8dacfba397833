"""What ``pb serve --manhole`` adds to the avatars of a server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

import pytest

import broker
from broker.commands.operators import GROUP, Operators, address_in_process
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import Unauthorized
from cred.identity import Identity
from cred.portal import Portal


class Desk(broker.Avatar):
    """An avatar."""

    def __init__(self, name: str):
        self.name = name

    def perspective_who(self) -> str:
        """Return the name."""
        return self.name


class OwnManhole(Desk):
    """An avatar that has the method already."""

    def perspective_manhole(self) -> str:
        """Return something of its own."""
        return "own"


class Counter(broker.Referenceable):
    """An avatar without perspective."""

    def remote_who(self) -> str:
        """Return a text."""
        return "counter"


class Office(Protocol):
    """A contract."""

    async def who(self) -> str:
        """Return the name."""
        ...


class Clerk:
    """Fulfils it."""

    async def who(self) -> str:
        """Return the name."""
        return "clerk"


class Fixed(Desk):
    """An avatar whose class cannot be changed."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "__class__":
            raise TypeError("__class__ assignment: layout differs")
        super().__setattr__(name, value)


class Checker(InMemoryUsernamePasswordDatabaseDontUse):
    """The user boss is in the group of operators."""

    async def requestAvatarId(self, credentials: Any) -> Any:
        """Return name and groups."""
        name = await super().requestAvatarId(credentials)
        text = name.decode() if isinstance(name, bytes) else str(name)
        return Identity(text, groups=frozenset({GROUP} if text == "boss" else ()))


def portal_of(avatar: Any) -> Portal:
    """Return a portal with two users, all with this avatar."""
    return Portal(broker.realm(lambda name, mind: avatar), [Checker(boss="b", alice="a")])


async def asked(portal: Portal, user: str, *names: str) -> list[Any]:
    """Return the answers of some methods to a user; of errors, the classes."""
    operators = Operators()
    operators.equip(portal)
    found: list[Any] = []
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        operators.server = server
        credentials = UsernamePassword(user, user[0])
        async with broker.connect(server.addresses[0], credentials) as connection:
            for name in names:
                try:
                    found.append(await connection.avatar.callRemote(name))
                except Exception as error:
                    found.append(type(error))
    return found


@pytest.mark.parametrize("avatar", [Desk("d"), Counter()])
async def test_the_methods(avatar: Any) -> None:
    """Members of the group get the manhole and the inspector, others are refused."""
    who, manhole, inspector = await asked(portal_of(avatar), "boss", "who", "manhole", "inspector")
    assert isinstance(who, str)
    assert isinstance(manhole, broker.RemoteReference)
    assert isinstance(inspector, broker.RemoteReference)
    assert isinstance(avatar, Desk | Counter)
    assert type(avatar).__qualname__ in ("Desk", "Counter")
    refused = await asked(portal_of(avatar), "alice", "who", "manhole", "inspector")
    assert refused == [who, Unauthorized, Unauthorized]


async def test_the_names(tmp_path: Path) -> None:
    """They are those at the socket of ``--admin``: the server, and what it serves."""
    portal, operators = portal_of(Desk("d")), Operators()
    operators.equip(portal)
    async with broker.serve(portal, f"pb+unix://{tmp_path}/s") as operators.server:
        address = operators.server.addresses[0]
        async with broker.connect(address, UsernamePassword("boss", "b")) as connection:
            manhole = await connection.avatar.callRemote("manhole")
            line = "type(root).__name__, len(server.connections)"
            assert await manhole.callRemote("run", line) == ("done", "('Portal', 1)\n")


async def test_what_stays() -> None:
    """A method of the program stays, and an object with a contract has the methods of it only."""
    assert await asked(portal_of(OwnManhole("d")), "alice", "manhole") == ["own"]
    servant = broker.servant(Office)(Clerk())
    before = type(servant)
    found = await asked(portal_of(servant), "boss", "who", "manhole")
    assert found == ["clerk", broker.NoSuchMethod]
    assert type(servant) is before


async def test_a_class_that_stays(caplog: pytest.LogCaptureFixture) -> None:
    """An avatar whose class cannot be changed is served as it is; one WARNING says so."""
    caplog.set_level(logging.WARNING, "broker.server")
    operators = Operators()
    for name in ("a", "b"):
        operators.with_methods(Fixed(name))
    assert [each.getMessage() for each in caplog.records] == [
        "avatars of type Fixed get no manhole"
    ]


def test_a_root_without_logins() -> None:
    """It stays as it is: nobody is in a group."""
    root = broker.Root()
    Operators().equip(root)
    assert type(root) is broker.Root


def test_addresses() -> None:
    """Each process has its own socket."""
    assert address_in_process("pb+unix:///a", 2) == "pb+unix:///a.2"
