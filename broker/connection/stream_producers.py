"""Produces the streams of one connection.

Theory of operation. Items that are ready in one turn of the loop go out in one frame. After each
frame the other producers and the calls of the connection have their turn; an item of bytes is a
frame of its own, and two of them may go out in one turn. A producer waits while its reader gives no
credit, and while many bytes are unsent.
"""

from __future__ import annotations

from collections.abc import Awaitable

from broker.connection import log
from broker.connection.log import Logged
from broker.connection.pump import Pump
from broker.core.objects.streams import OutgoingStream
from broker.core.policy import Policy
from broker.core.session import Session
from broker.flavors.producing import Producer, Waiter
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["StreamProducers"]

# A second item of bytes goes out in the same turn if so few bytes wait to be written.
_FEW_BYTES = 128 * 1024


class StreamProducers:
    """The producers of one connection.

    Args:
        owner: the connection, as `broker.connection.log` logs it.
        session: sends the items.
        pump: writes, and tells how much is unsent.
        policy: the time in which a generator must end after it was stopped.
        scheduler: makes the tasks.
    """

    __slots__ = ("_policy", "_sinks", "_stopped", "_timer", "owner", "pump", "scheduler", "session")

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
        # In the order in which they began.
        self._sinks: dict[_Sink, None] = {}
        # Those that were stopped and have not ended, with the time; and the timer of the first.
        self._stopped: dict[_Sink, float] = {}
        self._timer: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._sinks)

    def start(self, stream: OutgoingStream) -> None:
        """Start to produce a stream, whose message was sent."""
        sink = _Sink(stream, self)
        stream.producer = sink
        self._sinks[sink] = None
        sink.producer.start(self.scheduler.create_task, stream.context)

    def stop(self, error: Exception | None = None) -> None:
        """End all.

        Args:
            error: the reason for the readers; None if the connection has ended.
        """
        for sink in list(self._sinks):
            if error is not None:
                sink.tell_end(error)
            sink.stop()

    def watch(self, sink: _Sink) -> None:
        """Log that a generator goes on, if it does some time after it was stopped."""
        if self._timer is None:
            self._timer = self.scheduler.timeout(self._policy.close_timeout, self._look)
        self._stopped[sink] = self.scheduler.now()

    def _look(self) -> None:
        self._timer = None
        since = self.scheduler.now() - self._policy.close_timeout
        for sink, when in list(self._stopped.items()):
            if when <= since:
                del self._stopped[sink]
                log.stream_goes_on(self.owner, sink.name)
        if self._stopped:
            delay = min(self._stopped.values()) - since
            self._timer = self.scheduler.timeout(delay, self._look)

    def forget(self, sink: _Sink) -> None:
        """Note that a generator has ended."""
        self._sinks.pop(sink, None)
        self._stopped.pop(sink, None)
        if self._timer is not None and not self._stopped:
            # It would keep the connection alive.
            self._timer.cancel()
            self._timer = None


class _Sink:
    """Sends the items of one stream.

    Attributes:
        name: of the method.
        producer: makes the items.
    """

    __slots__ = (
        "_among",
        "_has_sent_bytes",
        "_needs_credit",
        "_stream",
        "_waiter",
        "_will_flush",
        "_writer",
        "name",
        "producer",
    )

    def __init__(self, stream: OutgoingStream, among: StreamProducers):
        self.name = stream.name
        self.producer = Producer(stream.items, self)
        self._among = among
        self._stream = stream
        self._writer = among.session.streaming.writer(stream)
        self._waiter = Waiter()
        self._needs_credit = False
        self._will_flush = False
        # Whether an item of bytes was sent in this turn.
        self._has_sent_bytes = False

    # Called by the producer.

    def ready(self) -> Awaitable[None] | None:
        """Wait for credit."""
        return None if self._writer.has_room else self._room()

    def put(self, item: object) -> Awaitable[None] | None:
        """Send an item, with those that are ready in this turn."""
        if self._writer.add(item):
            self._among.pump.flush_later()
            if type(item) is bytes and not self._has_sent_bytes and self._may_go_on:
                self._has_sent_bytes = True
                return None
            self._has_sent_bytes = False
            return self._turn()
        if not self._will_flush:
            self._will_flush = True
            self._among.scheduler.soon(self._flush)
        return None

    @property
    def _may_go_on(self) -> bool:
        return self._writer.has_room and self._among.session.outbox.unsent.size < _FEW_BYTES

    def wake(self) -> None:
        """Go on: the stream was stopped."""
        self._waiter.wake()

    def end(self, error: BaseException | None) -> None:
        """Send the end, if the reader has not stopped the stream."""
        self.tell_end(error)
        self._stream.producer = None
        self._among.forget(self)

    def not_closed(self, error: Exception) -> None:
        """Log an error of closing the generator."""
        log.stream_not_closed(self._among.owner, self.name, error)

    # Called by the session.

    def credited(self) -> None:
        """Go on: the reader takes more."""
        if self._needs_credit and self._writer.has_room:
            self._waiter.wake()

    def stop(self) -> None:
        """End without a further item."""
        if not self.producer.is_stopped:
            self._among.watch(self)
            self.producer.stop()

    def tell_end(self, error: BaseException | None) -> None:
        """Send the items that wait, and the end; not twice."""
        if not self._stream.is_ended:
            self._writer.flush()
            self._among.session.streaming.end(self._stream, error)
            self._among.pump.flush_later()

    # Internal.

    def _flush(self) -> None:
        """Send the items that were ready in this turn: the generator waits, or is behind them."""
        self._will_flush = False
        self._writer.flush()
        self._among.pump.flush_later()

    async def _room(self) -> None:
        """Send what waits; then wait for credit."""
        self._flush()
        while not self._writer.has_room and not self.producer.is_stopped:
            self._needs_credit = True
            await self._waiter.wait()
            self._needs_credit = False

    async def _turn(self) -> None:
        """Let others have their turn; then wait until few bytes are unsent, and for credit."""
        pump = self._among.pump
        self._among.scheduler.soon(self._waiter.wake)
        await self._waiter.wait()
        while pump.is_congested and not self.producer.is_stopped:
            pump.when_drained(self._waiter.wake)
            await self._waiter.wait()
        await self._room()
