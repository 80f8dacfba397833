"""Parameters whose type is a contract: what is sent, and what comes back."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS, Ear, Listener, connected

import broker
from broker.flavors.contracts.proxy import Proxy
from broker.flavors.contracts.references import plan_of_contract
from broker.flavors.contracts.servant import Servant


class Exchange(Protocol):
    """Returns listeners."""

    async def same(self, one: Listener | None) -> Listener | None:
        """Return it."""

    async def many(self, all: list[Listener]) -> dict[str, Listener]:
        """Return them by their place."""

    async def either(self, one: Listener | int) -> str:
        """Return the kind."""


class Desk:
    """An exchange."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    async def same(self, one: Any) -> Any:
        """Return it."""
        self.came.append(one)
        return one

    async def many(self, all: Any) -> Any:
        """Return them."""
        self.came += all
        return {str(place): one for place, one in enumerate(all)}

    async def either(self, one: Any) -> str:
        """Return the kind."""
        return type(one).__name__


class Published(broker.Referenceable):
    """A listener in the published style."""

    def remote_heard(self, text: str) -> None:
        """Hear."""


class Copied(broker.Copyable):
    """A listener that untyped calls would copy."""

    def heard(self, text: str) -> None:
        """Hear."""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_comes_back(dialect: str) -> None:
    """The receiver has a proxy; the sender gets its own object back."""
    desk, ear, published = Desk(), Ear(), Published()
    async with connected(broker.servant(Exchange)(desk), dialect) as connection:
        exchange: Any = connection.root.of(Exchange)
        assert await exchange.same(None) is None
        assert await exchange.same(ear) is ear
        assert await exchange.same(published) is published
        copied = Copied()
        assert await exchange.same(copied) is copied
        assert await exchange.same(broker.servant(Listener)(ear)) is ear
        assert await exchange.many([ear, ear]) == {"0": ear, "1": ear}
        assert await exchange.either(3) == "int"
        assert await exchange.either(ear) == "Listener"
        with pytest.raises(broker.WrongArguments, match=r"either: one: Expected `Listener \| int`"):
            exchange.either("x")
        assert desk.came[0] is None
        assert all(isinstance(one, Proxy) for one in desk.came[1:])
        assert desk.came[-1] == desk.came[-2]
        desk.came.clear()


def test_what_is_sent() -> None:
    """References stay as they are, other objects get a servant, and plain values are neither."""
    lower: Any = plan_of_contract(Listener).lower
    published = Published()
    assert lower(published) is published
    for plain in (None, 3, "x", [], {}, b""):
        assert lower(plain) is plain
    ear = Ear()
    made = lower(ear)
    assert isinstance(made, Servant)
    assert made.target is ear
