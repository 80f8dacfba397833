"""Observers: objects that are told what happens on connections, and cannot change it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.connection.peer import CURRENT_CALL, Call
from broker.connection.tracers import add_tracer
from broker.core.tracer import Outcome
from broker.errors import WrongType
from broker.printable import printable, text_of_value

if TYPE_CHECKING:
    from broker.core.tracer import Tracer

__all__ = ["LogCalls", "Observer", "checked_observers", "observe"]

logger = logging.getLogger("broker.calls")

_LONGEST_NAME = 100


class Observer:
    """Is told what happens on the connections of a server, or on one connection.

    Subclass it, override what you need, and pass it to ``serve`` or ``connect`` in ``observers``.
    The methods must return at once. If one raises, the error is logged once for each type of error,
    and nothing else happens.

    While a connection has an observer, its calls take the general path: see the page on the lane.
    """

    def connection_opened(self, connection: Connection) -> None:
        """A connection has chosen its dialect; calls can be made."""

    def connection_closed(self, connection: Connection, reason: Exception | None) -> None:
        """A connection has ended. Each call that had not ended was told before."""

    def login(self, connection: Connection, mechanism: str, outcome: Outcome, reason: str) -> None:
        """A login of the peer was accepted (ANSWERED) or refused (REFUSED), for a reason in words.

        The calls of a login are told in no other way.
        """

    def call_started(self, call: Call) -> Any:
        """A call was sent, or a call of the peer is about to be made.

        For an incoming call this runs in the context of the method: a context variable that is set
        here has its value in the method.

        Returns:
            A value for :meth:`call_ended`.
        """

    def call_ended(self, token: Any, call: Call, outcome: Outcome, error: object) -> None:
        """A call has ended.

        Args:
            token: what :meth:`call_started` returned.
            call: the call.
            outcome: how it has ended.
            error: the exception or Failure; None without one.
        """

    def limit_hit(self, connection: Connection, limit: str) -> None:
        """A limit, the name of a setting of the Policy, has refused something."""


class LogCalls(Observer):
    """Logs each call when it has ended, on the logger ``broker.calls``: ``alice reserve 1.2 ms``.

    The facts of the record are ``user``, ``method``, ``milliseconds`` and ``outcome``; see the page
    on logging. Calls of the peer only.

    Args:
        level: of the records.
        clock: returns the time in seconds.
    """

    def __init__(
        self, level: int = logging.INFO, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._level = level
        self._clock = clock

    def call_started(self, call: Call) -> float:
        """Take the time."""
        return self._clock()

    def call_ended(self, token: float, call: Call, outcome: Outcome, error: object) -> None:
        """Log it."""
        if not call.is_incoming or not logger.isEnabledFor(self._level):
            return
        took = (self._clock() - token) * 1000
        user = "-" if call.peer.avatar_id is None else _shown(call.peer.avatar_id)
        name = _shown(call.name)
        facts = {
            "event": "call",
            "user": None if call.peer.avatar_id is None else user,
            "peer": _shown(call.peer.address),
            "method": name,
            "milliseconds": round(took, 3),
            "outcome": outcome.value,
        }
        logger.log(
            self._level,
            "%s %s %.1f ms %s",
            user,
            name,
            took,
            outcome.value,
            extra={"facts": facts},
        )


class _OfConnection:
    """The tracer of one connection that tells one observer."""

    def __init__(self, observer: Observer, connection: Connection):
        self._observer = observer
        self._connection = connection

    def opened(self, dialect: str) -> None:
        self._observer.connection_opened(self._connection)

    def closed(self) -> None:
        """Do nothing: the reason is not known yet, see `observe`."""

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        connection = self._connection
        if is_incoming:
            # The tracer is told in the context of the call, which has its record.
            call = CURRENT_CALL.get()
        else:
            call = Call(connection.peer, connection, name, False, wants_answer)
        return call, self._observer.call_started(call)

    def call_ended(self, token: object, outcome: Outcome, error: object) -> None:
        if isinstance(token, tuple):
            call, own = token
            self._observer.call_ended(own, call, outcome, error)

    def received(self, size: int) -> None:
        """Do nothing."""

    def sent(self, size: int) -> None:
        """Do nothing."""

    def limit_hit(self, limit: str) -> None:
        self._observer.limit_hit(self._connection, limit)

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        outcome = Outcome.ANSWERED if is_accepted else Outcome.REFUSED
        self._observer.login(self._connection, mechanism, outcome, reason)


def checked_observers(observers: Iterable[object]) -> tuple[Observer, ...]:
    """Return observers, as a tuple.

    Raises:
        WrongType: a TypeError: one of them is not an Observer.
    """
    given = tuple(observers)
    for each in given:
        if not isinstance(each, Observer):
            kind = f"the class {each.__name__}" if isinstance(each, type) else type(each).__name__
            raise WrongType(f"observers= takes objects of subclasses of Observer, not {kind}")
    return given  # type: ignore[return-value]


def observe(broker: Broker, observers: Iterable[Observer]) -> None:
    """Tell observers of a new connection."""
    for observer in observers:
        tracer: Tracer = _OfConnection(observer, broker.connection)
        add_tracer(broker.session, tracer)
        broker.closed.addCallback(_closed, broker, observer)


def _closed(result: None, broker: Broker, observer: Observer) -> None:
    try:
        observer.connection_closed(broker.connection, broker.reason)
    except Exception:
        logging.getLogger("broker.observers").exception(
            "the observer %s raised", type(observer).__name__
        )


def _shown(value: object) -> str:
    return printable(text_of_value(value, _LONGEST_NAME + 1), _LONGEST_NAME)
