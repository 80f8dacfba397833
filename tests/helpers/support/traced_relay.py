"""A server that asks the next one, and writes its spans, as a program of its own.

``python -m support.traced_relay SPANS [ADDRESS]`` prints its address, and appends each span as one
line of JSON to the file SPANS. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TextIO

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import broker

__all__ = ["Relay", "provider"]


class Relay(broker.Root):
    """Answers at once, or with what the next server answers."""

    def __init__(self, behind: Any = None) -> None:
        self.behind = behind
        # A server that is asked for its own object, for calls on promises.
        self.heard: list[str] = []

    def remote_next(self) -> Relay:
        """Return itself."""
        return self

    async def remote_ask(self, what: str) -> str:
        """Return what the last server answers."""
        logging.getLogger("app").info("asked")
        return what if self.behind is None else await self.behind.callRemote("ask", what)

    async def remote_fail(self) -> None:
        """Fail at the last server."""
        if self.behind is None:
            raise broker.Error("not here")
        await self.behind.callRemote("fail")

    def remote_hear(self, what: str) -> None:
        """Pass it on, without an answer."""
        self.heard.append(what)
        if self.behind is not None:
            self.behind.send("hear", what)

    async def remote_count(self, most: int) -> AsyncIterator[int]:
        """Yield what the last server counts."""
        if self.behind is None:
            for number in range(most):
                yield number
        else:
            async for item in await self.behind.callRemote("count", most):
                yield item


def provider(name: str, file: TextIO) -> TracerProvider:
    """Return a provider of the SDK that writes each span as a line when it ends."""
    made = TracerProvider(resource=Resource.create({"service.name": name}))
    exporter = ConsoleSpanExporter(
        out=file, formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made


async def _serve(spans: Path, address: str | None) -> None:
    with spans.open("a") as file:
        own = provider(spans.stem, file)
        observers = [broker.opentelemetry.Tracing(own)]
        behind = None if address is None else await broker.connect(address, observers=observers)
        root = Relay(None if behind is None else behind.root)
        async with broker.serve(root, "pb://127.0.0.1:0", observers=observers) as server:
            print(server.addresses[0], flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        if behind is not None:
            await behind.close()
        own.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), *(sys.argv[2:] or [None])))  # type: ignore[arg-type]
