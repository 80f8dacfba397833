"""Traces of other things than plain calls: promises, streams, contracts, logins, events."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest
from opentelemetry.trace import StatusCode
from support.spans import Kept
from support.ticket_office import DIALECTS
from support.traced_shop import Shop, connected, key_of

import broker
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@each_dialect
async def test_promises(dialect: str) -> None:
    """A call that waits for a promise has one span, from its sending on; none is left."""
    far, near = Kept(), Kept()
    shop = Shop()
    async with connected(far, near, dialect, shop) as connection:
        with near.provider.get_tracer("app").start_as_current_span("work"):
            promise = connection.root.callRemote("self_later")
            calls = [promise.callRemote("plain"), connection.root.callRemote("take", promise)]
        await asyncio.sleep(0)
        shop.gate.set()
        for call in calls:
            await call
    assert sorted(name for _, name in near.names) == ["plain", "self_later", "take", "work"]
    work = near.one("work").get_span_context()
    for name in ("plain", "take"):
        span = near.one(name)
        assert span.parent is not None and work is not None
        assert span.parent.span_id == work.span_id
    assert (near.tracing._spans, far.tracing._spans) == ({}, {})


async def test_a_call_that_cannot_be_sent() -> None:
    """Its span ends with the error."""
    near = Kept()
    async with connected(None, near) as connection:
        with pytest.raises(broker.EncodeError):
            await connection.root.callRemote("take", object())
    span = near.one("take")
    assert span.status.status_code is StatusCode.ERROR
    assert near.tracing._spans == {}


async def test_streams() -> None:
    """Each end has a span of a stream, with its numbers; the items are made in it."""
    far, near = Kept(), Kept()
    async with connected(far, near) as connection:
        root = connection.root
        assert [item async for item in await root.callRemote("count", 5)] == [0, 1, 2, 3, 4]
        told = [item async for item in await root.callRemote("spans")]
        assert await root.callRemote("sum", Shop().remote_count(4)) == 6
        with pytest.raises(broker.RemoteError):
            _ = [item async for item in await root.callRemote("count", 12)]
        async with await root.callRemote("count", 8) as stream:
            assert await anext(stream) == 0
    made = [s for s in far.spans if s.name == "Shop/count stream"]
    assert [dict(s.attributes or {})["pb.stream.items"] for s in made[:2]] == [5, 9]
    facts = dict(made[0].attributes or {})
    assert facts["pb.stream.direction"] == "sent"
    assert facts["pb.stream.bytes"] == dict(near.spans[1].attributes or {})["pb.stream.bytes"] > 0
    assert dict(made[1].attributes or {})["error.type"] == "builtins.ValueError"
    # A reader that has enough is no error.
    assert made[2].status.status_code is StatusCode.UNSET
    calls = [s.get_span_context().span_id for s in far.spans if s.name == "Shop/count"]  # type: ignore[union-attr]
    assert [s.parent.span_id for s in made if s.parent] == calls
    spans = far.one("Shop/spans stream")
    assert set(told) == {key_of(spans)}
    upload, read = near.one("sum stream"), far.one("Shop/sum stream")
    assert dict(upload.attributes or {})["pb.stream.direction"] == "sent"
    assert dict(read.attributes or {})["pb.stream.direction"] == "received"
    for kept in (far, near):
        assert (kept.tracing._spans, kept.tracing._streams) == ({}, {})


class Priced(Protocol):
    """A contract."""

    async def price(self, number: int) -> int:
        """Return a price."""
        ...


class Prices:
    """Fits it."""

    async def price(self, number: int) -> int:
        """Return a price."""
        return number * 2


async def test_contracts() -> None:
    """Both spans have the name of the contract."""
    kept = Kept()
    async with connected(kept, kept, root=broker.servant(Priced)(Prices())) as connection:
        assert await connection.root.of(Priced).price(4) == 8
    name = f"{__name__}.Priced/price"
    assert sorted(kept.names) == [("CLIENT", name), ("SERVER", name)]


@each_dialect
async def test_logins(dialect: str) -> None:
    """The calls of a login have no spans."""

    class Member(broker.Avatar):
        def perspective_who(self) -> str:
            return "me"

    kept = Kept()
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    credentials = UsernamePassword("alice", "a")
    async with connected(kept, kept, dialect, portal, credentials=credentials) as connection:
        assert await connection.avatar.callRemote("who") == "me"
    assert sorted(kept.names) == [("CLIENT", "who"), ("SERVER", "Member/who")]


async def test_events() -> None:
    """An event of Subscribers has a span for each receiver, which is the parent of its method."""
    far, near = Kept(), Kept()
    shop = Shop()
    async with connected(far, near, root=shop) as connection:
        subscribers = broker.Subscribers()
        subscribers.add(connection.root)
        subscribers.send("hear")
        await shop.heard.wait()
    server, client = far.one("Shop/hear"), near.one("hear")
    assert server.parent is not None
    assert server.parent.span_id == client.get_span_context().span_id  # type: ignore[union-attr]
