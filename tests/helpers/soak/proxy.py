"""A proxy that stands between real sockets and does them harm, by a seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

__all__ = ["FAULTS", "FaultProxy"]

FAULTS = ("cut", "half-close", "stall", "flip a bit", "lose")
"""A reset; one direction ends; a moment's wait; a bit changes; a piece is lost."""

_MOST = 65536
_LONGEST_STALL = 0.5


class FaultProxy:
    """Forwards connections to a port, and makes a fault now and then.

    What is forwarded goes on in pieces of random sizes. The faults of a connection depend on the
    seed and on which connection it is, not on the others.

    Args:
        port: where connections go on to, at 127.0.0.1.
        seed: decides everything.
        rate: how many of the pieces meet a fault, as a part of 1.

    Attributes:
        port: of the proxy itself, once it is started.
        pieces: how many were forwarded, or met a fault.
        faults: how many of each kind were made.
    """

    def __init__(self, port: int, seed: int, rate: float = 0.01):
        self._target = port
        self._seed = seed
        self._rate = rate
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.pieces = 0
        self.faults: Counter[str] = Counter()

    async def start(self) -> None:
        """Listen at a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MOST)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut what is open, and listen no more."""
        if self._server is not None:
            self._server.close()
        await self.settle(0)

    async def settle(self, seconds: float) -> None:
        """Wait until each connection has ended; cut those that have not within so many seconds."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, reader: Any, writer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._count += 1
        # A text, because a seed is no tuple.
        dice = random.Random(f"{self._seed}/{self._count}")
        try:
            far_reader, far_writer = await asyncio.open_connection(
                "127.0.0.1", self._target, limit=_MOST
            )
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        try:
            ways = [(reader, far_writer), (far_reader, writer)]
            await asyncio.gather(*(self._forward(dice, *way) for way in ways))
        except (OSError, _Cut):
            pass
        except asyncio.CancelledError:
            # Only settle cancels, and what is wanted then is what is done here.
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()
            self._tasks.discard(task)

    async def _forward(self, dice: random.Random, reader: Any, writer: Any) -> None:
        while data := await reader.read(_size(dice)):
            self.pieces += 1
            if dice.random() < self._rate:
                kind = dice.choice(FAULTS)
                self.faults[kind] += 1
                if kind == "half-close":
                    break
                data = await _harmed(kind, dice, data)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Cut(Exception):
    """The connection is to be reset."""


async def _harmed(kind: str, dice: random.Random, data: bytes) -> bytes:
    if kind == "cut":
        raise _Cut
    if kind == "stall":
        await asyncio.sleep(dice.random() * _LONGEST_STALL)
        return data
    if kind == "lose":
        return b""
    at = dice.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]


def _size(dice: random.Random) -> int:
    return dice.choice((7, 300, _MOST, _MOST, _MOST))
