"""The messages of a node that wait for the engine, in a queue of limited size.

Theory of operation. A publisher does not wait for the engine, unless it wants the position. A task
takes the messages that wait, a batch at a time, and publishes them. If that fails it tries
again with the same batch, since the engine knows by the ids what it has. So the order is kept, and
nothing is published twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from broker.backoff import jittered_delay
from broker.errors import ServerBusy
from broker.flavors.subscription import Slow
from broker.history import Position
from broker.topics.engine import Engine, Outgoing
from broker.traces import log_error

__all__ = ["Outbox"]

logger = logging.getLogger("broker.topics")

_MOST, _MOST_BYTES = 10_000, 16_777_216
_BATCH = 512
# Bytes that a message counts besides its data.
_HEAD = 200
_LOG_EVERY = 60.0


class _Waiting:
    """A message that waits, and the future of who waits for its position."""

    __slots__ = ("message", "result")

    def __init__(self, message: Outgoing, result: asyncio.Future[Position | None] | None):
        self.message = message
        self.result = result

    @property
    def size(self) -> int:
        return len(self.message.data) + _HEAD


class Outbox:
    """The queue, and the task that publishes from it.

    Args:
        engine: publishes.
        slow: what happens to messages beyond the limits, if no publisher waits for their positions.
        lost: is called with the topic of each message that is dropped.

    Attributes:
        dropped: how many messages were dropped.
    """

    def __init__(self, engine: Engine, slow: Slow, lost: Callable[[str], None]):
        self._engine = engine
        self._slow = slow
        self._lost = lost
        self._queue: deque[_Waiting] = deque()
        # The batch that the engine has been given.
        self._batch: list[_Waiting] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._logged = float("-inf")
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._batch)

    def put(self, message: Outgoing) -> None:
        """Publish a message soon; or drop one if too many wait."""
        one = _Waiting(message, None)
        while self._is_full(one):
            if self._slow is Slow.DROP_NEWEST or not self._drop_oldest():
                self._drop(message)
                return
        self._add(one)

    def put_and_tell(self, message: Outgoing) -> asyncio.Future[Position | None]:
        """Publish a message soon; return the future of its position.

        Raises:
            ServerBusy: too many wait.
        """
        result: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()
        one = _Waiting(message, result)
        if self._is_full(one):
            raise ServerBusy(f"{len(self)} messages wait for the engine")
        self._add(one)
        return result

    async def drain(self, seconds: float) -> None:
        """Wait until all are published, at most some seconds; then stop, and drop the rest."""
        task = self._task
        if task is not None:
            await asyncio.wait([task], timeout=seconds)
            task.cancel()
            await asyncio.wait([task])
        rest = [*self._batch, *self._queue]
        self._batch.clear()
        self._queue.clear()
        for one in rest:
            if one.result is None:
                self._drop(one.message)
            elif not one.result.done():
                one.result.set_exception(ServerBusy("the topics were closed"))

    def _is_full(self, one: _Waiting) -> bool:
        return len(self) >= _MOST or self._size + one.size > _MOST_BYTES

    def _add(self, one: _Waiting) -> None:
        self._queue.append(one)
        self._size += one.size
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._publish())

    def _drop_oldest(self) -> bool:
        """Drop the oldest whose position no publisher waits for; return whether there is one."""
        for index, old in enumerate(self._queue):
            if old.result is None:
                del self._queue[index]
                self._size -= old.size
                self._drop(old.message)
                return True
        return False

    def _drop(self, message: Outgoing) -> None:
        self.dropped += 1
        self._lost(message.topic)
        if self._may_log():
            logger.warning(
                "the engine of topics does not take messages: %d were dropped so far", self.dropped
            )

    def _may_log(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._logged < _LOG_EVERY:
            return False
        self._logged = now
        return True

    async def _publish(self) -> None:
        failures = 0
        while self._take_batch():
            try:
                found = self._engine.publish([one.message for one in self._batch])
                positions = found if isinstance(found, list) else await found
            except Exception as error:  # noqa: BLE001 - the engine is away: try again
                if self._may_log():
                    log_error(logger, "the engine of topics does not take messages", error)
                failures += 1
                await asyncio.sleep(jittered_delay(failures, first=0.1, factor=2.0, most=2.0))
                continue
            failures = 0
            batch, self._batch = self._batch, []
            for one, position in zip(batch, positions, strict=True):
                self._size -= one.size
                if one.result is not None and not one.result.done():
                    one.result.set_result(position)

    def _take_batch(self) -> bool:
        """Take the next messages, unless a batch failed; return whether there are any."""
        if self._batch:
            return True
        while self._queue and len(self._batch) < _BATCH:
            one = self._queue.popleft()
            if one.result is not None and one.result.cancelled():
                self._size -= one.size
            else:
                self._batch.append(one)
        return bool(self._batch)
