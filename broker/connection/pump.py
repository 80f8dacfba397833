"""The pump of one connection: messages in and bytes out, in turns of the loop.

Theory of operation. A turn ends after ``turn_messages`` messages or at a deadline (``Turns``), so
that a flood of one peer, or one large message, does not delay the others. The bytes to send are
written once a turn: earlier if a batch grows long, and at once if no other call is in flight.
`FlowControl` acts when the peer reads too slowly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from broker.connection import log
from broker.connection.budget import SMALL, Budget, Share
from broker.connection.flow_control import FlowControl
from broker.connection.log import Logged
from broker.connection.pending_calls import PendingCalls
from broker.connection.pump_base import BATCH, PumpBase
from broker.connection.reading import Reading
from broker.connection.turns import Turns
from broker.connection.watchdogs.write_stall import WriteStallWatchdog
from broker.core.policy import Policy
from broker.core.session import Session
from broker.core.wire.messages import Goodbye
from broker.errors import ProtocolError
from broker.net.transport_port import TransportPort

__all__ = ["Pump"]

# Seconds after which a warning names the methods that block the loop.
_TOO_LONG = 1.0


class Pumped(Logged, Protocol):
    """The connection of a pump."""

    def abort(self, error: Any) -> None:
        """End the connection because of an error."""

    def allow(self, seconds: float) -> None:
        """Do not count ``seconds``, in which nothing was read, against the peer."""


class Pump(PumpBase):
    """Handles the messages of a session, and writes its bytes.

    Args:
        owner: the connection: logged, ended by errors, and told for how long nothing was read.
        session: the session.
        policy: the length of a turn, and how much may wait.

    Attributes:
        budget: of the server; None at a client.
        has_turn: whether messages wait for a turn that was requested.
        turns: shares time between connections; all connections of a server have the same.
    """

    __slots__ = (
        "_flow_control",
        "_owner",
        "_policy",
        "_session",
        "_stats",
        "_when_drained",
        "budget",
        "has_turn",
        "turns",
    )

    def __init__(
        self,
        owner: Pumped,
        session: Session,
        policy: Policy,
    ):
        self.has_turn = False
        self.turns = Turns(policy.turn_time)
        self.budget: Budget | None = None
        self._owner = owner
        self._session = session
        self._stats = session.counters
        self._inbox = session.inbox
        self._outbox = session.outbox
        self._open_calls = session.outgoing.open_calls
        self._translator = session.translator
        self._runner = session.incoming.runner
        self._policy = policy
        self._port = None
        self._scheduler = None
        self._now = _no_time
        # Made when they are first needed; most connections never need them.
        self._flow_control: FlowControl | None = None
        self._when_drained: list[Callable[[], object]] | None = None
        self._write_budget = policy.high_water
        self._is_running = False
        self._has_flush = False

    @property
    def is_calling(self) -> bool:
        """Whether this runs in a turn that has called a method of the application.

        It is False in a turn that has so far handled other messages only, such as answers.
        """
        return self._is_running and self._runner.last is not None

    def begin(self, port: TransportPort, calls: PendingCalls) -> None:
        """Begin to work on a connection.

        Args:
            port: its transport.
            calls: its outgoing calls.
        """
        self._port = port
        self._calls = calls
        self._scheduler = port.scheduler
        self._now = port.scheduler.now

    def stop(self) -> None:
        """Stop handling and writing: the connection has ended."""
        self._port = self._scheduler = None
        self._now = _no_time
        self._when_drained = None
        if self._flow_control is not None:
            self._flow_control.stop()

    def end(self) -> None:
        """Stop flow control: all received messages are handled or dropped."""
        if self._flow_control is not None:
            self._flow_control.end()

    # Messages in.

    def _go_on(self, began: float, handle: Callable[..., bool], *args: Any) -> None:
        """Call ``handle(*args)``, which handles the first message; then others; end the turn."""
        calls, inbox, runner = self._calls, self._inbox, self._runner
        try:
            more = handle(*args)
            if more or runner.last is not None:
                now = self._now()
                if now - began > _TOO_LONG:
                    self._tell_blocked(1, now - began)
                more = more and self._run_on(now)
        except ProtocolError as error:
            self._owner.abort(error)
            return
        except (KeyboardInterrupt, SystemExit):
            # The loop may go on: the other messages are handled in a later turn.
            self.ask_for_turn()
            raise
        finally:
            self._is_running = calls.is_batched = False
            calls.stepped_loop = None
        if self._outbox.unsent.queued:
            self.flush()
        if more:
            inbox.note_arrival()
        if self._write_budget < 0 or not inbox.wants_data:
            self._regulate()
        if more and not inbox.has_unstarted_tasks:
            self.ask_for_turn()

    def resume(self) -> None:
        """Call :meth:`run`, unless the connection has ended.

        An exception of an application's hook ends the connection. For callbacks of the loop, which
        would log the exception in its own way, and continue.
        """
        if self._port is None:
            return
        try:
            self.run()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            self._owner.abort(error)

    def _run_on(self, now: float) -> bool:
        """Handle more, in growing slices, until the deadline; return whether messages are left."""
        policy, scheduler = self._policy, self._scheduler
        if scheduler is None:
            return True
        inbox, unsent, stats = self._inbox, self._outbox.unsent, self._stats
        ends = self.turns.deadline(scheduler)
        handled = 1
        while now < ends and handled < policy.turn_messages:
            if inbox.has_unstarted_tasks or unsent.size > policy.high_water:
                break
            # Twice as many each time: so the clock is read only a few times a turn, but a turn with
            # slow messages still ends near its deadline.
            size = min(handled, policy.turn_messages - handled)
            self._runner.last, self._calls.has_stepped = None, False
            calls, began = stats.calls_received, now
            more = inbox.pump(size)
            now = self._now()
            if now - began > _TOO_LONG:
                self._tell_blocked(stats.calls_received - calls, now - began)
            if not more:
                return False
            if not inbox.works:
                handled += size
            if unsent.queued >= BATCH:
                self.flush()
        return True

    def _tell_blocked(self, calls: int, seconds: float) -> None:
        """Log that synchronous methods have blocked the loop, if any were called.

        If tasks ran in this time too, they may have taken it.

        Args:
            calls: the number of calls received in this time; a large message may have begun before.
            seconds: how long they took.
        """
        last = self._runner.last
        if last is not None and not self._calls.has_stepped:
            log.blocked(self._owner, last[0], max(1, calls), seconds)

    def ask_for_turn(self) -> None:
        """Request a later turn of the loop for the received messages."""
        if not self.has_turn and self._scheduler is not None:
            self.has_turn = True
            self.turns.ask(self._scheduler, self._take_turn)

    def _take_turn(self) -> None:
        self.has_turn = False
        self.resume()

    # Bytes out.

    def flush_last(self, goodbye: Goodbye) -> None:
        """Write the bytes that wait to be sent, and a goodbye; write nothing after it."""
        data = self._outbox.take_last(goodbye)
        if data and self._port is not None:
            self._port.write(data)

    def flush_later(self) -> None:
        """Write the bytes that wait to be sent, at the end of this turn of the loop."""
        if not self._has_flush and self._scheduler is not None:
            self._has_flush = True
            self._scheduler.soon(self.flush)

    def flush_from_any_thread(self) -> None:
        """Like :meth:`flush_later`, but callable from a finalizer, and with a closed loop."""
        scheduler = self._scheduler
        if not self._has_flush and scheduler is not None:
            self._has_flush = True
            # RuntimeError: the loop is closed.
            with contextlib.suppress(RuntimeError):
                scheduler.soon_threadsafe(self.flush)

    @property
    def is_congested(self) -> bool:
        """Whether more is unsent than the policy's high water mark."""
        return self._write_budget < 0 and self._unsent() > self._policy.high_water

    def is_slow(self) -> bool:
        """Write what waits if it is more than the high water mark; return `is_congested` then.

        While a method that the peer has called runs, or with few large messages, more would collect
        in the outbox, where it does not count as unsent.
        """
        unsent = self._outbox.unsent.size
        if unsent > self._policy.high_water and self._translator.transaction is None:
            self.flush()
        return self.is_congested

    @property
    def slow_since(self) -> float | None:
        """When more than the high water mark became unsent, by the clock; None if it is not."""
        return self._flow_control.slow_since if self._flow_control and self.is_congested else None

    def when_drained(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` once, when few bytes are unsent again."""
        if self._when_drained is None:
            self._when_drained = []
        self._when_drained.append(callback)

    def drained(self) -> None:
        """Resume: few bytes are unsent again."""
        self._inbox.hold_calls(False)
        waiting, self._when_drained = self._when_drained, None
        for callback in waiting or ():
            callback()
        if not self.has_turn:
            self.resume()

    def _regulate(self) -> None:
        port = self._port
        if port is None:
            return
        self._write_budget = self._flow_control_of(port).regulate()

    def weigh(self) -> None:
        """Stop reading if too many received bytes wait; report to the budget if they are many."""
        port, inbox = self._port, self._inbox
        if not inbox.wants_data:
            self._regulate()
        elif port is not None and self.budget is not None and inbox.held > SMALL:
            self._flow_control_of(port).weigh()

    @property
    def is_reading(self) -> bool:
        """Whether reading is on."""
        if self._flow_control is not None and not self._flow_control.reading.is_on:
            return False
        return self._port is None or self._port.is_reading

    @property
    def is_behind(self) -> bool:
        """Whether received messages wait to be handled."""
        return self._inbox.waiting > 0

    @property
    def taken(self) -> int:
        """Bytes that the transport has sent; -1 if nothing is unsent, or that is not known."""
        port = self._port
        unsent = port.unsent if port is not None and port.is_unsent_exact else 0
        return self._session.stats.bytes_sent - unsent if unsent else -1

    def _flow_control_of(self, port: TransportPort) -> FlowControl:
        if self._flow_control is None:
            scheduler = port.scheduler
            session, policy, unsent = self._session, self._policy, self._unsent
            share = None
            if self.budget is not None:
                share = Share(self.budget, scheduler, self._held, self._close)
            self._flow_control = FlowControl(
                session,
                policy,
                Reading(port, scheduler.now, self._owner.allow),
                unsent,
                WriteStallWatchdog(scheduler, policy, unsent, session.stats, self._owner.abort),
                self.ask_for_turn,
                share,
            )
        return self._flow_control

    def _unsent(self) -> int:
        return 0 if self._port is None else self._port.unsent

    def _held(self) -> int:
        """Return the number of bytes that are received and not handled, or not sent."""
        unsent = 0 if self._port is None else self._port.most_unsent
        session = self._session
        return unsent + session.outbox.unsent.size + session.inbox.held + session.translator.held

    def _close(self, error: Exception) -> None:
        self._session.forget_received()
        self._owner.abort(error)


def _no_time() -> float:
    """The clock without a scheduler."""
    return 0.0
