"""Metadata of observers: what is sent along, in which order, and the record of the call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

import broker
from broker.propagation import log_slow, record_of

LOOPBACK = "pb://127.0.0.1:0"


class Shop(broker.Root):
    """Returns the metadata of its calls."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def remote_meta(self, *args: object) -> dict[str, str]:
        """Return it, as it was sent."""
        return dict(broker.current_call().meta or {})

    async def remote_later(self) -> Shop:
        """Return itself when it may."""
        await self.gate.wait()
        return self


class Sends(broker.Observer):
    """Sends metadata along, and notes what it is told."""

    def __init__(self, **entries: Any) -> None:
        self.entries = entries
        self.told: list[Any] = []

    def before_call(self, call: Any) -> Mapping[str, str]:
        """Return the metadata."""
        self.told.append(("before", call))
        return self.entries

    def not_sent(self, call: Any, error: BaseException | None) -> None:
        """Note it."""
        self.told.append(("not sent", call, type(error)))

    def call_started(self, call: Any) -> None:
        """Note it."""
        self.told.append(("started", call))


@asynccontextmanager
async def connected(*observers: Any, dialect: str = "msgpack/1") -> AsyncIterator[Any]:
    """Return a connection of a client with observers, and the shop."""
    shop, policy = Shop(), broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(shop, LOOPBACK, policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy, observers=observers) as connection,
    ):
        yield connection, shop


async def test_what_is_sent() -> None:
    """The entries of all, but none in the place of what the program sends."""
    one, two = Sends(a="1", b="2"), Sends(c="3", a="4")
    async with connected(one, two) as (connection, _):
        assert await connection.root.callRemote("meta") == {"a": "4", "b": "2", "c": "3"}
        with broker.metadata(tenant="t"):
            assert len(await connection.root.callRemote("meta")) == 4
        connection.root.send("meta")
        assert record_of(connection.broker) is None
    assert [each[0] for each in one.told] == ["before", "started"] * 3
    # The same record before and after a call is sent.
    assert all(one.told[n][1] is one.told[n + 1][1] for n in (0, 2, 4))
    assert [one.told[n][1].wants_answer for n in (0, 2, 4)] == [True, True, False]
    assert one.told[2][1].metadata == {"tenant": "t"}


async def test_what_does_not_fit() -> None:
    """The first entries are sent, as many as fit; a value that is too long is left out."""
    sends = Sends(a="1", b="x" * 513, c="x" * 512, d="4")
    async with connected(sends) as (connection, _):
        assert set(await connection.root.callRemote("meta")) == {"a", "c", "d"}
        for own, expected in ((6, {"a", "c"}), (7, {"a"}), (8, set())):
            with broker.metadata(**{f"n{number}": "" for number in range(own)}):
                meta = await connection.root.callRemote("meta")
            assert {key for key in meta if not key.startswith("x-")} == expected


async def test_a_dialect_without_metadata() -> None:
    """Calls are made, and nothing is sent."""
    sends = Sends(a="1")
    async with connected(sends, dialect="pb") as (connection, _):
        assert await connection.root.callRemote("meta") == {}
    assert [each[0] for each in sends.told] == ["before", "started"]


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_a_call_that_waits_for_a_promise(dialect: str) -> None:
    """It is told again when it is sent, with another record; in PB's dialects it waits here."""
    sends = Sends(a="1")
    async with connected(sends, dialect=dialect) as (connection, shop):
        promise = connection.root.callRemote("later")
        call = connection.root.callRemote("meta", promise)
        second = connection.root.callRemote("meta")
        shop.gate.set()
        assert await call == await second == ({"a": "1"} if dialect == "msgpack/1" else {})
    started = [each[1] for each in sends.told if each[0] == "started"]
    before = [each[1] for each in sends.told if each[0] == "before"]
    dropped = [each for each in sends.told if each[0] == "not sent"]
    assert [each.name for each in started] == ["later", "meta", "meta"]
    assert bool(dropped) is (dialect == "pb")
    assert {error for _, _, error in dropped} <= {type(None)}
    assert set(before) == {*started, *(call for _, call, _ in dropped)}


async def test_a_call_that_cannot_be_sent() -> None:
    """The error is told."""
    sends = Sends(a="1")
    async with connected(sends) as (connection, _):
        with pytest.raises(broker.EncodeError):
            await connection.root.callRemote("meta", object())
    assert [each[0] for each in sends.told] == ["before", "not sent"]
    assert issubclass(sends.told[1][2], broker.EncodeError)


@pytest.mark.parametrize("fault", [ZeroDivisionError, asyncio.CancelledError, GeneratorExit])
async def test_one_that_raises(
    fault: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are made without its metadata; each type of error is logged once."""

    class Bad(Sends):
        def before_call(self, call: Any) -> Mapping[str, str]:
            raise fault

        def not_sent(self, call: Any, error: BaseException | None) -> None:
            raise fault

    async with connected(Bad(), Sends(a="1")) as (connection, _):
        for _ in range(3):
            assert await connection.root.callRemote("meta") == {"a": "1"}
        with pytest.raises(broker.EncodeError):
            await connection.root.callRemote("meta", object())
    assert [r.getMessage() for r in caplog.records] == ["the observer Bad raised"]


@pytest.mark.parametrize("entries", [{"a": 5}, {"é": "a"}, {"A": "a"}])
async def test_metadata_that_cannot_be_sent(
    entries: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, and the call is made."""
    async with connected(Sends(**entries)) as (connection, _):
        assert await connection.root.callRemote("meta") == {}
    assert caplog.records == []


async def test_one_that_returns_no_metadata(caplog: pytest.LogCaptureFixture) -> None:
    """It is an error of the observer; the call is made."""

    class Bad(Sends):
        def before_call(self, call: Any) -> Any:
            return 5

    async with connected(Bad()) as (connection, _):
        assert await connection.root.callRemote("meta") == {}
    assert [r.getMessage() for r in caplog.records] == ["the observer Bad raised"]


def test_slow_ones_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The record names the observer and its method."""
    observer, other = Sends(), Sends()
    caplog.set_level(logging.WARNING)
    for each in (observer, observer, other):
        log_slow(each, "call_started", 0.25)
    text = "the observer Sends held the loop for 0.25 s in call_started; it must return at once"
    assert [r.getMessage() for r in caplog.records] == [text] * 2
