"""The life of an engine: it starts, connects to its server again and again, and is closed."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from broker.backoff import jittered_delay
from broker.cancelling import end_tasks
from broker.topics.engine import Entry
from broker.traces import log_error

__all__ = ["ConnectedEngine", "StartedEngine"]

logger = logging.getLogger("broker.topics")


class StartedEngine:
    """The part of an engine that is told where messages go.

    Attributes:
        deliver, gap: as of `broker.topics.engine.Engine.start`; they do nothing before it and after
            the end.
    """

    def __init__(self) -> None:
        self.deliver: Callable[[Entry], None] = lambda entry: None
        self.gap: Callable[[], None] = lambda: None

    def start(self, deliver: Callable[[Entry], None], gap: Callable[[], None]) -> None:
        """Begin, in the running loop."""
        self.deliver, self.gap = deliver, gap

    async def close(self) -> None:
        """Deliver nothing more."""
        StartedEngine.__init__(self)


class ConnectedEngine(StartedEngine, ABC):
    """An engine whose server can go away: it connects, and connects anew after each failure.

    Args:
        server: what cannot be used, in the log: ``"NATS"``.

    Attributes:
        up: is set while messages come and can be published.
    """

    capabilities = frozenset({"history", "retained", "presence"})

    def __init__(self, server: str) -> None:
        super().__init__()
        self.up = asyncio.Event()
        self._server = server
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether messages come, and can be published."""
        return self.up.is_set()

    def start(self, deliver: Callable[[Entry], None], gap: Callable[[], None]) -> None:
        """Begin to connect, and to read."""
        super().start(deliver, gap)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def ready(self) -> None:
        """Wait until the messages are being read."""
        await self.up.wait()

    async def close(self) -> None:
        """End the connections."""
        await end_tasks(self._task)
        await super().close()

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and make what is not there on the server."""

    @abstractmethod
    async def follow(self) -> None:
        """Deliver what comes, and set ``up``, until the connection ends."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close what `connect` has opened, also if that has failed halfway."""

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self.connect()
                failures = 0
                await self.follow()
            except Exception as error:  # noqa: BLE001 - whatever it is, it connects again
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    text = f"{self._server} cannot be used"
                    log_error(logger, text, error, level=logging.WARNING)
            finally:
                self.up.clear()
                await self.disconnect()
            await asyncio.sleep(jittered_delay(failures + 1, first=0.2, factor=2.0, most=2.0))
