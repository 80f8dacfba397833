"""broker.login.sessions: the users of all front ends, by a clock that stands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pytest
from support.memory import ManualScheduler
from support.ways_in import WaysIn, tokens

import cred
from broker.core.policy import STRICT
from broker.defer import Deferred, fail
from broker.errors import DeadReferenceError
from broker.login.active_logins import ActiveLogins
from broker.login.client import login
from broker.login.sessions import RECHECK, Sessions


class Fake:
    """A session that notes its end."""

    def __init__(self, **users: Any):
        self.users = users
        self.ends: list[tuple[str, str]] = []

    def end(self, code: str, text: str) -> None:
        """Note it."""
        self.ends.append((code, text))


class Checker:
    """Refuses some users; notes for whom it was asked."""

    def __init__(self, answer: Any = ()):
        self.answer = answer
        self.asked: list[set[str]] = []

    def refused(self, names: Collection[str]) -> Any:
        """Return the answer."""
        self.asked.append(set(names))
        return self.answer


def filled(*open_sessions: Fake) -> tuple[Sessions, ManualScheduler]:
    """Sessions with these in them."""
    sessions, scheduler = Sessions(), ManualScheduler()
    for session in open_sessions:
        for checker in session.users.values():
            sessions.add(session, checker, scheduler)
    return sessions, scheduler


def test_all_users_are_asked_for_at_once() -> None:
    """Each checker is asked once for all its users, each second; a user of another is not ended."""
    first, second = Checker(["alice"]), Checker()
    alice, bob = Fake(alice=first), Fake(bob=first, alice=second)
    guest = Fake(alice=None)
    sessions, scheduler = filled(alice, bob, guest)
    scheduler.advance(RECHECK)
    assert (first.asked, second.asked) == ([{"alice", "bob"}], [{"alice"}])
    assert alice.ends == [("kicked", "this user may no longer log in")]
    assert bob.ends == guest.ends == []
    assert len(sessions) == 2
    scheduler.advance(RECHECK)
    assert first.asked[1:] == [{"bob"}]
    assert len(alice.ends) == 1


def test_a_checker_that_does_not_answer() -> None:
    """It is not asked again before it has answered; others are, and so is it in another loop."""
    answer: Deferred[Any] = Deferred()
    slow, quick = Checker(answer), Checker()
    session = Fake(alice=slow, bob=quick)
    sessions, scheduler = filled(session)
    for _ in range(3):
        scheduler.advance(RECHECK)
    assert (len(slow.asked), len(quick.asked)) == (1, 3)
    other = InALoop()
    sessions.add(session, slow, other)
    other.advance(RECHECK)
    assert len(slow.asked) == 2
    answer.callback(["alice"])
    assert len(session.ends) == 1


def test_a_checker_without_a_hash() -> None:
    """A checker may be of any class."""

    @dataclass
    class Plain:
        names: list[str]

        def refused(self, names: Collection[str]) -> list[str]:
            return self.names

    session, other = Fake(alice=Plain(["alice"])), Fake(alice=Plain([]))
    _, scheduler = filled(session, other)
    scheduler.advance(RECHECK)
    assert (len(session.ends), len(other.ends)) == (1, 0)


def test_logins_all_the_time() -> None:
    """Logins do not put off the next look, also where each connection has a scheduler of its own,
    as with Twisted.
    """
    checker = Checker()
    sessions, scheduler = filled(Fake(alice=checker))
    for _ in range(10):
        scheduler.advance(RECHECK / 4)
        sessions.add(Fake(bob=checker), checker, ManualScheduler())
    assert len(checker.asked) == 2


class InALoop(ManualScheduler):
    """That of another loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = object()  # type: ignore[assignment]


@pytest.mark.parametrize("answer", [fail(OSError("no store")), 5])
def test_a_checker_that_fails(answer: Any) -> None:
    """A checker that fails ends nobody, and is asked again."""
    checker = Checker(answer)
    session = Fake(alice=checker)
    _, scheduler = filled(session)
    scheduler.advance(RECHECK)
    checker.answer = {"alice"}
    assert session.ends == []
    scheduler.advance(RECHECK)
    assert len(session.ends) == 1


def test_no_timer_is_left() -> None:
    """There is a timer only while a user can be refused."""
    checker = Checker()
    session, guest = Fake(alice=checker), Fake(bob=None)
    sessions, scheduler = filled(guest)
    assert scheduler.waiting == 0
    sessions.add(session, checker, scheduler)
    assert scheduler.waiting == 1
    sessions.remove(session)
    scheduler.advance(RECHECK)
    assert scheduler.waiting == 0
    sessions.add(session, checker, scheduler)
    sessions.remove(guest)
    sessions.remove(guest)
    sessions.remove(session)
    assert (scheduler.waiting, len(sessions)) == (0, 0)


def test_another_loop() -> None:
    """A timer of a loop that has ended does not keep later sessions from being looked up."""
    checker = Checker(["alice"])
    sessions, _ = filled(Fake(bob=checker))
    scheduler, session = InALoop(), Fake(alice=checker)
    sessions.add(session, checker, scheduler)
    scheduler.advance(RECHECK)
    assert len(session.ends) == 1


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
def test_a_connection(dialect: str) -> None:
    """A connection ends if one of its users is refused, even one who has logged out; running
    nothing more.
    """
    room = WaysIn(policy=STRICT.but(dialects=(dialect,)), scheduler=ManualScheduler())
    checker = Checker()
    sessions = Sessions()
    room.login_root.logins = ActiveLogins(room.server, sessions=sessions)
    known = {name: cred.Identity(name, checker=checker) for name in ("alice", "bob")}
    room.portal.registerChecker(tokens(**known))
    alice = room.get(login(room.client, cred.Token("alice")))
    bob = room.get(login(room.client, cred.Token("bob")))
    assert set(room.login_root.logins.users) == {"alice", "bob"}
    del alice
    checker.answer = ["alice"]
    room.scheduler.advance(RECHECK)
    room.exchange()
    assert checker.asked == [{"alice", "bob"}]
    assert len(sessions) == 0
    if dialect == "pb":
        assert room.get(bob.callRemote("whoami")).check("broker.errors.ServerDraining")
    else:
        with pytest.raises(DeadReferenceError):
            bob.callRemote("whoami")
