"""A turn of the loop of one connection, and its writes.

``PythonPumpBase`` has a form in C, ``broker._lane.PumpBase``; it is the specification of that form,
and used where that is missing. The form in C makes no call of Python between the received bytes and
the written ones, if the inbox is idle and the lane takes all. `broker.connection.pump.Pump` is
the class on top of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.core.calls.answering import Answers
from broker.core.calls.dispatch import Method
from broker.core.calls.incoming import IncomingCalls
from broker.core.calls.method_runner import MethodRunner
from broker.core.inbox import Inbox
from broker.core.objects.releases import PendingReleases
from broker.core.objects.tables import Export, OpenCalls
from broker.core.objects.translator import Translator
from broker.core.outbox import Outbox
from broker.core.stats import Stats
from broker.core.wire.msgpack.reader import FrameReader
from broker.native import native

if TYPE_CHECKING:
    from broker.connection.lane import PythonCallsBase
    from broker.net.scheduler import Scheduler
    from broker.net.transport_port import TransportPort

__all__ = ["BATCH", "PumpBase", "PythonPumpBase"]

BATCH = 32
"""Messages that may wait for the end of the turn. A longer batch is written, so that the peer can
begin to handle it while this side makes the rest."""


class PythonPumpBase:
    """The work of a pump for each received piece of bytes."""

    __slots__ = (
        "_calls",
        "_has_flush",
        "_inbox",
        "_is_running",
        "_now",
        "_open_calls",
        "_outbox",
        "_port",
        "_runner",
        "_scheduler",
        "_translator",
        "_write_budget",
    )
    _calls: PythonCallsBase
    # Whether `flush` is called at the end of this turn of the loop.
    _has_flush: bool
    _inbox: Inbox
    _is_running: bool
    _now: Callable[[], float]
    _open_calls: OpenCalls
    _outbox: Outbox
    _port: TransportPort | None
    _runner: MethodRunner
    _scheduler: Scheduler | None
    _translator: Translator
    # Bytes that may be written before the next check; see FlowControl.regulate.
    _write_budget: int

    def run(self, began: float | None = None, data: bytes | None = None, /) -> None:
        """Handle received messages for one turn, and the rest in later turns of the loop.

        Args:
            began: the time now, if the caller has just read the clock.
            data: the next bytes for the inbox, which is idle; None if it has got them.
        """
        if self._is_running:
            return
        scheduler, calls, inbox = self._scheduler, self._calls, self._inbox
        self._runner.last, calls.has_stepped = None, False
        if began is None:
            began = self._now()
        if calls.waiting and scheduler is not None:
            calls.stepped_loop = scheduler.stepped_loop()
        self._is_running = calls.is_batched = True
        if data is None:
            self._go_on(began, inbox.pump, 1)
        else:
            self._go_on(began, inbox.take, data)

    def flush(self) -> None:
        """Write the bytes that wait to be sent."""
        self._has_flush = False
        port = self._port
        # A closing transport would drop the bytes; unwritten, their calls end as not run.
        if port is None or port.is_closing:
            return
        data = self._outbox.take()
        if data:
            port.write(data)
            # Since the last check the unsent bytes have grown by at most the bytes written.
            self._write_budget -= len(data)
            if self._write_budget < 0:
                self._regulate()

    def soon_flush(self) -> None:
        """Write the bytes that wait to be sent, now or at the end of this turn of the loop."""
        if self._is_running or self._translator.transaction is not None:
            return
        queued = self._outbox.unsent.queued
        if queued >= BATCH or (queued == 1 and len(self._open_calls) <= 1):
            self.flush()
        else:
            self.flush_later()

    def flush_later(self) -> None:
        """Write the bytes that wait to be sent, at the end of this turn of the loop."""
        raise NotImplementedError

    def _go_on(self, began: float, handle: Callable[..., bool], *args: Any) -> None:
        """Call ``handle(*args)``, which handles the first message; then others; end the turn."""
        raise NotImplementedError

    def _regulate(self) -> None:
        """Compare the unsent bytes with the policy, and act."""
        raise NotImplementedError


if TYPE_CHECKING or native is None:
    PumpBase = PythonPumpBase
else:
    PumpBase = native.PumpBase
    native.use_classes(
        answers=Answers,
        entry=Export,
        inbox=Inbox,
        incoming=IncomingCalls,
        method=Method,
        open_calls=OpenCalls,
        outbox=Outbox,
        reader=FrameReader,
        releases=PendingReleases,
        runner=MethodRunner,
        stats=Stats,
        translator=Translator,
    )
