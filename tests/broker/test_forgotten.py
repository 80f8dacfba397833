"""Forgotten awaits are told of, and what is waited for says what it is."""

from __future__ import annotations

import re
import warnings
from typing import Any, Protocol

import pytest

import broker
from broker.core.policy import STRICT
from broker.defer import Deferred, drive


class Shop(broker.Root):
    """What the tests call."""

    def remote_price(self, fault: str = "") -> int:
        """Return a price, or fail."""
        if fault:
            raise broker.Error(fault)
        return 12

    def remote_again(self) -> Shop:
        """Return itself."""
        return self

    async def remote_dawdle(self) -> None:
        """Never end."""
        await Deferred()


class Priced(Protocol):
    """A contract."""

    async def price(self) -> int:
        """A call."""
        ...

    def again(self) -> Priced:
        """A reference that can be used at once."""
        ...


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: broker.connect("pb://127.0.0.1:1"),
            "connect('pb://127.0.0.1:1') was never awaited, so there is no connection: write"
            " 'await connect(…)' or 'async with connect(…)'",
        ),
        (
            lambda: broker.serve(Shop(), "pb://127.0.0.1:0", "pb://[::1]:0"),
            "serve(Shop, 'pb://127.0.0.1:0', 'pb://[::1]:0') was never awaited, so there is no"
            " server: write 'await serve(…)' or 'async with serve(…)'",
        ),
    ],
)
def test_a_forgotten_await(make: Any, text: str) -> None:
    """What is dropped without an await gives one RuntimeWarning, in the line that dropped it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert [str(warning.message) for warning in caught] == [text]
    assert caught[0].category is RuntimeWarning
    assert caught[0].filename == __file__


def test_the_address_in_the_warning_is_the_given_one() -> None:
    """The warning has the address as the program wrote it, without a port that was added."""
    with pytest.warns(RuntimeWarning, match=re.escape("connect('pb://localhost') was never")):
        broker.connect("pb://localhost")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: broker.connect("pbs://a"),
            "await it, or use async with: connect('pbs://a') is not a connection yet",
        ),
        (
            lambda: broker.serve(Shop(), "pb://127.0.0.1:0"),
            "await it, or use async with: serve(Shop, 'pb://127.0.0.1:0') is not a server yet",
        ),
    ],
)
@pytest.mark.parametrize("name", ["root", "avatar", "addresses", "is_closed"])
def test_used_before_the_await(make: Any, text: str, name: str) -> None:
    """An attribute of what is not opened yet raises an AttributeError that says what to write."""
    opening = make()
    with pytest.raises(AttributeError) as caught:
        getattr(opening, name)
    assert str(caught.value) == text
    with pytest.raises(AttributeError, match="object has no attribute '_absent'"):
        opening._absent  # noqa: B018
    opening.close()


def test_what_is_given_up() -> None:
    """What is closed in place of being awaited gives no warning, as a coroutine."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        broker.connect("pb://127.0.0.1:1").close()
        broker.serve(Shop(), "pb://127.0.0.1:0").close()
    assert seen == []


def test_refused_arguments_are_no_forgotten_await() -> None:
    """A call that raised gives no warning beside its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for make in (broker.connect, lambda address: broker.serve(Shop(), address)):
            with pytest.raises(broker.ConfigError):
                make("http://nowhere")


async def test_what_is_awaited_gives_no_warning() -> None:
    """Neither ``await`` nor ``async with`` is a forgotten await, nor one that fails."""

    async def main() -> None:
        async with broker.serve(Shop(), "pb://127.0.0.1:0") as server:
            address = server.addresses[0]
            async with broker.connect(address):
                await (await broker.connect(address)).close()
            with pytest.raises(broker.CannotListenError):
                await broker.serve(Shop(), address)
        with pytest.raises(broker.ConnectError):
            await broker.connect(address)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await main()


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_an_error_nobody_looked_at(dialect: str, caplog: Any) -> None:
    """What a call failed with and nobody looked at is logged with the method's name."""
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        connection.root.callRemote("price", "sold out")
        connection.root.callRemote("price", object())
        await connection.root.callRemote("price")
    sent, unsent = sorted(
        (record.getMessage() for record in caplog.records if record.name == "broker.defer"),
        key=lambda text: "CannotJelly" in text,
    )
    assert sent.startswith("Unhandled error in Deferred of 'price'\n")
    assert "sold out" in sent
    assert unsent.startswith("Unhandled error in Deferred of 'price'\nTraceback")
    assert "CannotJelly" in unsent


async def test_representations() -> None:
    """Each object of a connection says what it is, and in what state."""
    serving = broker.serve(Shop(), "pb://127.0.0.1:0")
    assert repr(serving) == "<Serve of Shop at pb://127.0.0.1:0, not awaited>"
    async with serving as server:
        address = server.addresses[0]
        assert repr(serving) == "<Serve of Shop at pb://127.0.0.1:0>"
        assert repr(server) == f"<Server at {address}, 0 connections>"
        connecting = broker.connect(address)
        assert repr(connecting) == f"<Connect to {address}, not awaited>"
        async with connecting as connection:
            assert repr(connecting) == f"<Connect to {address}>"
            there = address.removeprefix("pb://")
            assert repr(connection) == f"<Connection to {there}, msgpack/1>"
            dawdling = connection.root.callRemote("dawdle")
            price = connection.root.callRemote("price")
            assert repr(price) == "<Promise of price, pending>"
            await price
            assert repr(price) == "<Promise of price, result: 12>"
            assert repr(server) == f"<Server at {address}, 1 connection>"
        assert repr(connection) == f"<Connection to {there}, closed>"
        assert repr(dawdling).startswith("<Promise of dawdle, failed: <broker.failure")
        dawdling.addErrback(lambda _: None)
    assert repr(server) == f"<Server at {address}, closed>"
    assert repr(broker.Subscribers()) == "<Subscribers, 0>"


async def test_the_calls_of_a_contract() -> None:
    """A call shows itself alike with a contract, and through a reference that has not come."""
    shop = Shop()
    async with (
        broker.serve(shop, "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        shops = connection.root.of(Priced)
        shown = [repr(call) for call in (shops.price(), shops.again().price())]
        assert shown == ["<Promise of price, pending>"] * 2


def test_a_coroutine_is_named() -> None:
    """The Deferred of a coroutine is named for it, also while it waits for another Deferred."""

    async def work() -> None:
        await Deferred()

    running = drive(work())
    assert repr(running).endswith("work, pending>")
    chained: Deferred[Any] = Deferred()
    chained.label = "chained"
    chained.addCallback(lambda _: running)
    chained.callback(None)
    assert repr(chained) == f"<Deferred of chained, waiting for {running!r}>"
    running.cancel()
    chained.addErrback(lambda _: None)
