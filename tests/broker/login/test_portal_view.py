"""broker.login.portal_view: a portal that overrides login is asked through it, and not changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.ways_in import Avatar, WaysIn
from zope.interface import implementer

import cred
from broker.defer import Deferred, succeed
from broker.interfaces import IPerspective
from broker.login.portal_view import PortalView, overrides_login
from cred.checkers import ICredentialsChecker
from cred.error import LoginDenied
from cred.interfaces import IUsernamePassword
from cred.portal import IRealm, LoginResult, Portal

ALICE = cred.UsernamePassword("alice", "secret")


class Counting(Portal):
    """Counts its logins, and leaves them to `Portal.login`."""

    count = 0

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Deferred[LoginResult]:
        """Count."""
        self.count += 1
        return super().login(credentials, mind, *interfaces)


class Naming(Portal):
    """Asks its realm itself, for a user that it names by the kind of credentials."""

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Any:
        """Let everybody in."""
        return self.realm.requestAvatar(type(credentials).__name__, mind, *interfaces)


class Stepping(Portal):
    """Does each of the two steps in its own way."""

    def check(self, credentials: object) -> Any:
        """Ask the checker, and take note."""
        return super().check(credentials).addCallback(lambda name: name + b" again")

    def request_avatar(self, avatar_id: Any, mind: object, *interfaces: Any) -> Any:
        """Ask the realm for another name."""
        return super().request_avatar(avatar_id.upper(), mind, *interfaces)


class Lone(Portal):
    """Makes its avatars without a realm."""

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Any:
        """Let everybody in."""
        return succeed((IPerspective, Avatar("lone", mind), lambda: None))


class Refusing(Portal):
    """Lets nobody in."""

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Any:
        """Refuse."""
        raise LoginDenied("closed")


class Alike:
    """An object with what a server asks of a portal, which is no Portal."""

    throttle = None

    def __init__(self, realm: Any, checkers: Any):
        self.realm = realm
        self.checkers = {IUsernamePassword: checkers[-1]}

    def login(self, credentials: Any, mind: object, *interfaces: Any) -> Any:
        """Ask the realm for the user name."""
        return self.realm.requestAvatar(credentials.username, mind, *interfaces)


def room_with(kind: Callable[..., Any]) -> tuple[WaysIn, Any]:
    """Return a server whose portal is of this kind, and the portal."""
    room = WaysIn()
    given = room.portal
    checkers = dict.fromkeys(given.checkers.values())
    portal = room.login_root.portal = kind(given.realm, list(checkers))
    return room, portal


def whoami(room: WaysIn, avatar: Any) -> Any:
    """Return the name of the avatar's user."""
    return room.get(avatar.callRemote("whoami"))


def log_in(room: WaysIn) -> Any:
    """Log in with the password in clear."""
    return room.call("loginPassword", b"alice", b"secret", None)


@pytest.mark.parametrize(
    ("kind", "name", "avatar_id"),
    [
        (Portal, "alice", "alice"),
        (Counting, "alice", "alice"),
        (Naming, "UsernamePassword", "UsernamePassword"),
        (Lone, "lone", None),
        (Stepping, "ALICE AGAIN", "alice again"),
        (Alike, "alice", "alice"),
    ],
)
def test_each_portal_logs_in(kind: Any, name: str, avatar_id: str | None) -> None:
    """The gate opens, the avatar can be called, and the peer has the avatar id, if it is told."""
    room, _ = room_with(kind)
    avatar = log_in(room)
    assert whoami(room, avatar) == name
    assert room.server.peer.avatar_id == avatar_id
    assert room.server.peer.mechanism == "password"
    assert room.server.session.gate is None


@pytest.mark.parametrize("kind", [Portal, Counting, Naming, Lone, Alike])
def test_the_portal_is_not_changed(kind: Any) -> None:
    """After a login the portal has the attributes that it had, but what its own code has set."""
    room, portal = room_with(kind)
    before = dict(vars(portal))
    log_in(room)
    after = dict(vars(portal))
    assert after.pop("count", 1) == 1
    assert after == before
    assert after["realm"] is before["realm"]


def test_the_portal_keeps_what_its_login_sets() -> None:
    """What ``login`` sets on ``self`` is set on the portal, by each of its logins."""
    room, portal = room_with(Counting)
    log_in(room)
    log_in(room)
    assert portal.count == 2


def test_a_portal_that_refuses() -> None:
    """A login that a portal refuses fails with its error, and the gate stays shut."""
    room, _ = room_with(Refusing)
    failure = log_in(room)
    assert failure.check(LoginDenied)
    assert failure.getErrorMessage() == "closed"
    assert room.server.session.gate is not None


def test_a_wrong_password_of_a_portal_with_its_own_login() -> None:
    """The checker's refusal reaches the peer through ``super().login``."""
    room, portal = room_with(Counting)
    failure = room.call("loginPassword", b"alice", b"guess", None)
    assert failure.getErrorMessage() == "wrong user name or password"
    assert (portal.count, room.avatars) == (1, [])
    assert room.server.session.gate is not None


@implementer(IRealm)
class OtherRealm:
    """A realm that replaces another."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Note who it is."""
        self.asked.append(avatarId)
        return interfaces[0], Avatar("replaced", mind), lambda: None


@implementer(ICredentialsChecker)
class Slow:
    """A checker that answers when a test says so."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.waiting: list[Deferred[str]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[str]:
        """Wait."""
        self.waiting.append(Deferred())
        return self.waiting[-1]


@pytest.mark.parametrize("kind", [Portal, Counting])
def test_a_realm_that_is_replaced_during_a_login(kind: Any) -> None:
    """The realm that is asked is that of the portal when the checker has answered."""
    room, portal = room_with(kind)
    slow, other = Slow(), OtherRealm()
    portal.registerChecker(slow)
    results: list[Any] = []
    room.root.callRemote("loginPassword", b"alice", b"secret", None).addBoth(results.append)
    room.exchange()
    portal.realm = other
    slow.waiting[0].callback("alice")
    room.exchange()
    assert whoami(room, results[0]) == "replaced"
    assert (other.asked, room.avatars) == (["alice"], [])
    assert portal.realm is other


@pytest.mark.parametrize("kind", [Portal, Counting])
def test_two_logins_at_once(kind: Any) -> None:
    """Two logins that wait for a checker at the same time each get their own user."""
    room, portal = room_with(kind)
    slow = Slow()
    portal.registerChecker(slow)
    results: list[Any] = []
    for name in (b"alice", b"bob"):
        room.root.callRemote("loginPassword", name, b"secret", None).addBoth(results.append)
    room.exchange()
    first, second = slow.waiting
    second.callback("bob")
    room.exchange()
    first.callback("alice")
    room.exchange()
    assert [whoami(room, avatar) for avatar in results] == ["bob", "alice"]
    assert room.server.peer.avatar_id == "alice"


class Replacing(Portal):
    """Replaces its realm in its login."""

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Any:
        """Ask the same realm again and again."""
        self.realm = self.realm
        del self.note
        return super().login(credentials, mind, *interfaces)


def test_a_realm_that_login_itself_sets() -> None:
    """A realm that ``login`` reads and sets again is the realm itself, not its view."""
    room, portal = room_with(Replacing)
    realm, portal.note = portal.realm, "set"
    assert whoami(room, log_in(room)) == "alice"
    assert portal.realm is realm
    assert not hasattr(portal, "note")


class Looking(Portal):
    """Looks at itself in its login."""

    seen: Any = None

    def login(self, credentials: object, mind: object, *interfaces: Any) -> Any:
        """Note what it sees."""
        self.seen = (self, self.__class__, isinstance(self, Looking), self.realm)
        return super().login(credentials, mind, *interfaces)


def test_what_login_sees_of_itself() -> None:
    """``self`` has the class of the portal and equals it; its realm has the class of the realm."""
    room, portal = room_with(Looking)
    log_in(room)
    itself, cls, is_instance, realm = portal.seen
    assert (cls, is_instance, realm.__class__) == (Looking, True, portal.realm.__class__)
    assert itself == portal and hash(itself) == hash(portal)
    assert realm == portal.realm and IRealm.providedBy(realm)


def test_who_overrides_login() -> None:
    """A class that defines login, or an object that has its own, overrides it."""
    portal = WaysIn().portal
    assert not overrides_login(portal)
    assert overrides_login(Counting(portal.realm))
    assert overrides_login(Alike(portal.realm, [None]))
    own: Any = Portal(portal.realm)
    own.login = lambda credentials, mind, *interfaces: None
    assert overrides_login(own)


def test_methods_run_on_the_view() -> None:
    """A method of the portal that the view calls sees the view's realm; others are as they are."""
    asked: list[Any] = []
    portal: Any = Naming(OtherRealm())
    portal.helper = asked.append
    view: Any = PortalView(portal, lambda realm, *args: (realm, args))
    assert view.login("credentials", None) == (portal.realm, ("str", None))
    view.helper(5)
    assert asked == [5]
