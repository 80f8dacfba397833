"""broker.authorisation: a method that members of certain groups may call."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import BrokerPair
from support.ways_in import WaysIn
from twisted.spread import pb as twisted_pb

import broker
import cred
from broker.flavors.referenceable import Root
from broker.flavors.viewable import Viewable


class Desk(broker.Avatar):
    """Has methods for everybody, for some, and for nobody."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def perspective_read(self) -> str:
        """For everybody."""
        return "read"

    @broker.allow("admin", "owner")
    def perspective_dismiss(self, name: str) -> str:
        """For two groups."""
        self.called.append("dismiss")
        return f"dismissed {name}"

    @broker.allow("admin")
    async def perspective_later(self) -> str:
        """For one, async."""
        self.called.append("later")
        return "later"

    @broker.allow()
    def perspective_never(self) -> None:
        """For nobody."""

    def perspective_inside(self) -> str:
        """Call another as any code does."""
        return self.perspective_dismiss("eve")

    def perspective_chair(self) -> Any:
        """Return what is seen through this perspective."""
        return Chair()


class Chair(Viewable):
    """An object with a view of its own for each perspective."""

    @broker.allow("admin")
    def view_sit(self, perspective: Any) -> str:
        """For admins."""
        return "seated"


class Open(Desk):
    """Makes a method anew, without a condition."""

    def perspective_dismiss(self, name: str) -> str:
        """For everybody now."""
        return "open"


class Heir(Desk):
    """Changes nothing."""


def room_of(avatar: broker.Avatar, credentials: Any) -> tuple[WaysIn, Any]:
    """Log in to an avatar; Token("good") is an admin's."""
    room = WaysIn()
    room.portal.realm = broker.realm(lambda avatar_id, mind: avatar)
    return room, room.log_in(credentials)


ADMIN, GUEST = cred.Token("good"), cred.Anonymous()


@pytest.mark.parametrize("desk", [Desk, Heir])
def test_members(desk: Any) -> None:
    """A member of one of the groups may call, plain and async, also what a class has inherited."""
    room, avatar = room_of(desk(), ADMIN)
    assert room.get(avatar.callRemote("dismiss", "eve")) == "dismissed eve"
    assert room.get(avatar.callRemote("later")) == "later"
    chair = room.get(avatar.callRemote("chair"))
    assert room.get(chair.callRemote("sit")) == "seated"


@pytest.mark.parametrize("name", ["dismiss", "later", "never"])
@pytest.mark.parametrize("desk", [Desk, Heir])
def test_others(desk: Any, name: str) -> None:
    """Anybody else is told which method, not whose it is; the method does not begin."""
    made = desk()
    room, avatar = room_of(made, GUEST)
    failure = room.get(avatar.callRemote(name, *["eve"][: name == "dismiss"]))
    assert failure.check(cred.Unauthorized)
    assert failure.getErrorMessage() == f"you may not call '{name}'"
    assert made.called == []
    chair = room.get(avatar.callRemote("chair"))
    assert room.get(chair.callRemote("sit")).getErrorMessage() == "you may not call 'sit'"


class Hooked(Desk):
    """Sees each message before it is handled."""

    def perspectiveMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Pass it on (published)."""
        return super().perspectiveMessageReceived(broker, message, args, kw)


class HookedRoot(Root):
    """The same for a root, which has its published hook too."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Pass it on (published)."""
        return super().remoteMessageReceived(broker, message, args, kw)

    @broker.allow("admin")
    def remote_secret(self) -> str:
        """For admins."""
        return "secret"


def test_published_hooks() -> None:
    """Who overrides a published hook, and passes the message on, has passed on the condition."""
    made = Hooked()
    room, avatar = room_of(made, GUEST)
    assert room.get(avatar.callRemote("dismiss", "eve")).check(cred.Unauthorized)
    assert made.called == []
    pair = BrokerPair(HookedRoot())
    failure = pair.call("secret")
    assert failure.getErrorMessage() == "you may not call 'secret'"


class TwistedDesk(twisted_pb.Avatar):  # type: ignore[misc]
    """An avatar whose class has not been moved, but for the decorator."""

    @broker.allow("admin")
    def perspective_dismiss(self, name: str) -> str:
        """For admins."""
        return f"dismissed {name}"

    def perspective_things(self) -> list[Any]:
        """Return a reference and a view of Twisted's."""
        return [TwistedSafe(), TwistedChair()]


class TwistedSafe(twisted_pb.Referenceable):  # type: ignore[misc]
    """A reference of Twisted's."""

    @broker.allow("admin")
    def remote_open(self) -> str:
        """For admins."""
        return "open"


class TwistedChair(twisted_pb.Viewable):  # type: ignore[misc]
    """A view of Twisted's."""

    @broker.allow("admin")
    def view_sit(self, perspective: Any) -> str:
        """For admins."""
        return "seated"


@pytest.mark.parametrize("user", [ADMIN, GUEST])
def test_flavors_of_twisteds(user: Any) -> None:
    """A condition is set on the method, whoever's flavor looks for it."""
    room, avatar = room_of(TwistedDesk(), user)
    safe, chair = room.get(avatar.callRemote("things"))
    outcomes = [
        room.get(avatar.callRemote("dismiss", "eve")),
        room.get(safe.callRemote("open")),
        room.get(chair.callRemote("sit")),
    ]
    if user is ADMIN:
        assert outcomes == ["dismissed eve", "open", "seated"]
    else:
        assert all(outcome.check(cred.Unauthorized) for outcome in outcomes)


def test_before_the_arguments() -> None:
    """Who may not call learns nothing about what the method takes."""
    room, avatar = room_of(Desk(), GUEST)
    assert room.get(avatar.callRemote("dismiss")).check(cred.Unauthorized)


def test_what_has_no_condition() -> None:
    """The others are for everybody; one that overrides a method is what its class says it is."""
    room, avatar = room_of(Open(), GUEST)
    assert room.get(avatar.callRemote("read")) == "read"
    assert room.get(avatar.callRemote("dismiss", "eve")) == "open"


def test_calls_of_ones_own() -> None:
    """The condition binds peers: the application calls its own methods as it likes."""
    room, avatar = room_of(Desk(), GUEST)
    assert room.get(avatar.callRemote("inside")) == "dismissed eve"


class Guarded(Root):
    """A root with a method that wants a group."""

    @broker.allow("admin")
    def remote_secret(self) -> str:
        """For admins, whom a server without login does not know."""
        return "secret"


def test_without_a_login() -> None:
    """Who has not logged in is in no group."""
    assert BrokerPair(Guarded()).call("secret").check(cred.Unauthorized)


def test_one_object_for_two_peers() -> None:
    """It is the caller that is looked at, not the avatar: one may be shared."""
    shared = Desk()
    admin_room, admin = room_of(shared, ADMIN)
    guest_room, guest = room_of(shared, GUEST)
    assert guest_room.get(guest.callRemote("dismiss", "x")).check(cred.Unauthorized)
    assert admin_room.get(admin.callRemote("dismiss", "x")) == "dismissed x"
    assert guest_room.get(guest.callRemote("dismiss", "x")).check(cred.Unauthorized)


def test_without_parentheses() -> None:
    """A decorator that was written without groups is found when the class is made."""
    wrong: Any = broker.allow
    with pytest.raises(TypeError, match=r"^allow takes the names of groups, not function$"):

        class Wrong(broker.Avatar):
            @wrong
            def perspective_x(self) -> None:
                """Do nothing."""
