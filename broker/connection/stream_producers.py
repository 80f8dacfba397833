"""Produces the streams of one connection: runs the generators, and sends their items.

Theory of operation. Each stream has a producer, a task that takes the items of the generator and
passes them to the stream's `ItemWriter`. Items that are ready in one turn of the loop go out in one
frame. After each frame the other producers and the calls of the connection have their turn. A
producer waits while its reader gives no credit, and while many bytes are unsent.

A generator that waits at ``yield`` is closed when its reader stops the stream; one that runs is
cancelled. So its ``finally`` blocks run once, in either case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from broker.connection import log
from broker.connection.log import Logged
from broker.connection.pump import Pump
from broker.core.calls.dispatch import note_raised
from broker.core.objects.streams import OutgoingStream
from broker.core.policy import Policy
from broker.core.session import Session
from broker.defer import CancelledError, Deferred, drive
from broker.net.scheduler import Scheduler

__all__ = ["StreamProducers"]

_CANCELLED = (asyncio.CancelledError, CancelledError, GeneratorExit)


class StreamProducers:
    """The producers of one connection.

    Args:
        owner: the connection, as `broker.connection.log` logs it.
        session: sends the items.
        pump: tells how much is unsent.
        policy: the time in which a generator must end after it was stopped.
        scheduler: makes the tasks.
    """

    __slots__ = ("_policy", "_producers", "_stopped", "owner", "pump", "scheduler", "session")

    def __init__(
        self,
        owner: Logged,
        session: Session,
        pump: Pump,
        policy: Policy,
        scheduler: Scheduler,
    ):
        self.owner = owner
        self.session = session
        self.pump = pump
        self.scheduler = scheduler
        self._policy = policy
        self._producers: set[_Producer] = set()
        # Those that were stopped and have not ended, with the time.
        self._stopped: dict[_Producer, float] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def start(self, stream: OutgoingStream) -> None:
        """Start to produce a stream, whose message was sent."""
        producer = _Producer(stream, self)
        stream.producer = producer
        self._producers.add(producer)
        context = stream.context
        create_task = self.scheduler.create_task
        if create_task is None:
            deferred = drive(producer.run(), context)
            producer.cancel = deferred.cancel
            deferred.addBoth(lambda _: self._ended(producer))
            return
        task = create_task(producer.run(), context=context)
        producer.cancel = task.cancel
        task.add_done_callback(lambda _: self._ended(producer))

    def stop(self, error: Exception | None = None) -> None:
        """End all.

        Args:
            error: the reason for the readers; None if the connection has ended.
        """
        for producer in list(self._producers):
            producer.stop(error)

    def watch(self, producer: _Producer) -> None:
        """Log that the generator goes on, if it does some time after it was stopped."""
        if not self._stopped:
            self.scheduler.later(self._policy.close_timeout, self._look)
        self._stopped[producer] = self.scheduler.now()

    def _look(self) -> None:
        since = self.scheduler.now() - self._policy.close_timeout
        for producer, when in list(self._stopped.items()):
            if when <= since:
                del self._stopped[producer]
                log.stream_goes_on(self.owner, producer.name)
        if self._stopped:
            first = min(self._stopped.values())
            self.scheduler.later(first - since, self._look)

    def _ended(self, producer: _Producer) -> None:
        self._producers.discard(producer)
        self._stopped.pop(producer, None)
        producer.cancel = None


class _Producer:
    """The producer of one stream.

    Args:
        stream: the stream.
        among: the producers of its connection.

    Attributes:
        name: of the method.
        cancel: cancels the task.
    """

    __slots__ = (
        "_among",
        "_is_stopped",
        "_needs_credit",
        "_pump",
        "_scheduler",
        "_session",
        "_stream",
        "_waiter",
        "_will_flush",
        "_writer",
        "cancel",
        "name",
    )

    def __init__(self, stream: OutgoingStream, among: StreamProducers):
        self.name = stream.name
        self.cancel: Callable[[], object] | None = None
        self._stream = stream
        self._among = among
        self._session = among.session
        self._writer = among.session.streaming.writer(stream)
        self._pump = among.pump
        self._scheduler = among.scheduler
        # While the producer waits, and not the generator.
        self._waiter: Deferred[None] | None = None
        self._needs_credit = False
        self._is_stopped = False
        self._will_flush = False

    async def run(self) -> None:
        """Send the items, and the end."""
        error: BaseException | None = None
        source = self._stream.items
        iterator: Any = source
        try:
            iterator = aiter(source)
            await self._send_all(iterator)
        except _CANCELLED as cancelled:
            if not self._is_stopped:
                error = cancelled
        except Exception as raised:  # noqa: BLE001 - sent to the reader, and logged
            error = raised
            note_raised(raised)
        await self._close(iterator)
        if not self._is_stopped:
            self._end(error)
        self._stream.producer = None

    async def _send_all(self, iterator: Any) -> None:
        writer = self._writer
        step = iterator.__anext__
        await self._room()
        while True:
            if self._is_stopped:
                return
            try:
                item = await step()
            except StopAsyncIteration:
                return
            if self._has_ended():
                return
            if writer.add(item):
                self._pump.flush_later()
                await self._turn()
            elif not self._will_flush:
                self._will_flush = True
                self._scheduler.soon(self._flush)
            if not writer.has_room:
                self._flush_now()
                await self._room()

    def _has_ended(self) -> bool:
        return self._is_stopped

    def _flush(self) -> None:
        """Send the items that were ready in this turn: the generator waits, or is behind them."""
        self._will_flush = False
        if not self._is_stopped and not self._writer.is_empty:
            self._flush_now()

    def _flush_now(self) -> None:
        self._writer.flush()
        self._pump.flush_later()

    def _end(self, error: BaseException | None) -> None:
        self._writer.flush()
        self._session.streaming.end(self._stream, error)
        self._pump.flush_later()

    async def _close(self, iterator: Any) -> None:
        close = getattr(iterator, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except _CANCELLED:
            pass
        except Exception as error:  # noqa: BLE001 - logged; the stream has ended already
            log.stream_not_closed(self._among.owner, self.name, error)

    async def _room(self) -> None:
        """Wait for credit."""
        while not self._writer.has_room and not self._is_stopped:
            self._needs_credit = True
            waiter: Deferred[None] = Deferred()
            self._waiter = waiter
            await waiter

    async def _turn(self) -> None:
        """Let others have their turn; then wait until few bytes are unsent."""
        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        self._scheduler.soon(partial(self._wake, waiter))
        await waiter
        while self._pump.is_congested and not self._is_stopped:
            waiter = Deferred()
            self._waiter = waiter
            self._pump.when_drained(partial(self._wake, waiter))
            await waiter

    def _wake(self, waiter: Deferred[None] | None) -> None:
        if waiter is not None and self._waiter is waiter:
            self._waiter = None
            self._needs_credit = False
            waiter.callback(None)

    def credited(self) -> None:
        """Go on: the reader takes more."""
        if self._needs_credit and self._writer.has_room:
            self._wake(self._waiter)

    def stop(self, error: Exception | None = None) -> None:
        """End without a further item; tell the reader if there is an error."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if error is not None:
            self._end(error)
        self._among.watch(self)
        if self._waiter is not None:
            # The generator waits at ``yield``: it is closed.
            self._wake(self._waiter)
        elif self.cancel is not None:
            self.cancel()
