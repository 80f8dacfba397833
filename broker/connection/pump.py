"""The pump of one connection: messages in and bytes out, in turns of the loop.

Theory of operation. A turn ends after ``turn_messages`` messages or at a deadline (``Turns``), so
that one peer's flood, or one large message, leaves the others their turns. What is to be sent is
one write for each turn: earlier when a batch grows long, and at once when nothing else is in
flight. The flow says when the peer takes too little, and what follows from that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from broker.connection import log
from broker.connection.budget import SMALL, Budget, Share
from broker.connection.flow_control import FlowControl
from broker.connection.reading import Reading
from broker.connection.turns import Turns
from broker.connection.watchdogs.write_stall import WriteStallWatchdog
from broker.core.policy import Policy
from broker.core.session import Session
from broker.errors import ProtocolError
from broker.net.scheduler import Scheduler

__all__ = ["Pump"]

# Seconds after which a warning names the methods that block the loop.
_TOO_LONG = 1.0

# Messages that wait for the end of the turn; beyond that the batch goes out, so that the peer can
# begin on it while the rest is made.
_BATCH = 32


class Pump:
    """Has a session's messages handled, and its bytes written.

    Args:
        session: whose they are.
        policy: how long a turn is, and how much may wait.
        abort: called with the fault that ends the connection, and the limit that it went beyond.
        allow: called with the seconds for which nothing was read, when reading goes on.

    Attributes:
        budget: of the server whose connection it is; None at a client.
        has_turn: whether messages wait for a turn that is asked for.
        turns: shares time with other connections; a server gives one to all of its own.
    """

    __slots__ = (
        "_abort",
        "_allow",
        "_flow_control",
        "_has_flush",
        "_is_running",
        "_now",
        "_out",
        "_policy",
        "_scheduler",
        "_session",
        "_transport",
        "_when_drained",
        "_write_budget",
        "budget",
        "has_turn",
        "turns",
    )

    def __init__(
        self,
        session: Session,
        policy: Policy,
        abort: Callable[..., object],
        allow: Callable[[float], object],
    ):
        self.has_turn = False
        self.turns = Turns(policy.turn_time)
        self.budget: Budget | None = None
        self._allow = allow
        self._session = session
        self._policy = policy
        self._abort = abort
        self._out: Any = None
        self._scheduler: Scheduler | None = None
        self._now: Callable[[], float] = _no_time
        self._transport: Any = None
        # Made when there is something to regulate; most connections never have that.
        self._flow_control: FlowControl | None = None
        # Bytes that may be written before there can be too many unsent; see Flow.
        self._write_budget = policy.high_water
        self._when_drained: list[Callable[[], object]] = []
        self._is_running = False
        self._has_flush = False

    def begin(self, transport: Any, out: Any, scheduler: Scheduler) -> None:
        """Begin to work on a connection.

        Args:
            transport: what is told to stop reading, if it can.
            out: what is written to, which may say how many bytes are ``unsent`` and whether it
                ``is_closing``.
            scheduler: turns and time.
        """
        self._out = out
        self._scheduler = scheduler
        self._now = scheduler.now
        self._transport = transport

    def stop(self) -> None:
        """Handle and write nothing more: the connection is gone."""
        self._out = self._scheduler = self._transport = None
        self._now = _no_time
        self._when_drained.clear()
        if self._flow_control is not None:
            self._flow_control.stop()

    def end(self) -> None:
        """Hold nothing any more: what had come is handled or dropped."""
        if self._flow_control is not None:
            self._flow_control.end()

    # Messages in.

    def run(self, began: float | None = None) -> None:
        """Handle what has come in, a turn's worth; the rest in turns of the loop that come soon.

        Args:
            began: the time, where it has just been read.
        """
        if self._is_running:
            return
        session = self._session
        callee = session.callee
        callee.last_name = ""
        if began is None:
            began = self._now()
        self._is_running = True
        try:
            more = session.pump(1)
            if more or callee.last_name:
                now = self._now()
                if now - began > _TOO_LONG:
                    self._tell_blocked(1, now - began)
                more = more and self._run_on(now)
        except ProtocolError as error:
            self._abort(error)
            return
        finally:
            self._is_running = False
        if session.outbox.queued:
            self.flush()
        if self._write_budget < 0 or not session.inbox.wants_data:
            self._regulate()
        if more:
            session.inbox.note_arrival()
            if not session.inbox.has_unstarted_tasks:
                self.ask_for_turn()

    def resume(self) -> None:
        """Do as :meth:`run`; what a hook of the application's raises ends the connection.

        For the loop, which would log it in its own way, and go on.
        """
        try:
            self.run()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            self._abort(error)

    def _run_on(self, now: float) -> bool:
        """Handle more, in slices that grow while time is left; return whether there is more yet."""
        session, policy, scheduler = self._session, self._policy, self._scheduler
        if scheduler is None:
            return True
        inbox, outbox, stats = session.inbox, session.outbox, session.stats
        ends = self.turns.deadline(scheduler)
        handled = 1
        while now < ends and handled < policy.turn_messages:
            if inbox.has_unstarted_tasks or outbox.size > policy.high_water:
                break
            # Twice as many each time: the clock is read a few times a turn, and a turn whose
            # messages take long still ends near its time.
            size = min(handled, policy.turn_messages - handled)
            session.callee.last_name = ""
            calls, began = stats.calls_received, now
            more = session.pump(size)
            now = self._now()
            if now - began > _TOO_LONG:
                self._tell_blocked(stats.calls_received - calls, now - began)
            if not more:
                return False
            if not inbox.works:
                handled += size
            if outbox.queued >= _BATCH:
                self.flush()
        return True

    def _tell_blocked(self, calls: int, seconds: float) -> None:
        """Log that plain methods have held up the loop, if any were called.

        Args:
            calls: how many have come; that of a large message has come before.
            seconds: for how long.
        """
        session = self._session
        if session.callee.last_name:
            log.blocked(session.host, session.callee.last_name, max(1, calls), seconds)

    def ask_for_turn(self) -> None:
        """Have what has come in handled in a turn of the loop that comes soon."""
        if not self.has_turn and self._scheduler is not None:
            self.has_turn = True
            self.turns.ask(self._scheduler, self._take_turn)

    def _take_turn(self) -> None:
        self.has_turn = False
        self.resume()

    # Bytes out.

    def flush(self) -> None:
        """Write what is due."""
        self._has_flush = False
        out = self._out
        # What a closing transport would drop stays unwritten, so that its calls end as not run.
        if out is None or getattr(out, "is_closing", False):
            return
        data = self._session.data_to_send()
        if data:
            out.write(data)
            # What is unsent has grown by no more than was written since it was last asked for.
            self._write_budget -= len(data)
            if self._write_budget < 0:
                self._regulate()

    def soon_flush(self) -> None:
        """Write what is due, now or at the end of this turn of the loop."""
        session = self._session
        if self._is_running or session.translator.scope is not None:
            return
        queued = session.outbox.queued
        if queued >= _BATCH or (queued == 1 and session.waiting <= 1):
            self.flush()
        else:
            self.flush_later()

    def flush_later(self) -> None:
        """Write what is due at the end of this turn of the loop."""
        if not self._has_flush and self._scheduler is not None:
            self._has_flush = True
            self._scheduler.soon(self.flush)

    def flush_from_any_thread(self) -> None:
        """Do as :meth:`flush_later`, also from a finalizer, and when the loop is closed already."""
        scheduler = self._scheduler
        if not self._has_flush and scheduler is not None:
            self._has_flush = True
            # A loop that is closed tells nobody anything any more.
            with contextlib.suppress(RuntimeError):
                scheduler.soon_threadsafe(self.flush)

    @property
    def is_congested(self) -> bool:
        """Whether more is unsent than the policy's high water mark."""
        return self._write_budget < 0 and self._unsent() > self._policy.high_water

    def when_drained(self, callback: Callable[[], object]) -> None:
        """Have ``callback()`` called once, when little is unsent again."""
        self._when_drained.append(callback)

    def drained(self) -> None:
        """Little is unsent any more: go on."""
        self._session.inbox.holds_calls = False
        waiting, self._when_drained = self._when_drained, []
        for callback in waiting:
            callback()
        if not self.has_turn:
            self.resume()

    def _regulate(self) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        self._write_budget = self._flow_control_of(scheduler).regulate()

    def weigh(self) -> None:
        """Something has come that is not handled: stop reading, or report it, if it is much."""
        scheduler, inbox = self._scheduler, self._session.inbox
        if not inbox.wants_data:
            self._regulate()
        elif scheduler is not None and self.budget is not None and inbox.held > SMALL:
            self._flow_control_of(scheduler).weigh()

    @property
    def is_reading(self) -> bool:
        """Whether what the peer sends is read."""
        if self._flow_control is not None and not self._flow_control.reading.is_on:
            return False
        return bool(getattr(self._transport, "is_reading", True))

    @property
    def is_behind(self) -> bool:
        """Whether something has come that is not handled yet."""
        return self._session.inbox.waiting > 0

    @property
    def taken(self) -> int:
        """Bytes that were written and are not unsent; -1 where nothing is unsent, or none knows."""
        unsent = self._unsent() if self._out is self._transport else 0
        return self._session.stats.bytes_sent - unsent if unsent else -1

    def _flow_control_of(self, scheduler: Scheduler) -> FlowControl:
        if self._flow_control is None:
            session, policy, unsent = self._session, self._policy, self._unsent
            share = None
            if self.budget is not None:
                share = Share(self.budget, scheduler, self._held, self._close)
            self._flow_control = FlowControl(
                session,
                policy,
                Reading(self._transport, scheduler.now, self._allow),
                unsent,
                WriteStallWatchdog(scheduler, policy, unsent, session.stats, self._abort),
                self.ask_for_turn,
                share,
            )
        return self._flow_control

    def _unsent(self) -> int:
        return getattr(self._out, "unsent", 0)

    def _held(self) -> int:
        """Return the bytes that are received and not handled, or not sent."""
        unsent: int = getattr(self._out, "held", None) or self._unsent()
        return unsent + self._session.outbox.size + self._session.inbox.held

    def _close(self, error: Exception, limit: str) -> None:
        self._session.forget_received()
        self._abort(error, limit)


def _no_time() -> float:
    """Be the clock where there is no scheduler."""
    return 0.0
