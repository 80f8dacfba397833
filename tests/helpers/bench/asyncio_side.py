"""What the sides in asyncio share: how they wait, TLS of the standard library, and loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from bench.side import Options

__all__ = ["AsyncioSide", "context_of", "runner"]


class AsyncioSide:
    """Waits as a program of asyncio does; see `bench.contract.Side`."""

    def together(self, chains: list[Any]) -> Awaitable[Any]:
        """Wait for coroutines, each a task."""
        return asyncio.gather(*chains)

    def promise(self) -> tuple[Awaitable[Any], Callable[[Any], object]]:
        """Return a future, and what fires it."""
        future = asyncio.get_running_loop().create_future()
        return future, future.set_result

    async def in_thread(self, function: Callable[[], object]) -> None:
        """Run a function in a thread of the loop's pool."""
        await asyncio.get_running_loop().run_in_executor(None, function)


def context_of(options: Options) -> ssl.SSLContext | None:
    """Return the TLS of a side by the ``ssl`` module; None for plain TCP."""
    if not options.certificates:
        return None
    if options.server:
        return ssl.create_default_context(cafile=options.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    return context


def runner(uvloop: bool) -> asyncio.Runner:
    """Return a runner of asyncio's own loop, or of uvloop's."""
    factory = asyncio.new_event_loop
    if uvloop:
        # Not at the top: who measures the loop of asyncio needs no other.
        from uvloop import new_event_loop as factory
    return asyncio.Runner(loop_factory=factory)
