"""Registered classes and a real Twisted peer: what PB can carry crosses in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from jelly.registry import defaults

HERE = Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    """Register both classes, and remove them afterwards."""
    broker.register(Seat, "shop.Seat")
    broker.register(SoldOut, "shop.SoldOut")
    yield
    declared = defaults.declared
    del declared.forms[Seat], declared.factories[b"shop.Seat"], declared.errors["shop.SoldOut"]


@dataclass(frozen=True)
class Seat:
    """A plain class."""

    row: str
    number: int = 1


class SoldOut(broker.Error):
    """An error with a field that Twisted does not send."""

    left: int = 0


class Shop(broker.Referenceable):
    """An object for Twisted to call."""

    def remote_fail(self) -> None:
        """Raise an error with a field."""
        raise SoldOut("nothing", left=3)


both = pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])


@asynccontextmanager
async def twisted(policy: Policy) -> AsyncIterator[Any]:
    """Yield the root of a server of Twisted."""
    with Peer(HERE / "typed_server.py") as peer:
        address = f"pb://127.0.0.1:{peer.read()}"
        async with broker.connect(address, policy=policy) as connection:
            assert connection.dialect == "pb"
            yield connection.root


@both
async def test_copies(policy: Policy) -> None:
    """A dataclass arrives at Twisted's class of the name, and comes back as the dataclass."""
    async with twisted(policy) as root:
        assert await root.callRemote("take", Seat("A", 5)) == [
            "SeatCopy",
            [("number", 5), ("row", "A")],
        ]
        assert await root.callRemote("give", {"row": "A", "number": 5}) == Seat("A", 5)
        assert await root.callRemote("give", {"row": "A"}) == Seat("A", 1)


@both
async def test_what_does_not_fit(policy: Policy) -> None:
    """A field of another type, an unknown and a missing one fail the call at this end."""
    async with twisted(policy) as root:
        for state, told in (
            ({"row": 5}, "shop.Seat: row: Expected `str`, got `int`"),
            ({}, "field 'row' of shop.Seat is missing"),
        ):
            with pytest.raises(broker.MalformedJelly) as caught:
                await root.callRemote("give", state)
            assert str(caught.value) == told
        with pytest.raises(broker.InsecureJelly, match="field 'other' is not declared by"):
            await root.callRemote("give", {"row": "A", "other": 5})


@both
async def test_errors(policy: Policy) -> None:
    """An error of the name is of the class in both directions; Twisted reads no fields."""
    async with twisted(policy) as root:
        with pytest.raises(SoldOut) as caught:
            await root.callRemote("fail")
        assert (str(caught.value), caught.value.left) == ("none left", 0)
        kind, text, found = await root.callRemote("ask", Shop())
        assert (kind, text, found) == ("b'shop.SoldOut'", "nothing", "shop.SoldOut")
