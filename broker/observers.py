"""Observers: objects that are told what happens on connections, and cannot change it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from time import monotonic
from typing import Any

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.connection.peer import CURRENT_CALL, Call
from broker.connection.tracers import add_tracer
from broker.core.objects.streams import Counted
from broker.core.tracer import Outcome, Timer
from broker.errors import WrongType
from broker.printable import printable, text_of_value
from broker.propagation import Propagator, log_raised, log_slow, propagate, record_of

__all__ = [
    "LogCalls",
    "ObservedStream",
    "Observer",
    "OfConnection",
    "checked_observers",
    "observe",
]

logger = logging.getLogger("broker.calls")

_LONGEST_NAME = 100
# In seconds.
_TOO_LONG = 0.1


class ObservedStream:
    """A stream, for observers. It has no items.

    Args:
        counted: has the numbers.
        name, is_incoming, call, connection: see the attributes.

    Attributes:
        name: the method that has returned it or that got it as an argument; empty if that is not
            known.
        is_incoming: whether this end reads it.
        call: the call that has returned it, or that has it as an argument of the peer; or None.
        connection: the connection.
    """

    __slots__ = ("_counted", "call", "connection", "is_incoming", "name")

    def __init__(
        self,
        counted: Counted,
        name: str,
        is_incoming: bool,
        call: Call | None,
        connection: Connection,
    ):
        self._counted = counted
        self.name = name
        self.is_incoming = is_incoming
        self.call = call
        self.connection = connection

    @property
    def items(self) -> int:
        """The items that were sent, or have arrived, until now."""
        return self._counted.passed_items

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self._counted.passed_bytes


class Observer:
    """Is told what happens on the connections of a server, or on one connection.

    Subclass it, override what you need, and pass it to ``serve`` or ``connect`` in ``observers``.
    The methods must return at once: the loop waits for them. One that takes more than 0.1 s is
    logged, at most once a minute for each observer. If one raises, the error is logged, once for
    each observer and type of error, and nothing else happens.

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

    def stream_opened(self, stream: ObservedStream) -> None:
        """A stream was opened, by this end or by the peer.

        For a stream that this end makes, this runs in the context of the code that makes the items.
        """

    def stream_ended(self, stream: ObservedStream, outcome: Outcome, error: object) -> None:
        """A stream has ended.

        Args:
            stream: what :meth:`stream_opened` got.
            outcome: ANSWERED after the last item; RAISED if its code raised; CANCELLED if the
                reader has stopped it; REFUSED if a limit has; or LOST.
            error: the exception or Failure; None without one, and if the peer has raised it.
        """

    def slow(self, connection: Connection, is_slow: bool) -> None:
        """More than ``Policy.high_water`` bytes wait to be sent to the peer; or no more."""

    def limit_hit(self, connection: Connection, limit: str) -> None:
        """A limit, the name of a setting of the Policy, has refused something."""

    def _tracer_of(self, broker: Broker) -> OfConnection:
        """Return what the session of a connection tells; observers of this package have others."""
        return OfConnection(self, broker)


# The methods that a subclass may override.
_METHODS = tuple(name for name in vars(Observer) if not name.startswith("_"))
# Those about calls, and about streams, which know their calls.
_OF_CALLS = ("call_started", "call_ended", "stream_opened", "stream_ended")


class LogCalls(Observer):
    """Logs each call when it has ended, on the logger ``broker.calls``: ``alice reserve 1.2 ms``.

    The facts of the record are ``user``, ``peer``, ``method``, ``milliseconds``, ``outcome``, the
    ``request_id`` in the metadata of the call, and the ``trace_id`` of its ``traceparent``; see the
    page on logging. Calls of the peer only.

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
            "request_id": _request_id(call),
            "trace_id": _trace_id(call),
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


class OfConnection:
    """The tracer of one connection that tells one observer.

    Only what the observer overrides is called, and nothing is made for the rest.

    Args:
        observer: it is told.
        broker: the connection.
    """

    never_raises = True

    def __init__(self, observer: Observer, broker: Broker):
        self._observer = observer
        self._connection = broker.connection
        self._started = _overridden(observer, "call_started")
        self._ended = _overridden(observer, "call_ended")
        self._has_calls = any(_overridden(observer, name) is not None for name in _OF_CALLS)

    @property
    def timer(self) -> Timer | None:
        """None: it takes more than times."""
        return None

    @property
    def has_calls(self) -> bool:
        """Whether the observer wants to know of calls, or of streams, which know their calls."""
        return self._has_calls

    @property
    def needs_records(self) -> bool:
        """Whether each call to the peer gets a record for it."""
        return self._has_calls or isinstance(self._observer, Propagator)

    def opened(self, dialect: str) -> None:
        """Tell of it."""
        self._tell(self._observer.connection_opened, self._connection)

    def closed(self) -> None:
        """Do nothing: the reason is not known yet, see `observe`."""

    def begin(
        self, name: str, wants_answer: bool, target: type | None, call: Call | None = None
    ) -> object:
        """Tell of a call, for which a record is made unless it has one; see `Tracing.begin`.

        Returns:
            The record, and the token of the observer; None if that has raised.
        """
        if call is None:
            # What `Broker.describe` does: a call of it would cost as much as the record.
            peer = CURRENT_CALL.get().peer
            call = Call(peer, self._connection, name, True, wants_answer, target)
            CURRENT_CALL.set(call)
        started = self._started
        if started is None:
            return call, None
        token: object = None
        # Here and in `call_ended`, not by `_tell`: each call would pay for one more function.
        began = monotonic()
        try:
            token = call, started(call)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an observer cannot harm a connection
            log_raised(self._observer, error)
        took = monotonic() - began
        if took > _TOO_LONG:
            self._note_slow("call_started", took)
        return token

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        """Tell of a call; return what :meth:`begin` does."""
        if is_incoming:
            # The tracer is told in the context of the call, which has its record.
            call = CURRENT_CALL.get()
        else:
            connection = self._connection
            sending = record_of(connection.broker)
            call = sending or Call(connection.peer, connection, name, False, wants_answer)
        return self.begin(name, wants_answer, target, call)

    def call_ended(self, token: Any, outcome: Outcome, error: object) -> None:
        """Tell of it."""
        ended = self._ended
        if ended is None or token is None:
            return
        call, own = token
        began = monotonic()
        try:
            ended(own, call, outcome, error)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:  # noqa: BLE001 - an observer cannot harm a connection
            log_raised(self._observer, raised)
        took = monotonic() - began
        if took > _TOO_LONG:
            self._note_slow("call_ended", took)

    def stream_opened(
        self, stream: Counted, name: str, is_incoming: bool, token: object
    ) -> ObservedStream:
        """Tell of it; return its record."""
        current = CURRENT_CALL.get(None)
        call: Call | None = token[0] if isinstance(token, tuple) else current
        if call is not None and call.connection is not self._connection:
            call = None
        if call is not None:
            name = call.name
        seen = ObservedStream(stream, name, is_incoming, call, self._connection)
        self._tell(self._observer.stream_opened, seen)
        return seen

    def stream_ended(self, record: object, outcome: Outcome, error: object) -> None:
        """Tell of it."""
        self._tell(self._observer.stream_ended, record, outcome, error)

    def received(self, size: int) -> None:
        """Do nothing."""

    def sent(self, size: int) -> None:
        """Do nothing."""

    def slow(self, is_slow: bool) -> None:
        """Tell of it."""
        self._tell(self._observer.slow, self._connection, is_slow)

    def limit_hit(self, limit: str) -> None:
        """Tell of it."""
        self._tell(self._observer.limit_hit, self._connection, limit)

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        """Tell of it."""
        outcome = Outcome.ANSWERED if is_accepted else Outcome.REFUSED
        self._tell(self._observer.login, self._connection, mechanism, outcome, reason)

    def connection_ended(self, broker: Broker) -> None:
        """Tell that the connection has ended: its reason is known now."""
        self._tell(self._observer.connection_closed, broker.connection, broker.reason)

    def _tell(self, method: Callable[..., object], *args: object) -> None:
        """Call a method of the observer."""
        began = monotonic()
        try:
            method(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an observer cannot harm a connection
            log_raised(self._observer, error)
        took = monotonic() - began
        if took > _TOO_LONG:
            self._note_slow(getattr(method, "__name__", "a method"), took)

    def _note_slow(self, method: str, seconds: float) -> None:
        """Log that the observer has held the loop."""
        # So the method of a call is not told to have held the loop.
        self._connection.broker.calls.has_stepped = True
        log_slow(self._observer, method, seconds)


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
        for name in _METHODS:
            if iscoroutinefunction(getattr(type(each), name)):
                raise WrongType(f"{type(each).__name__}.{name} is async: an observer must not wait")
    return given  # type: ignore[return-value]


def observe(broker: Broker, observers: Iterable[Observer]) -> None:
    """Tell observers of a new connection."""
    for observer in observers:
        # Of its class: what an observer does to its own attributes must not harm the connection.
        tracer = type(observer)._tracer_of(observer, broker)
        add_tracer(broker.session, tracer)
        broker.closed.addCallback(_closed, broker, tracer)
        if tracer.needs_records:
            propagate(broker, observer)


def _overridden(observer: Observer, name: str) -> Callable[..., object] | None:
    """Return a method of an observer; None if it is the one of `Observer`, which does nothing."""
    method: Callable[..., object] = getattr(observer, name)
    return None if getattr(method, "__func__", None) is vars(Observer)[name] else method


def _closed(result: None, broker: Broker, tracer: OfConnection) -> None:
    tracer.connection_ended(broker)


def _shown(value: object) -> str:
    return printable(text_of_value(value, _LONGEST_NAME + 1), _LONGEST_NAME)


def _request_id(call: Call) -> str | None:
    """Return what the caller calls its request, as text of one line, or None."""
    text = (call.meta or {}).get("x-request-id")
    return None if text is None else _shown(text)


def _trace_id(call: Call) -> str | None:
    """Return the trace of a call, if its metadata names one."""
    found = _is_traceparent((call.meta or {}).get("traceparent", ""))
    return None if found is None else found[1]


_is_traceparent = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?\Z"
).match
