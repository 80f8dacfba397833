"""broker.login.active_logins: who is logged in, until when, and each logout once."""

from __future__ import annotations

import gc
import logging
import tracemalloc
from typing import Any

import pytest
from support.memory import ManualScheduler
from support.ways_in import WaysIn, tokens

import cred
from broker.core.policy import STRICT
from broker.errors import DeadReferenceError, LoginExpired
from broker.login.active_logins import AcceptedUser, ActiveLogins
from broker.login.client import login

NOW = 1_800_000_000.0


class Timed(WaysIn):
    """A room whose wall clock and timers a test advances together."""

    scheduler: ManualScheduler

    def __init__(self, dialect: str = "msgpack/1", **expiries: float):
        policy = STRICT.but(dialects=(dialect,))
        super().__init__(policy=policy, scheduler=ManualScheduler())
        self.login_root.logins = ActiveLogins(self.server, lambda: NOW + self.scheduler.clock)
        known = {name: cred.Identity(name, [name], NOW + left) for name, left in expiries.items()}
        self.portal.registerChecker(tokens(**known))

    def check_expired(self, reference: Any) -> None:
        """Check that no call is made any more."""
        if self.server.dialect == "pb":
            answer = self.get(reference.callRemote("whoami"))
            assert answer.check("broker.errors.ServerDraining")
        else:
            self.exchange()
            with pytest.raises(DeadReferenceError):
                reference.callRemote("whoami")


@pytest.mark.parametrize(
    ("avatar_id", "user"),
    [
        ("alice", AcceptedUser("alice", "x")),
        (b"alice", AcceptedUser("alice", "x")),
        (b"\xff", AcceptedUser("\ufffd", "x")),
        (5, AcceptedUser("5", "x")),
        (cred.ANONYMOUS, AcceptedUser(None, "x")),
        (cred.Identity("a", ["g"], 1.5), AcceptedUser("a", "x", frozenset({"g"}), 1.5)),
    ],
)
def test_what_a_checker_answers(avatar_id: Any, user: AcceptedUser) -> None:
    """Any avatar id can be shown as text; an Identity says more."""
    assert AcceptedUser.of(avatar_id, "x") == user


def test_groups_are_the_peers() -> None:
    """The peer of a call is known with its groups, while it is logged in."""
    room = WaysIn()
    avatar = room.log_in(cred.Token("good"))
    assert room.server.peer.groups == {"admin"}
    del avatar
    room.collect()
    assert room.server.peer.groups == frozenset()
    assert room.server.peer.avatar_id is None
    assert room.avatars[0].logouts == 1


def test_the_last_login_counts() -> None:
    """Of several logins the last that has not left is whom the peer is known as."""
    room = WaysIn()
    bob = room.log_in(cred.Token("good"))
    guest = room.log_in(cred.Anonymous())
    assert (room.server.peer.avatar_id, room.server.peer.groups) == (None, frozenset())
    del guest
    room.collect()
    assert (room.server.peer.avatar_id, room.server.peer.mechanism) == ("bob", "token")
    assert room.get(bob.callRemote("dismiss")) == "dismissed"


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
def test_a_login_that_expires(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """At its end the connection is closed, with a line in the log, and the client told why."""
    room = Timed(dialect, short=10)
    caplog.set_level(logging.INFO, "broker.connection")
    avatar = room.log_in(cred.Token("short"))
    room.scheduler.advance(9.9)
    assert room.get(avatar.callRemote("whoami")) == "short"
    assert not room.transport(room.server).is_losing
    room.scheduler.advance(0.2)
    assert room.transport(room.server).is_losing
    assert not room.transport(room.server).is_aborted
    assert caplog.messages == ["closed the client: token expired; log in again"]
    room.exchange()
    room.cut(clean=True)
    assert room.avatars[0].logouts == 1
    if dialect == "msgpack/1":
        assert isinstance(room.client.reason, LoginExpired)
        assert str(room.client.reason) == "token expired; log in again"


def test_nothing_is_done_after_the_end() -> None:
    """A call that comes after the end is not made, however the client has come to make it."""
    room = Timed("pb", short=10)
    avatar = room.log_in(cred.Token("short"))
    room.scheduler.advance(11)
    assert room.get(avatar.callRemote("whoami")).check("broker.errors.ServerDraining")


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
@pytest.mark.parametrize("order", [["short", "long"], ["long", "short"]])
@pytest.mark.parametrize("is_kept", [True, False])
def test_the_first_expiry_counts(dialect: str, order: list[str], is_kept: bool) -> None:
    """The earliest expiry of all logins ends the connection, whoever has dropped their avatar."""
    room = Timed(dialect, short=10, long=15)
    timers = room.scheduler.waiting
    avatars = {name: room.log_in(cred.Token(name)) for name in order}
    assert room.scheduler.waiting == timers + 1
    if not is_kept:
        del avatars["short"]
        room.collect()
    assert [avatar.logouts for avatar in room.avatars if avatar.name == "short"] == [not is_kept]
    room.scheduler.advance(9.9)
    assert room.get(avatars["long"].callRemote("whoami")) == "long"
    assert not room.transport(room.server).is_losing
    room.scheduler.advance(0.2)
    assert room.transport(room.server).is_losing
    room.check_expired(avatars["long"])
    room.cut()
    assert [avatar.logouts for avatar in room.avatars] == [1, 1]
    assert room.scheduler.waiting == 0


def test_what_outlives_the_avatar_expires_too() -> None:
    """Who drops the avatar and keeps what it has given out is out at the end of the token."""
    room = Timed(short=10)
    avatar = room.log_in(cred.Token("short"))
    thing = room.get(avatar.callRemote("give"))
    del avatar
    room.collect()
    assert room.avatars[0].logouts == 1
    room.scheduler.advance(9.9)
    assert room.get(thing.callRemote("whoami")) == "short"
    room.scheduler.advance(0.2)
    assert room.transport(room.server).is_losing
    room.check_expired(thing)


def test_a_close_that_does_not_end() -> None:
    """What is still being sent to a user whose login has expired is cut off after a while."""
    room = Timed(short=10)
    avatar = room.log_in(cred.Token("short"))
    room.scheduler.advance(10.1)
    assert not room.transport(room.server).is_aborted
    room.scheduler.advance(STRICT.close_timeout)
    assert room.transport(room.server).is_aborted
    del avatar


def test_many_logins_cost_nothing_that_stays() -> None:
    """However often a connection logs in and out, one deadline is kept of it all."""
    room = Timed(short=1e9)

    def come_and_go() -> None:
        room.get(room.log_in(cred.Token("short")).callRemote("whoami"))
        room.avatars.clear()
        room.exchange()
        for side in (room.client, room.server):
            # What a fake transport remembers is no part of this.
            room.transport(side).writes.clear()
            room.transport(side)._taken = 0

    come_and_go()
    gc.collect()
    timers, notifiers = room.scheduler.waiting, len(room.server.disconnects)
    tracemalloc.start()
    try:
        for number in range(2000):
            if number == 200:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
            come_and_go()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert (room.scheduler.waiting, len(room.server.disconnects)) == (timers, notifiers)
    assert len(room.login_root.logins) == 0
    assert len(room.server.session.translator.exports) == 0
    assert grown < 20_000


def test_an_avatar_that_cannot_be_sent() -> None:
    """A login whose avatar does not reach the peer has ended."""
    room = WaysIn()
    room.server.session.open_gate()
    room.server.session.translator.exports.max_refs = 0
    failure = room.get(login(room.client, cred.Token("good")))
    assert failure.check("jelly.errors.LimitExceeded")
    assert [avatar.logouts for avatar in room.avatars] == [1]
    assert room.server.peer.avatar_id is None
    assert room.server.session.translator.exports._due == {}


def test_one_that_is_over_already() -> None:
    """A login whose end has come while the avatar was made is refused, and logged out."""
    room = Timed(late=-1)
    failure = room.log_in(cred.Token("late"))
    assert failure.check(LoginExpired)
    assert failure.getErrorMessage() == "token expired; log in again"
    assert [avatar.logouts for avatar in room.avatars] == [1]
    assert room.server.peer.avatar_id is None
