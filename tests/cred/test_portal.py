"""cred.portal: from credentials to an avatar."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import twisted.internet.defer
import twisted.python.failure
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from broker import defer
from cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import (
    Anonymous,
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernameHashedPassword,
    UsernamePassword,
)
from cred.error import LoginDenied, UnauthorizedLogin, UnhandledCredentials
from cred.portal import IRealm, Portal

Outcome = Callable[[Any], Any]


class IDesk(Interface):
    """What the avatars of these tests provide."""


class ITicket(ICredentials):
    """Credentials of the application's own."""


@implementer(ITicket)
class Ticket:
    """A plain ticket."""


@implementer(ITicket, IAnonymous)
class AnonymousTicket:
    """A ticket that is also a request to be nobody."""


def leave() -> None:
    """Log out."""


@implementer(IRealm)
class Realm:
    """Remembers what it was asked; answers with `answer(avatar_id)` where there is one."""

    def __init__(self, answer: Callable[[Any], Any] | None = None) -> None:
        self.asked: list[Any] = []
        self.answer = answer

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Answer with a desk, or with what the test wants."""
        self.asked.append((avatarId, mind, interfaces))
        if self.answer is not None:
            return self.answer(avatarId)
        return IDesk, f"desk of {avatarId!r}", leave


class Checker:
    """Answers with `answer(credentials)`; remembers the credentials."""

    credentialInterfaces = (ITicket,)

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.asked: list[Any] = []
        self.answer = answer

    def requestAvatarId(self, credentials: Any) -> Any:
        """Answer with what the test wants."""
        self.asked.append(credentials)
        return self.answer(credentials)


async def soon(value: Any) -> Any:
    """A coroutine that needs a turn of the asyncio loop."""
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


async def at_once(value: Any) -> Any:
    """A coroutine that waits for nothing."""
    return value


# Every way in which a checker or realm may answer without a loop.
WAYS = {
    "plain": lambda value: value,
    "deferred": defer.succeed,
    "twisted": twisted.internet.defer.succeed,
    "async": at_once,
}


def test_login_gives_interface_avatar_and_logout(outcome: Outcome) -> None:
    """A login is a Deferred of what the realm answered; the realm sees id, mind and interfaces."""
    realm, mind = Realm(), object()
    portal = Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    login = portal.login(UsernamePassword("alice", b"secret"), mind, IDesk, Interface)
    assert isinstance(login, defer.Deferred)
    assert outcome(login) == (IDesk, "desk of b'alice'", leave)
    assert realm.asked == [(b"alice", mind, (IDesk, Interface))]
    assert verifyObject(IRealm, realm)


@pytest.mark.parametrize("way_in", WAYS)
@pytest.mark.parametrize("way_out", WAYS)
def test_checker_and_realm_answer_as_they_like(way_in: str, way_out: str, outcome: Outcome) -> None:
    """Plainly, with a Deferred of ours or Twisted's, or by being async: the login is the same."""
    realm = Realm(lambda avatar_id: WAYS[way_out]((IDesk, avatar_id, leave)))
    portal = Portal(realm, [Checker(lambda credentials: WAYS[way_in]("carol"))])
    assert outcome(portal.login(Ticket(), None, IDesk)) == (IDesk, "carol", leave)
    assert realm.asked == [("carol", None, (IDesk,))]


async def test_checker_and_realm_may_wait_on_the_loop() -> None:
    """An async checker and an async realm may both wait before they answer."""
    realm = Realm(lambda avatar_id: soon((IDesk, avatar_id, leave)))
    portal = Portal(realm, [Checker(lambda credentials: soon("carol"))])

    async def main() -> Any:
        return await portal.login(Ticket(), None, IDesk)

    assert await main() == (IDesk, "carol", leave)


@pytest.mark.parametrize("library", [defer, twisted.internet.defer], ids=["ours", "twisted"])
def test_login_waits_for_late_deferreds(library: Any, outcome: Outcome) -> None:
    """The realm is asked when the checker's Deferred fires; the login ends with the realm's."""
    checked, entered = library.Deferred(), library.Deferred()
    realm = Realm(lambda avatar_id: entered)
    results: list[Any] = []
    portal = Portal(realm, [Checker(lambda credentials: checked)])
    portal.login(Ticket(), None, IDesk).addCallback(results.append)
    assert realm.asked == []
    checked.callback("carol")
    assert realm.asked == [("carol", None, (IDesk,))]
    assert results == []
    entered.callback((IDesk, "desk", leave))
    assert results == [(IDesk, "desk", leave)]


def raising(error: Exception) -> Any:
    """Raise `error` at once."""
    raise error


FAULTS = {
    "raised": raising,
    "deferred": defer.fail,
    "twisted": lambda error: twisted.internet.defer.fail(twisted.python.failure.Failure(error)),
    "async": soon,
}


@pytest.mark.parametrize("way", FAULTS)
async def test_fault_of_a_checker_is_the_failure(way: str) -> None:
    """Whatever a checker raises, in whatever way, fails the login; no realm is asked."""
    realm = Realm()
    portal = Portal(realm, [Checker(lambda credentials: FAULTS[way](UnauthorizedLogin("no")))])

    login = portal.login(Ticket(), None, IDesk)
    with pytest.raises(UnauthorizedLogin, match=r"^no$"):
        await login
    assert realm.asked == []


@pytest.mark.parametrize("way", FAULTS)
async def test_fault_of_a_realm_is_the_failure(way: str) -> None:
    """Whatever a realm raises, in whatever way, fails the login."""
    realm = Realm(lambda avatar_id: FAULTS[way](LoginDenied("full")))
    portal = Portal(realm, [Checker(lambda credentials: "carol")])

    login = portal.login(Ticket(), None, IDesk)
    with pytest.raises(LoginDenied, match=r"^full$"):
        await login
    assert len(realm.asked) == 1


def test_realm_without_the_method_fails_the_login(outcome: Outcome) -> None:
    """A realm that lacks requestAvatar is a failure too, not an exception of the call."""
    portal = Portal(Realm(), [AllowAnonymousAccess()])
    without: Any = object()
    portal.realm = without
    login = portal.login(Anonymous(), None, IDesk)
    with pytest.raises(AttributeError, match="requestAvatar"):
        outcome(login)


@pytest.mark.parametrize("avatar_id", ["zoë", b"\xff", ANONYMOUS])
def test_avatar_id_reaches_the_realm_untouched(avatar_id: Any, outcome: Outcome) -> None:
    """A str, bytes or ANONYMOUS avatar id is what the realm is asked for."""
    realm = Realm()
    outcome(Portal(realm, [Checker(lambda credentials: avatar_id)]).login(Ticket(), None, IDesk))
    assert realm.asked[0][0] is avatar_id


def test_each_kind_of_credentials_has_its_checker(outcome: Outcome) -> None:
    """Credentials go to the checker that takes their kind, and to no other."""
    realm = Realm()
    tickets = Checker(lambda credentials: "holder")
    users = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    portal = Portal(realm, [AllowAnonymousAccess(), tickets, users])
    ticket = Ticket()
    for credentials in (Anonymous(), ticket, UsernameHashedPassword("alice", "secret")):
        outcome(portal.login(credentials, None, IDesk))
    assert [avatar_id for avatar_id, _, _ in realm.asked] == [ANONYMOUS, "holder", b"alice"]
    assert tickets.asked == [ticket]


@pytest.mark.parametrize("tickets_first", [True, False])
def test_first_registered_checker_decides(tickets_first: bool, outcome: Outcome) -> None:
    """Of credentials that are of several kinds, the kind registered first is checked."""
    realm = Realm()
    checkers: list[Any] = [Checker(lambda credentials: "holder"), AllowAnonymousAccess()]
    portal = Portal(realm, checkers if tickets_first else checkers[::-1])
    outcome(portal.login(AnonymousTicket(), None, IDesk))
    assert realm.asked[0][0] == ("holder" if tickets_first else ANONYMOUS)


def test_checker_is_asked_for_kinds_that_extend_its_own(outcome: Outcome) -> None:
    """A checker for an interface takes credentials of any interface that extends it."""
    realm = Realm()
    checker = Checker(lambda credentials: "anybody")
    portal = Portal(realm)
    portal.registerChecker(checker, ICredentials)
    outcome(portal.login(Ticket(), None, IDesk))
    assert len(checker.asked) == 1


def test_registering_lists_the_kinds() -> None:
    """A portal lists the kinds that its checkers take, in the order of registration."""
    portal = Portal(Realm(), [AllowAnonymousAccess()])
    assert portal.listCredentialsInterfaces() == [IAnonymous]
    portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse())
    assert portal.listCredentialsInterfaces() == [
        IAnonymous,
        IUsernamePassword,
        IUsernameHashedPassword,
    ]


def test_list_of_kinds_is_a_copy() -> None:
    """Changing the list that was returned does not change the portal."""
    portal = Portal(Realm(), [AllowAnonymousAccess()])
    portal.listCredentialsInterfaces().clear()
    assert portal.listCredentialsInterfaces() == [IAnonymous]


def test_checker_can_be_registered_for_some_kinds_only() -> None:
    """Interfaces given at registration replace those that the checker names."""
    portal = Portal(Realm())
    portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(), IUsernamePassword)
    assert portal.listCredentialsInterfaces() == [IUsernamePassword]


def test_later_checker_replaces_an_earlier_one_of_its_kind(outcome: Outcome) -> None:
    """Registering a checker for a kind that has one puts the new one in its place."""
    realm = Realm()
    old, new = Checker(lambda credentials: "old"), Checker(lambda credentials: "new")
    portal = Portal(realm, [old])
    portal.registerChecker(new)
    outcome(portal.login(Ticket(), None, IDesk))
    assert (realm.asked[0][0], old.asked) == ("new", [])
    assert portal.checkers == {ITicket: new}


@pytest.mark.parametrize(
    ("credentials", "checkers", "text", "note"),
    [
        (
            UsernamePassword("alice", "secret"),
            [AllowAnonymousAccess()],
            "No checker for twisted.cred.credentials.IUsernamePassword",
            "this portal takes IAnonymous",
        ),
        (
            Anonymous(),
            [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")],
            "No checker for twisted.cred.credentials.IAnonymous",
            "this portal takes IUsernamePassword, IUsernameHashedPassword",
        ),
        (
            AnonymousTicket(),
            (),
            f"No checker for {__name__}.ITicket, twisted.cred.credentials.IAnonymous",
            "this portal takes none",
        ),
        (
            "alice",
            [AllowAnonymousAccess()],
            "No checker for str, which is not credentials",
            "this portal takes IAnonymous",
        ),
    ],
)
def test_kind_without_a_checker_is_told_in_the_published_words(
    credentials: Any, checkers: Any, text: str, note: str, outcome: Outcome
) -> None:
    """UnhandledCredentials names the kind as Twisted does; a note has what the portal takes."""
    realm = Realm()
    with pytest.raises(UnhandledCredentials) as caught:
        outcome(Portal(realm, checkers).login(credentials, None, IDesk))
    assert (str(caught.value), caught.value.__notes__) == (text, [note])
    assert realm.asked == []


def test_the_two_steps_of_a_login(outcome: Outcome) -> None:
    """A caller may check credentials and ask for the avatar itself; each result is as it came."""
    realm, mind = Realm(), object()
    portal = Portal(realm, [Checker(lambda credentials: "carol")])
    assert portal.check(Ticket()) == "carol"
    assert realm.asked == []
    assert portal.request_avatar("carol", mind, IDesk) == (IDesk, "desk of 'carol'", leave)
    assert realm.asked == [("carol", mind, (IDesk,))]


def test_a_step_returns_an_awaitable_as_it_came() -> None:
    """A checker or realm that answers later has its own Deferred returned."""
    checked, entered = defer.Deferred[str](), defer.Deferred[Any]()
    portal = Portal(Realm(lambda avatar_id: entered), [Checker(lambda credentials: checked)])
    assert portal.check(Ticket()) is checked
    assert portal.request_avatar("carol", None, IDesk) is entered


def test_a_step_raises_what_was_raised() -> None:
    """A fault of a checker, of a realm or of the kind of credentials is raised by its step."""
    denied = LoginDenied("full")
    refused = UnauthorizedLogin("no")
    portal = Portal(
        Realm(lambda avatar_id: raising(denied)), [Checker(lambda credentials: raising(refused))]
    )
    with pytest.raises(UnauthorizedLogin) as caught:
        portal.check(Ticket())
    assert caught.value is refused
    with pytest.raises(LoginDenied) as again:
        portal.request_avatar("carol", None, IDesk)
    assert again.value is denied
    with pytest.raises(UnhandledCredentials, match="No checker for str"):
        portal.check("alice")


def test_login_is_made_of_the_two_steps(outcome: Outcome) -> None:
    """A subclass that overrides one step changes the login by it."""

    class Renaming(Portal):
        def check(self, credentials: object) -> Any:
            return defer.succeed(super().check(credentials)).addCallback(str.upper)

        def request_avatar(self, avatar_id: Any, mind: object, *interfaces: Any) -> Any:
            return super().request_avatar(f"{avatar_id}!", mind, *interfaces)

    realm = Realm()
    portal = Renaming(realm, [Checker(lambda credentials: "carol")])
    assert outcome(portal.login(Ticket(), None, IDesk))[1] == "desk of 'CAROL!'"
