"""One tour through what a client does, in Python; tour.js is the same in JavaScript."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import broker
import cred
from jelly.registry import defaults
from web.office import SoldOut

__all__ = ["EXPECTED", "SCRIPT", "tour"]

SCRIPT = Path(__file__).with_name("tour.js")
"""The tour in JavaScript."""

EXPECTED = {
    "who": ["alice", True],
    "rings": ["ring 0", "ring 1"],
    "seat": {"row": "C", "number": 7},
    "taken": ["Seat", "C", 8],
    "gauge": 7,
    "isGauge": True,
    "shown": "{'a': [1, 2.5, 'é', None, b'\\x00\\x00']}",
    "total": 499_500,
    "count": 499_500,
    "chain": "hi",
    "big": 1 << 20,
    "sold": ["row A", 2],
    "cancelled": 1,
    "stopped": 1,
    "end": "closing",
}
"""What each client has seen at the end."""


class Bell(broker.Referenceable):
    """An object that the server calls."""

    def remote_ring(self, i: int) -> str:
        """Answer."""
        return f"ring {i}"


class Gauge(broker.RemoteCache):
    """The cache of the server, here."""

    n: int = 0

    def observe_n(self, n: int) -> None:
        """Take the number."""
        self.n = n


async def numbers() -> AsyncIterator[int]:
    """Make numbers."""
    for number in range(1000):
        yield number


async def tour(address: str, username: str, password: str, tls: broker.TLS | None) -> Any:
    """Log in, and use everything once; return what was seen."""
    broker.register(Gauge, "office.Gauge")
    try:
        credentials = cred.UsernamePassword(username, password)
        async with broker.connect(address, credentials, tls=tls) as connection:
            seen = await _round(connection.avatar)
        seen["end"] = "closing"
        return seen
    finally:
        del defaults.declared.classes[b"office.Gauge"]


async def _round(avatar: Any) -> dict[str, Any]:
    call = avatar.callRemote
    seen: dict[str, Any] = {}
    who, mechanism = await call("whoami")
    seen["who"] = [who, mechanism.startswith("SCRAM-SHA-256")]
    seen["rings"] = await call("ring", Bell(), 2)
    seat = await call("seat")
    seen["seat"] = {"row": seat.row, "number": seat.number}
    seat.number = 8
    seen["taken"] = await call("take", seat)
    gauge = await call("gauge")
    await call("set", 7)
    seen["gauge"] = gauge.n
    seen["isGauge"] = await call("is_gauge", gauge)
    seen["shown"] = await call("shown", {"a": [1, 2.5, "é", None, bytes(2)]})
    seen["total"] = await call("total", numbers())
    seen["count"] = sum([number async for number in call("count", 1000)])
    seen["chain"] = await call("thing").callRemote("hi")
    seen["big"] = len(await call("echo", "x" * (1 << 20)))
    try:
        await call("sold")
    except SoldOut as error:
        seen["sold"] = [str(error), error.left]
    try:
        async with broker.timeout(0.02):
            await call("wait")
    except TimeoutError:
        pass
    while not (await call("counts"))["cancelled"]:
        pass
    seen["cancelled"] = 1
    del gauge
    while not (await call("counts"))["stopped"]:
        gc.collect()
        await asyncio.sleep(0.01)
    seen["stopped"] = 1
    return seen
