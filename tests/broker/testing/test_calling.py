"""Calls in a unit test: directly, with a current call, and as a peer makes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from support.club import DIALECTS, Club, Member, Thing, club_portal

import broker
from broker.testing.calling import call, calling_as
from cred.error import Unauthorized


class Counter(Protocol):
    """A contract."""

    async def add(self, number: int) -> int:
        """Add."""


class Adder:
    """Fits it."""

    @broker.allow("admins")
    def add(self, number: int) -> int:
        """Add one."""
        return number + 1


@broker.register
@dataclass
class Parcel(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    text: str


def test_the_current_call() -> None:
    """A direct call sees the user, the groups and the mechanism; after the block there is none."""
    with calling_as("alice", groups={"b", "a"}) as current:
        assert Member().perspective_whoami() == ["alice", ["a", "b"], "test"]
        assert broker.current_call() is current
        assert current.connection.peer is current.peer
        with calling_as("bob", mechanism="SCRAM-SHA-256", address="here"):
            assert Member().perspective_whoami() == ["bob", [], "SCRAM-SHA-256"]
            assert broker.current_call().peer.address == "here"
        assert broker.current_call() is current
    with pytest.raises(LookupError):
        broker.current_call()


def test_a_caller_without_a_login() -> None:
    """Without a user there is neither a mechanism nor a group."""
    with calling_as():
        assert Member().perspective_whoami() == [None, [], None]


async def test_tasks_of_the_block() -> None:
    """A task that is started in the block has the current call, also after the block."""

    async def whoami() -> Any:
        await asyncio.sleep(0)
        return Member().perspective_whoami()

    with calling_as("alice"):
        task = asyncio.create_task(whoami())
    assert await task == ["alice", [], "test"]


def test_misuse_of_calling_as() -> None:
    """A user of a wrong type, one str as the groups, and groups without a user are refused."""
    for user, groups, text in (
        (b"alice", (), "not bytes"),
        ("alice", "admins", "several names"),
        (None, {"admins"}, "which is not given"),
    ):
        with pytest.raises(TypeError, match=text), calling_as(user, groups=groups):  # type: ignore[arg-type]
            raise KeyError
    with pytest.raises(LookupError):
        broker.current_call()


@pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["strict", "published"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_forbidden_call(dialect: str, policy: broker.Policy) -> None:
    """A peer's call checks `broker.allow`, and fails with Unauthorized; a direct call does not."""
    with calling_as("alice"):
        assert Member().perspective_delete(3) == 3
    options: dict[str, Any] = {"dialect": dialect, "policy": policy}
    for caller in ({}, {"user": "alice"}, {"user": "alice", "groups": {"guests"}}):
        with pytest.raises(Unauthorized, match="you may not call 'delete'"):
            await call(Member(), "delete", 3, **caller, **options)
    assert await call(Member(), "delete", 3, user="alice", groups=["admins"], **options) == 3


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_who_calls(dialect: str) -> None:
    """The method sees the user; without one, it sees a caller that has not logged in."""
    assert await call(Member(), "whoami", user="bob", dialect=dialect) == ["bob", [], "test"]
    assert await call(Member(), "whoami", dialect=dialect) == [None, [], None]


@pytest.mark.parametrize("user", [None, "alice"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_arguments_are_converted(dialect: str, user: str | None) -> None:
    """Arguments and results are copies; names have no prefix; unknown ones are refused."""
    parcel = Parcel("x")
    found = await call(Club(), "echo", parcel, key=[1], user=user, dialect=dialect)
    assert found == [parcel, [1]]
    assert found[0] is not parcel
    assert await call(Thing(), "ping", user=user, dialect=dialect) == "pong"
    with pytest.raises(broker.NoSuchMethod):
        await call(Thing(), "remote_ping", user=user, dialect=dialect)
    with pytest.raises(broker.WrongArguments):
        await call(Thing(), "ping", 1, user=user, dialect=dialect)
    with pytest.raises(broker.CannotJelly):
        await call(Club(), "echo", object(), user=user, dialect=dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_contract(dialect: str) -> None:
    """A servant checks the types of its contract, and the conditions of the method behind it."""
    servant = broker.servant(Counter)(Adder())
    admin: dict[str, Any] = {"user": "a", "groups": {"admins"}, "dialect": dialect}
    assert await call(servant, "add", 1, **admin) == 2
    with pytest.raises(broker.WrongArguments):
        await call(servant, "add", "one", **admin)
    with pytest.raises(Unauthorized):
        await call(servant, "add", 1, user="a", dialect=dialect)


async def test_misuse_of_call() -> None:
    """Objects without remote methods, classes and portals are refused with the fix."""
    for target, text in (
        (Member, r"write Member\(\)"),
        (club_portal(), r"use pair\(\)"),
        (Adder(), "broker.servant"),
    ):
        with pytest.raises(TypeError, match=text):
            await call(target, "add", 1)
    with pytest.raises(TypeError, match="which is not given"):
        await call(Member(), "whoami", groups={"admins"})
