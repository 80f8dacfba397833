"""Observers and the inspector of the factories of the published API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import broker
from broker import pb, reactor
from broker.inspection.contract import Inspection


class Shop(pb.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


class Counter(broker.Observer):
    """Notes the ends of calls."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def call_ended(self, token: Any, call: Any, outcome: Any, error: object) -> None:
        """Note it."""
        side = "in" if call.is_incoming else "out"
        self.ended.append(f"{side} {call.name} {outcome.value}")


async def test_a_factory() -> None:
    """Both factories take observers; the inspector shows connections, and kicks them."""
    far, near = Counter(), Counter()
    factory = pb.PBServerFactory(Shop(), observers=[far])
    servant = broker.inspector(factory)
    inspector: Any = factory.inspected.inspector
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    client = pb.PBClientFactory(observers=[near])
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    try:
        root = await client.getRootObject()
        assert await root.callRemote("echo", 1) == 1
        assert (far.ended, near.ended) == (["in echo answered"], ["out echo answered"])
        (shown,) = await inspector.connections()
        assert (shown.number, shown.calls_received) == (1, 1)
        assert (await inspector.server()).accepted == 1
        assert (await inspector.health()).state == "serving"
        with pytest.raises(broker.Error, match="a factory is not drained"):
            await inspector.drain()
        async with (
            broker.serve(servant, "pb://127.0.0.1:0") as operators,
            broker.connect(operators.addresses[0]) as operator,
        ):
            inspection: Inspection = operator.root.of(Inspection)
            assert await inspection.kick(number=1) == 1
        async with asyncio.timeout(20):
            while (await inspector.server()).open:
                await asyncio.sleep(0.01)
        assert await inspector.kick(number=1) == 0
    finally:
        inspector.stop()
        await port.stopListening()


def test_wrong_use() -> None:
    """An observer of a factory is an Observer, too."""
    for make in (lambda: pb.PBServerFactory(Shop(), observers=[3]),
                 lambda: pb.PBClientFactory(observers=[Counter])):  # fmt: skip
        with pytest.raises(broker.WrongType):
            make()
