"""broker.realm: a realm that is one function."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import Interface
from zope.interface.verify import verifyObject

import broker
from broker.defer import Deferred, maybeDeferred, succeed
from broker.interfaces import IPerspective
from broker.login.realm import realm
from cred.portal import IRealm


class Avatar(broker.Avatar):
    """Can be logged out."""

    def logout(self) -> str:
        """Say so."""
        return "out"


def requested(made: Any) -> Any:
    """Return the result of the realm of a function that returns this."""
    found = realm(lambda avatar_id, mind: made).requestAvatar("alice", None, IPerspective)
    if isinstance(found, Deferred):
        results: list[Any] = []
        found.addCallback(results.append)
        return results[0]
    return found


async def coroutine(value: Any) -> Any:
    """Return a value."""
    return value


@pytest.mark.parametrize("wrap", [lambda value: value, succeed, coroutine])
def test_the_avatar_and_its_logout(wrap: Any) -> None:
    """The function may be plain or async; the logout is that of the avatar."""
    avatar = Avatar()
    interface, made, logout = requested(wrap(avatar))
    assert (interface, made) == (IPerspective, avatar)
    assert logout() == "out"
    assert logout() is None


def test_an_avatar_without_a_logout() -> None:
    """The logout of an avatar that has none does nothing."""
    _, _, logout = requested(broker.Avatar())
    assert logout() is None


def test_what_the_function_gets() -> None:
    """The function gets the avatar id and the mind, as they are."""
    seen: list[Any] = []
    mind = object()
    realm(lambda *args: seen.append(args)).requestAvatar(b"alice", mind, IPerspective)
    assert seen == [(b"alice", mind)]


class IGuest(Interface):  # type: ignore[misc]
    """Of another front end."""


@pytest.mark.parametrize("wrap", [lambda value: value, succeed, coroutine])
def test_a_table(wrap: Any) -> None:
    """Each interface has a function of its own, plain or async, with a mind or without; the first
    of the requested ones that is in the table counts.
    """
    avatar, guest = Avatar(), Avatar()
    seen: list[Any] = []

    def make_guest(avatar_id: Any) -> Any:
        seen.append(avatar_id)
        return wrap(guest)

    made = realm({IPerspective: lambda avatar_id, mind: wrap(avatar), IGuest: make_guest})
    for interfaces, wanted in (
        ((IGuest,), (IGuest, guest)),
        ((IPerspective,), (IPerspective, avatar)),
        ((Interface, IGuest, IPerspective), (IGuest, guest)),
    ):
        results: list[Any] = []
        maybeDeferred(made.requestAvatar, "alice", None, *interfaces).addCallback(results.append)
        interface, found, logout = results[0]
        assert (interface, found) == wanted
        assert (logout(), logout()) == ("out", None)
    assert seen == ["alice", "alice"]
    with pytest.raises(NotImplementedError, match=r"makes avatars for IPerspective, IGuest$"):
        made.requestAvatar("alice", None, Interface)


def test_a_table_is_copied() -> None:
    """A change of the mapping does not change the realm; an empty one is refused."""
    table: dict[Any, Any] = {IGuest: lambda avatar_id: None}
    made = realm(table)
    table.clear()
    assert made.requestAvatar("alice", None, IGuest)[0] is IGuest  # type: ignore[index]
    with pytest.raises(broker.ConfigError, match=r"^a realm without interfaces"):
        realm(table)


@pytest.mark.parametrize(
    "function", [lambda: None, lambda a, b, c: None, lambda a, *, mind: None, 5, None]
)
def test_functions_that_are_refused(function: Any) -> None:
    """A function that cannot be called with an avatar id is refused when the realm is made."""
    with pytest.raises(broker.WrongType, match=r"^realm takes a function of avatar id and mind"):
        realm({IGuest: function})


def test_other_interfaces() -> None:
    """A realm of a function makes avatars for IPerspective only."""
    made = realm(lambda avatar_id, mind: broker.Avatar())
    with pytest.raises(NotImplementedError, match="IPerspective"):
        made.requestAvatar("alice", None)
    assert verifyObject(IRealm, made)


def test_what_is_no_function() -> None:
    """Something else than a function is refused when the realm is made."""
    given: Any = 5
    with pytest.raises(broker.WrongType, match=r"^realm takes a function .* not int$"):
        realm(given)
