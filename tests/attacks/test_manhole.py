"""The manhole: what a stranger sends to it, and what an operator can do to the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.inspection.outputs import MOST
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import Unauthorized
from cred.portal import Portal

pytestmark = [
    pytest.mark.parametrize("dialect", ["msgpack/1", "pb"]),
    pytest.mark.parametrize("policy", [broker.STRICT, broker.PUBLISHED], ids=["s", "p"]),
]


class Inside(broker.Manhole, broker.Root):
    """A manhole that everybody reaches."""

    ran = 0

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@asynccontextmanager
async def reached(
    address: str, dialect: str, policy: broker.Policy, **names: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """An attacker's reference to a manhole, and a bystander's to the same."""
    policy = policy.but(dialects=(dialect,))
    async with (
        broker.serve(Inside(names), address, policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as attacker,
        broker.connect(server.addresses[0], policy=policy) as bystander,
    ):
        yield attacker.root, bystander.root


@pytest.mark.row("B40", "B42")
@pytest.mark.parametrize(
    "call",
    [
        ("run", "ran.append(1)"),
        ("run", "ran.append(1)", None),
        ("run", "(" * 60_000),
        ("run", "x" * 600_000),
        ("run", b"ran.append(1)"),
        ("run", ["ran.append(1)"]),
        ("run", {"a": 1}, "b"),
        ("complete", "ran.append."),
        ("complete", "x." * 100_000),
        ("interrupt",),
    ],
    ids=range(10),
)
async def test_outside_of_tls(
    call: tuple[Any, ...], dialect: str, policy: broker.Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """Each method is refused before it looks at its arguments; nothing of them is written."""
    ran: list[int] = []
    caplog.set_level(logging.INFO)
    async with reached("pb://127.0.0.1:0", dialect, policy, ran=ran) as (attacker, bystander):
        with pytest.raises(Unauthorized, match=r"^the manhole needs TLS, or a UNIX socket$"):
            await attacker.callRemote(*call)
        assert await bystander.callRemote("echo", 1) == 1
    assert ran == []
    assert "act" not in caplog.text and "ran.append" not in caplog.text


class Member(broker.Avatar):
    """A user in no group."""

    def perspective_manhole(self) -> broker.Manhole:
        """Return it, by a mistake of the program: without a condition."""
        return broker.Manhole({})


async def test_a_user_without_a_group(tmp_path: Path, dialect: str, policy: broker.Policy) -> None:
    """Even if the program hands it out to all users, it refuses those who are in no group."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(eve="e")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    policy = policy.but(dialects=(dialect,))
    address = f"pb+unix://{tmp_path}/s"
    async with (
        broker.serve(portal, address, policy=policy),
        broker.connect(address, UsernamePassword("eve", "e"), policy=policy) as eve,
    ):
        manhole = await eve.avatar.callRemote("manhole")
        for call in (("run", "1"), ("complete", "a"), ("interrupt",)):
            with pytest.raises(Unauthorized, match=r"^the manhole is for a group of operators$"):
                await manhole.callRemote(*call)


@pytest.mark.row("B41")
async def test_endless_output(tmp_path: Path, dialect: str, policy: broker.Policy) -> None:
    """A line that prints for ever costs 64 KiB of output, and others are answered meanwhile."""
    taken: list[int] = []

    class Console(broker.Referenceable):
        """Counts."""

        def remote_write(self, text: str) -> None:
            """Count it."""
            taken.append(len(text))

    address = f"pb+unix://{tmp_path}/s"
    async with reached(address, dialect, policy, asyncio=asyncio, turns=(turns := [0])) as ends:
        attacker, bystander = ends
        source = "while True:\n print('x' * 1000); turns[0] += 1; await asyncio.sleep(0)\n"
        call = attacker.callRemote("run", source, Console())
        call.addErrback(lambda _: None)
        async with asyncio.timeout(30):
            while turns[0] < 500:
                assert await bystander.callRemote("echo", 1) == 1
        assert MOST <= sum(taken) <= MOST + 100
        assert await attacker.callRemote("interrupt") == 1
        assert await attacker.callRemote("run", "1 + 1") == ("done", "2\n")


class Guarded(broker.Avatar):
    """A user; the manhole is for operators."""

    ran: list[int]

    @broker.allow("operators")
    def perspective_manhole(self) -> broker.Manhole:
        """Return it."""
        return broker.Manhole({"ran": self.ran})


async def test_a_line_ahead_of_the_refusal(
    tmp_path: Path, dialect: str, policy: broker.Policy
) -> None:
    """A line that is sent before the server has refused to give the manhole does not run."""
    Guarded.ran = ran = []
    checker = InMemoryUsernamePasswordDatabaseDontUse(eve="e")
    portal = Portal(broker.realm(lambda name, mind: Guarded()), [checker])
    policy = policy.but(dialects=(dialect,))
    address = f"pb+unix://{tmp_path}/s"
    async with (
        broker.serve(portal, address, policy=policy),
        broker.connect(address, UsernamePassword("eve", "e"), policy=policy) as eve,
    ):
        manhole = eve.avatar.callRemote("manhole")
        lines = [manhole.callRemote("run", "ran.append(1)") for _ in range(10)]
        with pytest.raises(Unauthorized):
            await manhole
        for line in lines:
            with pytest.raises((Unauthorized, broker.BrokenPromise)):
                await line
    assert ran == []
