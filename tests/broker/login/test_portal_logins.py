"""broker.PortalLogins: a front end of lines beside PB, on real sockets, with one guarded login."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.line_front_end import IGuest, Records, Wire, audited, heed, realm_of, serving_lines
from support.users_in_a_store import STAFF
from support.ways_in import ITERATIONS

import broker
import cred
from broker import pb
from broker.core.policy import STRICT
from broker.login.portal_logins import PortalLogins
from cred import LoginFailed, Portal, UsernamePassword
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User, UserStore

ANY = "pb://127.0.0.1:0"
VERIFIER = ScramVerifier.of_password("wonderland", ITERATIONS)
ALICE = UsernamePassword("alice", "wonderland")


@pytest.fixture(params=["file", "sql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with alice, who is of the staff, and bob, with one password."""
    paths = {"file": f"file:{tmp_path}/users.db", "sql": f"sql:sqlite:///{tmp_path}/users.sqlite"}
    made = open_store(paths[request.param], create=True)
    made.add(User("alice", str(VERIFIER), STAFF))
    made.add(User("bob", str(VERIFIER)))
    yield made
    made.close()


def known(**policy: Any) -> tuple[Records, PortalLogins]:
    """The logins of a portal with users in memory."""
    records = Records()
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland", bob="builder")
    portal = Portal(realm_of(records), [users])
    return records, PortalLogins(portal, policy=STRICT.but(**policy))


async def until(condition: Any) -> None:
    """Wait until a condition holds; the test has a limit of its own."""
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_one_throttle(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """Thirty wrong passwords over lines make the next login by PB wait."""
    heed(caplog)
    _, logins = known()
    policy = STRICT.but(dialects=(dialect,))
    async with serving_lines(logins) as port, broker.serve(logins, ANY, policy=policy) as server:
        for number in range(5):
            wire = await Wire.to(port)
            for other in range(6):
                answer = await wire.ask(f"login nobody{number}.{other} guess")
                assert answer == "- UnauthorizedLogin: wrong user name or password"
            await wire.close()
        with pytest.raises(broker.TooManyAttempts, match=r"^try again in \d+ s$") as caught:
            await broker.connect(server.addresses[0], ALICE, policy=policy)
        assert caught.value.after > 1
        wire = await Wire.to(port)
        assert (await wire.ask("login bob builder")).startswith("- LoginPutOff: try again in ")
        await wire.close()
    assert len(audited(caplog)) == 32


async def test_a_visit_is_throttled() -> None:
    """Six wrong passwords on one visit make the next one wait, also a right one; one account has
    ten over all front ends.
    """
    _, logins = known()
    async with serving_lines(logins) as port, broker.serve(logins, ANY) as server:
        wire = await Wire.to(port)
        for _ in range(6):
            await wire.ask("login alice guess")
        assert (await wire.ask("login bob builder")).startswith("- LoginPutOff")
        other = await Wire.to(port)
        for _ in range(4):
            await other.ask("login alice guess")
        with pytest.raises(broker.TooManyAttempts):
            await broker.connect(server.addresses[0], ALICE)
        await (
            await broker.connect(server.addresses[0], UsernamePassword("bob", "builder"))
        ).close()
        await wire.close()
        await other.close()


async def test_the_audit_log(
    store: UserStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each login of each front end has one line, with its mechanism; groups are those of the
    store, and each logout is made once.
    """
    heed(caplog)
    records = Records()
    logins = PortalLogins(Portal(realm_of(records), [StoreChecker(store)]))
    ca = Authority(tmp_path)
    pair = ca.issue()
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    inside.load_cert_chain(pair.certificate_path, pair.key_path)
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    client = broker.TLS.client(ca=ca.ca_path)
    async with (
        serving_lines(logins) as plain,
        serving_lines(logins, inside) as secure,
        broker.serve(logins, ANY, "pbs://127.0.0.1:0", tls=tls) as server,
    ):
        for port, context in ((plain, None), (secure, ssl.create_default_context())):
            if context is not None:
                context.load_verify_locations(ca.ca_path)
            wire = await Wire.to(port, context)
            assert await wire.ask("login alice wonderland") == "+ alice [staff]"
            assert await wire.ask("login bob guess") == (
                "- UnauthorizedLogin: wrong user name or password"
            )
            assert await wire.ask("logout") == "+ bye"
            await wire.close()
        for address in server.addresses:
            kept = None if address.startswith("pb:") else client
            async with broker.connect(address, ALICE, tls=kept) as connection:
                assert await connection.avatar.callRemote("whoami") == "alice"
    assert audited(caplog) == [
        ("accepted", "alice", "lines", ""),
        ("refused", "bob", "lines", "wrong password"),
        ("accepted", "alice", "lines", ""),
        ("refused", "bob", "lines", "wrong password"),
        ("accepted", "alice", "SCRAM-SHA-256", ""),
        ("accepted", "alice", "SCRAM-SHA-256-PLUS", ""),
    ]
    assert sorted(records.gone) == ["lines alice"] * 2 + ["pb alice"] * 2


@pytest.mark.parametrize(("dialect", "gone"), [("pb", "disabled"), ("msgpack/1", "removed")])
async def test_a_disabled_user(store: UserStore, dialect: str, gone: str) -> None:
    """A user who is disabled or removed is gone from all front ends; another one is not."""
    records = Records()
    logins = PortalLogins(Portal(realm_of(records), [StoreChecker(store)]))
    policy = STRICT.but(dialects=(dialect,))
    bob = UsernamePassword("bob", "wonderland")
    async with serving_lines(logins) as port, broker.serve(logins, ANY, policy=policy) as server:
        address = server.addresses[0]
        first, other = await Wire.to(port), await Wire.to(port)
        await first.ask("login alice wonderland")
        await other.ask("login bob wonderland")
        async with (
            broker.connect(address, bob, policy=policy) as stays,
            broker.connect(address, ALICE, policy=policy) as goes,
        ):
            if gone == "removed":
                store.remove("alice")
            else:
                found = store.find("alice")
                assert found is not None
                store.replace(replace(found, is_disabled=True))
            assert await first.next() == "! LoginExpired: this user may no longer log in"
            await goes.wait_closed()
            await until(lambda: sorted(records.gone) == ["lines alice", "pb alice"])
            assert await stays.avatar.callRemote("whoami") == "bob"
            assert await other.ask("login bob wonderland") == "+ bob []"
        await first.close()
        await other.close()


async def test_a_portal_of_its_own(store: UserStore) -> None:
    """A server of a plain Portal ends the connections of a disabled user, too."""
    records = Records()
    portal = Portal(realm_of(records), [StoreChecker(store)])
    async with (
        broker.serve(portal, ANY) as server,
        broker.connect(server.addresses[0], ALICE) as goes,
    ):
        store.replace(User("alice", str(VERIFIER), is_disabled=True))
        await goes.wait_closed()
        await until(lambda: records.gone)
        assert records.gone == ["pb alice"]


async def test_an_operator_ends_sessions() -> None:
    """``end_sessions`` ends those of a user on every front end at once, with the reason."""
    records, logins = known()
    async with serving_lines(logins) as port, broker.serve(logins, ANY) as server:
        wire = await Wire.to(port)
        await wire.ask("login alice wonderland")
        connection = await broker.connect(server.addresses[0], ALICE)
        assert logins.end_sessions("bob") == 0
        assert logins.end_sessions("alice", "enough") == 2
        assert "lines alice" in records.gone
        assert await wire.next() == "! LoginExpired: enough"
        await connection.wait_closed()
        assert logins.end_sessions("alice") == 0
        await until(lambda: sorted(records.gone) == ["lines alice", "pb alice"])
        await wire.close()


async def test_pending_connections() -> None:
    """Visits and PB connections that have not logged in share their slots."""
    _, logins = known(max_waiting_each=2)
    async with serving_lines(logins) as port, broker.serve(logins, ANY) as server:
        first, second = await Wire.to(port), await Wire.to(port)
        await until(lambda: len(logins.visits) == 2)
        third = await Wire.to(port)
        assert await third.next() == "! LoginWhileBusy: 2 connections waiting for login"
        with pytest.raises(broker.Disconnected):
            await broker.connect(server.addresses[0], ALICE)
        assert logins.limits == {"max_waiting_each": 1}
        assert await first.ask("login alice wonderland") == "+ alice []"
        await (await broker.connect(server.addresses[0], ALICE)).close()
        for wire in (first, second, third):
            await wire.close()
    await until(lambda: len(logins.pending) == 0)


async def test_a_visit_makes_room() -> None:
    """If all slots are taken, a waiting visit of the source that has the most is ended."""
    _, logins = known(max_waiting=1)
    crowd = [logins.arrive(("192.0.2.1", 1), is_private=True)]
    logins.pending._dice = lambda: 0.0
    crowd.append(logins.arrive(("192.0.2.1", 2), is_private=True))
    assert str(crowd[0].reason) == "1 connections waiting for login"
    assert isinstance(crowd[0].reason, broker.PBConnectionLost)
    assert logins.limits == {"max_waiting": 1}
    assert logins.visits == (crowd[1],)
    crowd[1].close()


async def test_no_login_in_time() -> None:
    """A visit without a login in ``login_timeout`` ends; one with a login goes on."""
    _, logins = known(login_timeout=0.2)
    async with serving_lines(logins) as port:
        late, early = await Wire.to(port), await Wire.to(port)
        assert await early.ask("login alice wonderland") == "+ alice []"
        await late.ask("login alice guess")
        assert await late.next() == "! PBConnectionLost: login not completed in 0.2 s"
        assert await early.ask("login bob builder") == "+ bob []"
        assert logins.limits == {"login_timeout": 1}
        await late.close()
        await early.close()


async def test_the_end_of_the_server() -> None:
    """The close of the last server ends visits; nothing is accepted during it, and a server that
    begins later accepts visits again.
    """
    records, logins = known()
    async with serving_lines(logins) as port:
        wire = await Wire.to(port)
        await wire.ask("login alice wonderland")
        async with broker.serve(logins, ANY):
            async with broker.serve(logins, ANY):
                pass
            assert await wire.ask("login bob builder") == "+ bob []"
        assert sorted(records.gone) == ["lines alice", "lines bob"]
        assert await wire.next() == "! LoginWhileDraining: the server is shutting down"
        refused = await Wire.to(port)
        assert await refused.next() == "! LoginWhileDraining: the server is shutting down"
        async with broker.serve(logins, ANY):
            again = await Wire.to(port)
            assert await again.ask("login alice wonderland") == "+ alice []"
        for each in (wire, refused, again):
            await each.close()


async def test_the_close_waits_for_blocks() -> None:
    """The close of the logins waits for the blocks of visits, but not beyond the time limit, and
    not for that of its caller.
    """
    _, logins = known()
    ended = []

    async def slow(seconds: float) -> None:
        try:
            async with logins.arrive("192.0.2.1", is_private=True):
                try:
                    await asyncio.sleep(20)
                finally:
                    await asyncio.sleep(seconds)
                    ended.append(seconds)
        except LoginFailed:
            pass

    tasks = [asyncio.create_task(slow(seconds)) for seconds in (0.05, 20)]
    await asyncio.sleep(0)
    with pytest.raises(LoginFailed, match="shutting down"):
        async with logins.arrive("192.0.2.1", is_private=True):
            await logins.close(timeout=0.3)
            assert ended == [0.05]
            await asyncio.sleep(20)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_published_factory() -> None:
    """PBServerFactory takes it, too."""
    _, logins = known()
    assert pb.PBServerFactory(logins).root.logins is logins


def test_a_server_needs_checkers() -> None:
    """A portal without a checker is not served, and something else than a portal is refused."""
    given: Any = Records()
    with pytest.raises(broker.ConfigError, match="no checker"):
        broker.serve(PortalLogins(Portal(realm_of(Records()))), ANY)
    with pytest.raises(broker.WrongType, match=r"^PortalLogins takes a Portal, not Records$"):
        PortalLogins(given)


def test_the_throttle_of_the_portal() -> None:
    """A throttle of the portal is that of all front ends."""
    throttle = broker.LoginThrottle(account=None)
    portal = Portal(realm_of(Records()), throttle=throttle)
    assert PortalLogins(portal).throttle is throttle


def test_outside_of_a_loop() -> None:
    """A visit needs a running loop."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        known()[1].arrive("192.0.2.1", is_private=True)


async def test_nothing_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left of visits that have ended."""
    caplog.set_level(logging.CRITICAL, "broker")
    _, logins = known()
    for _ in range(3):
        async with logins.arrive("192.0.2.1", is_private=True) as visit:
            await visit.login(ALICE, None, IGuest, mechanism="lines")
    gc.collect()
    assert (logins.visits, len(logins.sessions), len(logins.pending)) == ((), 0, 0)
