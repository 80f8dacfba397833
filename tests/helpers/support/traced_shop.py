"""A server whose methods tell of their spans, and a connection to it with tracing at each end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan

import broker
from support.spans import Kept

__all__ = ["PARENT", "SPAN", "TRACE", "Shop", "connected", "current", "key_of"]

LOOPBACK = "pb://127.0.0.1:0"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def current() -> str:
    """Return the trace id and the span id of the running code, in hexadecimal."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


class Shop(broker.Root):
    """Tells of its spans, in each kind of method."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.gate = asyncio.Event()

    def remote_plain(self, *args: object) -> str:
        """Return the span of the method."""
        return current()

    async def remote_async(self, *args: object) -> list[str]:
        """Return the span before and after a wait, and in a task."""
        before = current()
        await asyncio.sleep(0)
        return [before, current(), await asyncio.create_task(_later())]

    def remote_meta(self) -> dict[str, str]:
        """Return all metadata of the call, as it was sent."""
        return dict(broker.current_call().meta or {})

    def remote_bag(self) -> Any:
        """Return the baggage of the call."""
        return baggage.get_baggage("tenant")

    def remote_state(self) -> Any:
        """Return the state of the trace, and the baggage."""
        state = trace.get_current_span().get_span_context().trace_state
        return state.to_header(), self.remote_bag()

    def remote_hear(self) -> None:
        """Note the call."""
        self.heard.set()

    def remote_fail(self) -> None:
        """Raise."""
        raise ValueError("a secret")

    async def remote_wait(self) -> None:
        """Wait."""
        self.heard.set()
        await asyncio.Event().wait()

    def remote_self(self) -> Shop:
        """Return itself."""
        return self

    async def remote_self_later(self) -> Shop:
        """Return itself when it may."""
        await self.gate.wait()
        return self

    def remote_take(self, other: Any) -> None:
        """Take an argument."""

    async def remote_count(self, most: int) -> AsyncIterator[Any]:
        """Yield numbers, and fail after nine of them."""
        for number in range(most):
            if number == 9:
                raise ValueError("a secret")
            yield number

    async def remote_spans(self) -> AsyncIterator[str]:
        """Yield the span of the code that makes the items."""
        yield current()
        await asyncio.sleep(0)
        yield current()

    async def remote_sum(self, numbers: Any) -> int:
        """Return the sum of a stream."""
        return sum([number async for number in numbers])


async def _later() -> str:
    await asyncio.sleep(0)
    return current()


@asynccontextmanager
async def connected(
    far: Kept | None = None,
    near: Kept | None = None,
    dialect: str = "msgpack/1",
    root: Any = None,
    **kw: Any,
) -> AsyncIterator[Any]:
    """Return a connection to a server, each with tracing if it is given."""
    policy = broker.STRICT.but(dialects=(dialect,))
    observers = [[each.tracing] if each else [] for each in (far, near)]
    root = root or Shop()
    async with (
        broker.serve(root, LOOPBACK, policy=policy, observers=observers[0]) as server,
        broker.connect(
            server.addresses[0], policy=policy, observers=observers[1], **kw
        ) as connection,
    ):
        yield connection


def key_of(span: ReadableSpan) -> str:
    """Return the ids of a span as `current` does."""
    found = span.get_span_context()
    assert found is not None
    return f"{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
