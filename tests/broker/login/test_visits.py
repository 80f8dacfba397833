"""broker.login.visits: the end of a visit, its logins, and its block."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.line_front_end import IGuest, Records, realm_of
from support.ways_in import tokens

import broker
import cred
from broker.core.policy import STRICT
from broker.login.portal_logins import PortalLogins
from broker.login.visits import Visit
from cred import LoginFailed, Portal, Token

NOW = 1_800_000_000.0
EXPIRED = "token expired; log in again"


class Room:
    """A portal with tokens that expire some seconds from now.

    Args:
        left: the seconds of each user; None for no end.
        policy: settings.
    """

    def __init__(self, left: dict[str, float | None] | None = None, **policy: Any):
        self.records = Records()
        lives = {"alice": None, "bob": None} if left is None else left
        known = {
            name: cred.Identity(name, ["staff"], None if life is None else NOW + life)
            for name, life in lives.items()
        }
        portal = Portal(realm_of(self.records), [tokens(**known)])
        self.logins = PortalLogins(portal, policy=STRICT.but(**policy), clock=lambda: NOW)

    def arrive(self) -> Visit:
        """Begin a visit."""
        return self.logins.arrive("192.0.2.1", is_private=True)

    async def log_in(self, visit: Visit, name: str) -> Any:
        """Log in."""
        return await visit.login(Token(name), self, IGuest, mechanism="web")


async def test_a_login() -> None:
    """A login tells the avatar, the user, the groups and the end; the realm has got the mind."""
    room = Room({"alice": 60.0})
    async with room.arrive() as visit:
        login = await room.log_in(visit, "alice")
        assert (login.avatar.name, login.avatar.mind) == ("alice", room)
        assert (login.interface, login.avatar_id, login.groups) == (IGuest, "alice", {"staff"})
        assert (login.expires, login.mechanism) == (NOW + 60, "web")
        assert repr(visit) == "<Visit from 192.0.2.1:0, 1 login>"
        assert repr(login) == "<FrontEndLogin of 'alice' by web>"
        assert visit.logins == (login,)
    assert repr(visit) == "<Visit from 192.0.2.1:0, ended>"
    assert repr(login) == "<FrontEndLogin of 'alice' by web, logged out>"
    assert (visit.is_ended, visit.reason, visit.logins) == (True, None, ())
    assert room.records.gone == ["lines alice"]


async def test_a_logout_is_called_once() -> None:
    """However often: by the login, and by the end of the visit."""
    room = Room()
    async with room.arrive() as visit:
        first, second = await room.log_in(visit, "alice"), await room.log_in(visit, "bob")
        first.logout()
        first.logout()
        assert room.records.gone == ["lines alice"]
        assert visit.logins == (second,)
    visit.close()
    second.logout()
    assert room.records.gone == ["lines alice", "lines bob"]


async def test_the_most_logins() -> None:
    """A visit has at most ``max_refs`` logins at a time."""
    room = Room(max_refs=2)
    async with room.arrive() as visit:
        first = await room.log_in(visit, "alice")
        await room.log_in(visit, "bob")
        with pytest.raises(LoginFailed, match=r"^2 logins on one connection \(max_refs\)$"):
            await room.log_in(visit, "bob")
        first.logout()
        await room.log_in(visit, "bob")


async def test_expiry_ends_a_block() -> None:
    """The first expiry ends the visit, also of a login that was logged out; the block is cancelled
    where it waits, and raises the reason.
    """
    room = Room({"alice": 0.05, "bob": 60.0, "late": None})
    with pytest.raises(broker.LoginExpired, match=f"^{EXPIRED}$"):
        async with room.arrive() as visit:
            await room.log_in(visit, "late")
            await room.log_in(visit, "bob")
            (await room.log_in(visit, "alice")).logout()
            await asyncio.sleep(20)
    assert str(visit.reason) == EXPIRED
    assert sorted(room.records.gone) == ["lines alice", "lines bob", "lines late"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(broker.LoginExpired):
        await room.log_in(visit, "bob")


async def test_ended_fires() -> None:
    """``ended`` fires with the reason, for each who waits; with None after ``close``."""
    room = Room({"alice": 0.05})
    visit = room.arrive()
    seen: list[Any] = []
    visit.ended.addCallback(seen.append)
    await room.log_in(visit, "alice")
    with pytest.raises(TimeoutError):
        # A waiter that gives up has no influence on others.
        await asyncio.wait_for(visit.ended, 0.001)
    assert str(await visit.ended) == EXPIRED
    assert str(await visit.ended) == EXPIRED
    assert [str(each) for each in seen] == [EXPIRED]
    other = room.arrive()
    other.ended.addCallback(seen.append)
    other.close()
    assert seen[1:] == [None]
    with pytest.raises(broker.PBConnectionLost, match="this visit has ended"):
        await room.log_in(other, "alice")


async def test_an_end_while_the_block_runs() -> None:
    """A block that ends its own visit goes on to where it waits next; one that does not wait any
    more raises nothing.
    """
    room = Room()
    went_on = []
    with pytest.raises(broker.LoginExpired, match="enough"):
        async with room.arrive() as visit:
            await room.log_in(visit, "alice")
            assert room.logins.end_sessions("alice", "enough") == 1
            went_on.append(visit.is_ended)
            await asyncio.sleep(20)
    async with room.arrive() as visit:
        await room.log_in(visit, "alice")
        room.logins.end_sessions("alice", "enough")
    await asyncio.sleep(0)
    assert went_on == [True]


async def test_an_end_before_the_block() -> None:
    """A block of a visit that has been ended already is cancelled, too."""
    room = Room(max_waiting=1)
    room.logins.pending._dice = lambda: 0.0
    first, second = room.arrive(), room.arrive()
    with pytest.raises(broker.PBConnectionLost, match="1 connections waiting for login"):
        async with first:
            await asyncio.sleep(20)
    second.close()


async def test_another_cancel() -> None:
    """A cancel by somebody else stays one; so does an error of the block."""
    room = Room()

    async def block() -> None:
        async with room.arrive():
            await asyncio.sleep(20)

    task = asyncio.ensure_future(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ZeroDivisionError):
        async with room.arrive() as visit:
            await room.log_in(visit, "alice")
            try:
                room.logins.end_sessions("alice")
                await asyncio.sleep(20)
            finally:
                raise ZeroDivisionError
    task = asyncio.ensure_future(block())
    await asyncio.sleep(0)
    room.logins.visits[0].stop(broker.LoginExpired("x"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_end_during_a_login() -> None:
    """A login that succeeds after the end of its visit is logged out, and fails."""
    room = Room()
    visit = room.arrive()
    attempt = asyncio.ensure_future(room.log_in(visit, "alice"))
    while len(room.logins.pending):
        await asyncio.sleep(0)
    visit.close()
    with pytest.raises(broker.PBConnectionLost, match="this visit has ended"):
        await attempt
    assert room.records.gone == ["lines alice"]
    assert len(room.logins.sessions) == 0
