"""Observers: what they are told at servers and clients, and that they harm nothing."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any

import pytest

import broker
from broker.core.tracer import Outcome
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import LoginFailed
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


class Recorder(broker.Observer):
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def connection_opened(self, connection: Any) -> None:
        """Record it."""
        self.told.append(("opened", connection.dialect))

    def connection_closed(self, connection: Any, reason: Any) -> None:
        """Record it."""
        self.told.append(("closed", reason is not None))

    def login(self, connection: Any, mechanism: str, outcome: Outcome, reason: str) -> None:
        """Record it."""
        self.told.append(("login", outcome, bool(reason)))

    def call_started(self, call: Any) -> Any:
        """Record it, and set a context variable."""
        SEEN.set(call.name)
        self.told.append(("started", call.name, call.is_incoming, call.peer.avatar_id))
        return call.name

    def call_ended(self, token: Any, call: Any, outcome: Outcome, error: object) -> None:
        """Record it."""
        self.told.append(("ended", token, outcome))

    def limit_hit(self, connection: Any, limit: str) -> None:
        """Record it."""
        self.told.append(("limit", limit))


class Shop(broker.Root):
    """What is served."""

    def remote_seen(self) -> str:
        """Return what the observer has set."""
        return SEEN.get()

    async def remote_wait(self) -> None:
        """Wait until it is cancelled."""
        await asyncio.Event().wait()


def policy_of(dialect: str) -> broker.Policy:
    """Return the strict policy with one dialect."""
    return broker.STRICT.but(dialects=(dialect,))


@DIALECTS
async def test_both_ends(dialect: str) -> None:
    """Both ends are told of connections and calls; a method has the context of its observer."""
    far, near = Recorder(), Recorder()
    async with broker.serve(Shop(), LOOPBACK, policy=policy_of(dialect), observers=[far]) as server:
        connection = await broker.connect(server.addresses[0], observers=[near])
        assert await connection.root.callRemote("seen") == "seen"
        with pytest.raises(broker.NoSuchMethod):
            await connection.root.callRemote("missing")
        waiting = connection.root.callRemote("wait")
        waiting.addErrback(lambda _: None)
        await connection.root.callRemote("seen")
        await connection.close()
    assert far.told == [
        ("opened", dialect),
        ("started", "seen", True, None),
        ("ended", "seen", Outcome.ANSWERED),
        ("started", "missing", True, None),
        ("ended", "missing", Outcome.REFUSED),
        ("started", "wait", True, None),
        ("started", "seen", True, None),
        ("ended", "seen", Outcome.ANSWERED),
        ("ended", "wait", Outcome.LOST),
        ("closed", True),
    ] or far.told[-2:] == [("ended", "wait", Outcome.CANCELLED), ("closed", True)]
    assert near.told[0] == ("opened", dialect)
    assert ("started", "seen", False, None) in near.told
    assert near.told[-1] == ("closed", True)


@DIALECTS
async def test_each_connection_of_a_client(dialect: str) -> None:
    """The observers of ``async for`` and of a link are told of each connection."""
    policy, looped, linked = policy_of(dialect), Recorder(), Recorder()
    async with broker.serve(Shop(), LOOPBACK, policy=policy) as server:
        address, left = server.addresses[0], 2
        async for connection in broker.connect(address, policy=policy, observers=[looped]):
            await connection.root.callRemote("seen")
            left -= 1
            if not left:
                break
        async with broker.Link(address, policy=policy, observers=[linked]) as link:
            await link.root.callRemote("seen")
    assert looped.told.count(("started", "seen", False, None)) == 2
    for recorder, count in ((looped, 2), (linked, 1)):
        assert recorder.told.count(("opened", dialect)) == count
        assert recorder.told.count(("closed", True)) == count
    assert ("ended", "seen", Outcome.ANSWERED) in linked.told


@DIALECTS
async def test_logins(dialect: str) -> None:
    """A login is told as such, never as a call; later calls know the user."""
    recorder = Recorder()

    class Member(broker.Avatar):
        def perspective_who(self) -> str:
            return "me"

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    policy = policy_of(dialect)
    async with broker.serve(portal, LOOPBACK, policy=policy, observers=[recorder]) as server:
        with pytest.raises(LoginFailed):
            await broker.connect(server.addresses[0], UsernamePassword("alice", "b"))
        async with broker.connect(
            server.addresses[0], UsernamePassword("alice", "a")
        ) as connection:
            await connection.avatar.callRemote("who")
    logins = [each for each in recorder.told if each[0] == "login"]
    assert logins == [("login", Outcome.REFUSED, True), ("login", Outcome.ANSWERED, False)]
    started = [each for each in recorder.told if each[0] == "started"]
    assert started == [("started", "who", True, "alice")]


@DIALECTS
async def test_one_that_raises(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """An observer that raises harms no call, no connection and no other observer."""

    class Bad(broker.Observer):
        def __getattribute__(self, name: str) -> Any:
            def fail(*args: Any) -> Any:
                raise ZeroDivisionError(name)

            return object.__getattribute__(self, name) if name.startswith("__") else fail

    recorder = Recorder()
    caplog.set_level(logging.ERROR, "broker.observers")
    policy = policy_of(dialect)
    async with (
        broker.serve(Shop(), LOOPBACK, policy=policy, observers=[Bad(), recorder]) as server,
        broker.connect(server.addresses[0], observers=[Bad()]) as connection,
    ):
        for _ in range(3):
            assert await connection.root.callRemote("seen") == "seen"
    assert recorder.told.count(("ended", "seen", Outcome.ANSWERED)) == 3
    # One for each of the two observers: all errors are of one type.
    assert [r.getMessage() for r in caplog.records] == ["the observer Bad raised"] * 2


async def test_log_calls(caplog: pytest.LogCaptureFixture) -> None:
    """Each call of a client is one record with its facts; arguments are in none."""
    caplog.set_level(logging.INFO, "broker.calls")
    async with (
        broker.serve(Shop(), LOOPBACK, observers=[broker.LogCalls()]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        await connection.root.callRemote("seen")
        with pytest.raises(broker.NoSuchMethod):
            await connection.root.callRemote("no\nsuch", "secret")
    first, second = [each for each in caplog.records if each.name == "broker.calls"]
    assert first.getMessage().startswith("- seen ") and first.getMessage().endswith(" ms answered")
    facts: dict[str, Any] = first.facts  # type: ignore[attr-defined]
    assert (facts["event"], facts["method"], facts["outcome"]) == ("call", "seen", "answered")
    assert facts["milliseconds"] >= 0
    assert "\n" not in second.getMessage() and "secret" not in second.getMessage()


def test_wrong_use() -> None:
    """An observer is an object of a subclass of Observer."""
    for wrong in (3, Recorder):
        with pytest.raises(broker.WrongType, match=r"^observers= takes objects of subclasses of"):
            broker.serve(Shop(), LOOPBACK, observers=[wrong])  # type: ignore[list-item]
        with pytest.raises(broker.WrongType):
            broker.connect(LOOPBACK, observers=[wrong])  # type: ignore[list-item]
