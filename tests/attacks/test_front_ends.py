"""Attacks through a front end beside PB: guesses, disconnects, and waiting connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attacks.attacker import binds
from support.line_front_end import IGuest, Records, Wire, audited, heed, realm_of, serving_lines
from zope.interface import implementer

import broker
import cred
from broker.core.policy import STRICT
from broker.login.portal_logins import PortalLogins
from cred import Portal, UsernamePassword
from cred.checkers import ICredentialsChecker
from cred.interfaces import IUsernamePassword


@implementer(ICredentialsChecker)
class Slow:
    """Refuses everybody, some time later; counts."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.asked = 0

    async def requestAvatarId(self, credentials: Any) -> Any:
        """Refuse."""
        self.asked += 1
        await asyncio.sleep(0.01)
        raise cred.UnauthorizedLogin("wrong user name or password")


@binds("C6", policies=())
async def test_a_flood_of_guesses(dialect: str) -> None:
    """A thousand guesses over lines reach the checker as often as those over PB do together: 30
    times, from one source; then PB and lines wait both.
    """
    checker = Slow()
    logins = PortalLogins(Portal(realm_of(Records()), [checker]))
    policy = STRICT.but(dialects=(dialect,))
    async with serving_lines(logins) as port, broker.serve(logins, "pb://127.0.0.1:0") as server:
        for number in range(10):
            with pytest.raises((cred.LoginFailed, broker.TooManyAttempts)):
                guess = UsernamePassword(f"user{number}", "guess")
                await broker.connect(server.addresses[0], guess, policy=policy)
        for number in range(25):
            wire = await Wire.to(port)
            for other in range(40):
                await wire.ask(f"login user{number}.{other} guess")
            await wire.close()
        assert checker.asked == 30
        with pytest.raises(broker.TooManyAttempts):
            await broker.connect(server.addresses[0], UsernamePassword("x", "y"), policy=policy)


@binds("C6", policies=(), dialects=())
async def test_guesses_without_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """A guess counts although the client disconnects before it gets the answer."""
    heed(caplog)
    checker = Slow()
    logins = PortalLogins(Portal(realm_of(Records()), [checker]))
    for number in range(60):

        async def guess(name: str) -> None:
            async with logins.arrive(("192.0.2.1", 1), is_private=True) as visit:
                credentials = UsernamePassword(name, "guess")
                await visit.login(credentials, None, IGuest, mechanism="lines")

        task = asyncio.ensure_future(guess(f"user{number}"))
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while len(audited(caplog)) < number + 1:
            await asyncio.sleep(0.001)
    assert checker.asked == 30
    assert audited(caplog)[-1][3].startswith("try again in ")


@binds("C6", policies=(), dialects=())
async def test_another_source_is_let_in() -> None:
    """A source that floods a front end waits; another one logs in, to the same account."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    logins = PortalLogins(Portal(realm_of(Records()), [users]))

    async def tried(host: str, password: str) -> Any:
        async with logins.arrive((host, 1), is_private=True) as visit:
            alice = UsernamePassword("alice", password)
            return await visit.login(alice, None, IGuest, mechanism="lines")

    await tried("198.51.100.7", "wonderland")
    for _ in range(100):
        with pytest.raises(cred.LoginFailed):
            await tried("192.0.2.1", "guess")
    with pytest.raises(broker.TooManyAttempts):
        await tried("192.0.2.1", "wonderland")
    assert (await tried("198.51.100.7", "wonderland")).avatar_id == "alice"


@binds("C6", policies=(), dialects=())
async def test_waiting_connections() -> None:
    """Connections that wait at a front end take the slots of their source, and of no other one."""
    logins = PortalLogins(Portal(realm_of(Records()), [Slow()]), policy=STRICT.but(max_waiting=8))
    patient = logins.arrive("198.51.100.7", is_private=True)
    crowd: list[Any] = []
    for _ in range(500):
        try:
            crowd.append(logins.arrive("192.0.2.1", is_private=True))
        except broker.ServerBusy:
            continue
    assert not patient.is_ended
    assert len(logins.visits) == len(logins.pending) == 8
    for visit in (patient, *crowd):
        visit.close()
    assert len(logins.pending) == 0
