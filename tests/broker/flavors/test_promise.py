"""Promise: a Deferred that can be read as a stream."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT
from broker.defer import CancelledError, Deferred
from broker.errors import ServerDraining
from broker.flavors.promise import Promise, PromisedItems
from broker.flavors.referenceable import Root
from jelly.errors import CannotJelly


class House(Root):
    """Gives streams, later or never."""

    async def remote_rows(self, count: int) -> AsyncIterator[int]:
        """Make numbers."""
        for number in range(count):
            yield number

    def remote_never(self) -> Deferred[Any]:
        """Return a result that does not come."""
        return Deferred()

    def remote_list(self) -> list[int]:
        """Return a list."""
        return [1]


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_over_a_connection(dialect: str) -> None:
    """What callRemote returns is one; it is a Deferred too."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(House(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        promise = connection.root.callRemote("rows", 3)
        assert isinstance(promise, Promise)
        assert isinstance(promise, Deferred)
        items = aiter(promise)
        assert isinstance(items, PromisedItems)
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        async with aiter(connection.root.callRemote("rows", 10**9)) as many:
            assert await anext(many) == 0
        with pytest.raises(StopAsyncIteration):
            await anext(many)
        never = aiter(connection.root.callRemote("never"))
        await never.aclose()
        await never.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(never)


def test_the_stream_is_let_go() -> None:
    """When the loop over a promise is left, nothing keeps the stream: it is stopped."""
    pair = BrokerPair(House(), policy=STRICT)
    promise = pair.root.callRemote("rows", 10**6)
    items = aiter(promise)
    step = anext(items)
    got: list[Any] = []
    Deferred.fromCoroutine(step).addCallback(got.append)
    pair.exchange()
    assert got == [0]
    assert pair.server.session.translator.streams.outgoing
    del items, step
    gc.collect()
    pair.exchange()
    assert pair.server.session.translator.streams.outgoing == {}
    assert promise.result is None


def test_what_is_no_stream() -> None:
    """The result stays the result of the promise."""
    pair = BrokerPair(House(), policy=STRICT)
    promise = pair.root.callRemote("list")
    failures: list[Any] = []
    Deferred.fromCoroutine(anext(aiter(promise))).addErrback(failures.append)
    pair.exchange()
    assert failures[0].check(TypeError)
    assert failures[0].getErrorMessage() == "'list' returned list, not a stream"
    assert promise.result == [1]


def test_a_call_that_cannot_be_sent() -> None:
    """It is a promise too: the loop over it raises the error of the call."""
    pair = BrokerPair(House(), policy=STRICT)
    promise = pair.root.callRemote("rows", object())
    failures: list[Any] = []
    Deferred.fromCoroutine(anext(aiter(promise))).addErrback(failures.append)
    assert failures[0].check(CannotJelly)


def test_a_call_to_a_server_that_drains() -> None:
    """It is a promise too, of the class that the caller wants."""

    class Kind(Promise[Any]):
        """Of a contract."""

        __slots__ = ()

    pair = BrokerPair(House(), policy=STRICT)
    root = pair.root
    pair.server.drain()
    pair.exchange()
    for promise in (root.callRemote("rows", 1), root.call_as(Kind, "rows", (1,), {})):
        failures: list[Any] = []
        Deferred.fromCoroutine(anext(aiter(promise))).addErrback(failures.append)
        assert failures[0].check(ServerDraining)
        assert promise.label == "rows"
    assert type(promise) is Kind


def test_a_call_that_is_given_up() -> None:
    """Closing the iterator cancels the call."""
    pair = BrokerPair(House(), policy=STRICT)
    promise = pair.root.callRemote("never")
    failures: list[Any] = []
    promise.addErrback(failures.append)
    Deferred.fromCoroutine(aiter(promise).aclose())
    assert failures[0].check(CancelledError)


def test_without_a_label() -> None:
    """A promise that no call has made is read all the same."""
    promise: Promise[Any] = Promise()
    promise.callback(5)
    failures: list[Any] = []
    Deferred.fromCoroutine(anext(aiter(promise))).addErrback(failures.append)
    assert failures[0].getErrorMessage() == "'the call' returned int, not a stream"
