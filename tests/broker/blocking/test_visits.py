"""``blocking.arrive``: logins of a front end in threads, beside a PB server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.line_front_end import IGuest, Records, audited, heed, realm_of

import broker
import cred
from broker import blocking
from broker.login.portal_logins import PortalLogins
from cred import Portal, UsernamePassword

HERE = ("127.0.0.1", 4000)
ALICE = UsernamePassword("alice", "wonderland")


def known() -> tuple[Records, PortalLogins]:
    """The logins of a portal with one user."""
    records = Records()
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    return records, PortalLogins(Portal(realm_of(records), [users]))


def test_a_login(caplog: pytest.LogCaptureFixture) -> None:
    """A thread logs in by the throttle and the audit log of the PB server, and logs out once."""
    heed(caplog)
    records, logins = known()
    with blocking.serve(logins, "pb://127.0.0.1:0") as server:
        with blocking.arrive(logins, HERE, is_private=True) as visit:
            with pytest.raises(cred.UnauthorizedLogin):
                visit.login(UsernamePassword("alice", "guess"), None, IGuest, mechanism="web")
            login = visit.login(ALICE, "mind", IGuest, mechanism="web")
            assert (login.avatar.name, login.avatar.mind) == ("alice", "mind")
            assert (login.interface, login.avatar_id, login.groups) == (IGuest, "alice", set())
            assert (login.expires, login.mechanism) == (None, "web")
            assert repr(login) == "<blocking.FrontEndLogin of 'alice' by web>"
            assert repr(visit) == "<blocking.Visit from 127.0.0.1:4000, 1 login>"
            assert login.is_active
            login.logout()
            login.logout()
            assert not login.is_active
            assert not visit.is_ended
        with blocking.connect(server.addresses[0], ALICE):
            pass
        assert visit.is_ended
        assert visit.visit not in visit._background.opened
        visit.close()
    assert records.gone.count("lines alice") == 1
    mechanisms = [line[2] for line in audited(caplog)]
    assert mechanisms == ["web", "web", "password"]


def test_the_end_of_the_server() -> None:
    """The close of the server ends a visit; then nobody can log in."""
    records, logins = known()
    with blocking.serve(logins, "pb://127.0.0.1:0"):
        visit = blocking.arrive(logins, HERE, is_private=True)
        visit.login(ALICE, None, IGuest, mechanism="web")
    assert isinstance(visit.reason, broker.ServerDraining)
    assert records.gone == ["lines alice"]
    with pytest.raises(broker.ServerDraining):
        visit.login(ALICE, None, IGuest, mechanism="web")
    with pytest.raises(cred.LoginFailed):
        blocking.arrive(logins, HERE, is_private=True)


def test_many_threads() -> None:
    """Threads log in at the same time, each on a visit of its own."""
    records, logins = known()

    def work() -> None:
        for _ in range(5):
            with blocking.arrive(logins, HERE, is_private=True) as visit:
                visit.login(ALICE, None, IGuest, mechanism="web")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(records.gone) == 20
    assert logins.visits == ()


def test_in_the_loop() -> None:
    """The thread of the loop may not wait for itself."""
    _, logins = known()
    own = blocking.loop()

    async def in_loop() -> Any:
        return blocking.arrive(logins, HERE, is_private=True)

    with pytest.raises(RuntimeError, match=r"blocking.arrive in the loop's thread"):
        asyncio.run_coroutine_threadsafe(in_loop(), own).result(10)
