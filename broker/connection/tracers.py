"""Several tracers of one session, each of which can be added and removed at any time.

A session has one tracer at most. Here that one passes on what it is told. A tracer that raises does
not harm the session or the other tracers: its error is logged, once for each type.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, Protocol, runtime_checkable

from broker.core.objects.streams import Counted, IncomingStream, OutgoingStream
from broker.core.session import Session
from broker.core.tracer import Begin, Outcome, Timer, Tracer

__all__ = [
    "SafeTracer",
    "SlowTracer",
    "StreamTracer",
    "Tracers",
    "add_tracer",
    "remove_tracer",
    "tell_slow",
    "tell_stream",
]

logger = logging.getLogger("broker.observers")

# The methods that the session calls at a tracer which it tells directly.
_TOLD = ("call_started", "call_ended")


class _Tokens(list[tuple[Tracer, object]]):
    """The tokens that the tracers have for one call."""


class Tracers:
    """The tracer that passes on what it is told.

    As long as only one member is told of calls, and never raises, the session calls the methods of
    that one directly: this saves most of the cost of a call that is counted.

    Attributes:
        members: the tracers that are told.
        timer: the only member that is told of calls if it only takes times; else None.
        begin: of the only such member, if that never raises and takes more than times; else None.
        has_calls: whether a member is told of calls, or was.
    """

    def __init__(self) -> None:
        self.members: tuple[Tracer, ...] = ()
        # Those that are told of calls.
        self._of_calls: tuple[Tracer, ...] = ()
        # The one that the session itself tells, or has told.
        self._direct: Tracer | None = None
        self.has_calls = False
        self.timer: Timer | None = None
        self.begin: Begin | None = None
        self._logged: set[tuple[int, type]] = set()

    def add(self, tracer: Tracer) -> None:
        """Tell one more tracer.

        Args:
            tracer: it is told of calls by the session itself while it alone is told of them, and
                is a `SafeTracer`.
        """
        self.members += (tracer,)
        if isinstance(tracer, SafeTracer) and not tracer.has_calls:
            return
        is_first, self.has_calls = not self.has_calls, True
        self._of_calls += (tracer,)
        if is_first and isinstance(tracer, SafeTracer):
            self._direct = tracer
            self.timer = tracer.timer
            self.begin = tracer.begin if tracer.timer is None else None
            vars(self).update((name, getattr(tracer, name)) for name in _TOLD)
        else:
            self._tell_itself()

    def remove(self, tracer: Tracer) -> None:
        """Tell a tracer no more, but for the ends of the calls that it knows."""
        self.members = tuple(each for each in self.members if each is not tracer)
        self._of_calls = tuple(each for each in self._of_calls if each is not tracer)
        if tracer is self._direct:
            self._tell_itself()

    def _tell_itself(self) -> None:
        """Have the session tell no member directly."""
        self.timer = self.begin = None
        for name in _TOLD:
            vars(self).pop(name, None)

    @property
    def has_sizes(self) -> bool:
        """Whether a member wants to know of the bytes that are received and sent."""
        return not all(isinstance(each, SafeTracer) for each in self.members)

    def opened(self, dialect: str) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.opened, dialect)

    def closed(self) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.closed)

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        """Pass it on, and keep the tokens of all."""
        tokens = _Tokens()
        for each in self._of_calls:
            token = self._tell(each, each.call_started, name, is_incoming, wants_answer, target)
            tokens.append((each, token))
        return tokens

    def call_ended(self, token: object, outcome: Outcome, error: object) -> None:
        """Pass it on to those who know of the call."""
        if isinstance(token, _Tokens):
            for each, own in token:
                self._tell(each, each.call_ended, own, outcome, error)
        elif self._direct is not None:
            # The call has started when there was one tracer only.
            self._direct.call_ended(token, outcome, error)

    def received(self, size: int) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.received, size)

    def sent(self, size: int) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.sent, size)

    def limit_hit(self, limit: str) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.limit_hit, limit)

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        """Pass it on."""
        for each in self.members:
            self._tell(each, each.login, mechanism, is_accepted, reason)

    def slow(self, is_slow: bool) -> None:
        """Tell those who want to know that many bytes are unsent now, or few again."""
        for each in self.members:
            if isinstance(each, SlowTracer):
                self._tell(each, each.slow, is_slow)

    def stream_opened(self, stream: Counted, name: str, is_incoming: bool, of: object) -> None:
        """Tell those of a stream who want to know, and later of its end.

        Args:
            stream: the stream.
            name: of the method, if it is known, or empty.
            is_incoming: whether this end reads it.
            of: the tokens of the call that returns it to this end, or None.
        """
        # The call may have started when there was one tracer only.
        known = of if isinstance(of, _Tokens) else [(self._direct, of)]
        tokens = {id(each): own for each, own in known}
        ends: list[Callable[[Outcome, object], object]] = []
        for each in self.members:
            if isinstance(each, StreamTracer):
                own = tokens.get(id(each))
                record = self._tell(each, each.stream_opened, stream, name, is_incoming, own)
                ends.append(partial(self._tell, each, each.stream_ended, record))

        def ended(outcome: Outcome, error: object) -> None:
            for end in ends:
                end(outcome, error)

        if ends:
            stream.on_ended = ended

    def _tell(self, tracer: Tracer, method: Callable[..., object], /, *args: object) -> object:
        try:
            return method(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            if (id(tracer), type(exc)) not in self._logged:
                self._logged.add((id(tracer), type(exc)))
                logger.exception("the observer %s raised", type(tracer).__name__)
            return None


@runtime_checkable
class SafeTracer(Tracer, Protocol):
    """A tracer that never raises, and does not need the numbers of bytes.

    Attributes:
        never_raises: True.
        timer: the tracer itself, if it only takes times; else None.
        has_calls: whether it is told of calls.
    """

    never_raises: ClassVar[Literal[True]]

    @property
    def timer(self) -> Timer | None:
        """See the attributes."""
        ...

    @property
    def has_calls(self) -> bool:
        """See the attributes."""
        ...

    def begin(self, name: str, wants_answer: bool, target: type | None, /) -> object:
        """Do what `Tracing.begin` does."""
        ...


@runtime_checkable
class StreamTracer(Protocol):
    """A tracer that wants to know of streams too."""

    def stream_opened(
        self, stream: Counted, name: str, is_incoming: bool, token: object, /
    ) -> object:
        """A stream was opened; see `Tracers.stream_opened`. Return a value for its end."""
        ...

    def stream_ended(self, record: object, outcome: Outcome, error: object, /) -> None:
        """It has ended."""
        ...


@runtime_checkable
class SlowTracer(Protocol):
    """A tracer that wants to know whether many bytes are unsent."""

    def slow(self, is_slow: bool, /) -> None:
        """More than ``Policy.high_water`` bytes are unsent now, or no more."""
        ...


def tell_slow(session: Session, is_slow: bool) -> None:
    """Tell the tracers of a session, if it has some, that many bytes are unsent, or no more."""
    if session.tracing is not None and isinstance(session.tracing.tracer, Tracers):
        session.tracing.tracer.slow(is_slow)


def tell_stream(session: Session, stream: OutgoingStream | IncomingStream) -> None:
    """Tell the tracers of a session, if it has some, of a stream that was opened."""
    tracing = session.tracing
    if tracing is None or not isinstance(tracing.tracer, Tracers):
        return
    told = tracing.tracer.stream_opened
    if isinstance(stream, IncomingStream):
        told(stream, "", True, tracing.current)
    elif stream.context is not None:
        # A context variable that is set there has its value in the code that makes the items.
        stream.context.run(told, stream, stream.name, False, None)


def add_tracer(session: Session, tracer: Tracer) -> None:
    """Tell one more tracer of a session; it is told of calls that start from now on.

    Raises:
        RuntimeError: the session has a tracer of another kind.
    """
    tracing = session.tracing
    hub = Tracers() if tracing is None else tracing.tracer
    if not isinstance(hub, Tracers):
        raise RuntimeError("this session has a tracer of its own")
    hub.add(tracer)
    if tracing is None:
        session.trace(hub)
    elif session.dialect is not None:
        hub._tell(tracer, tracer.opened, session.dialect.name.decode("ascii"))
    _ease(session, hub)


def remove_tracer(session: Session, tracer: Tracer) -> None:
    """Tell a tracer no more; without tracers the session takes its quick paths again."""
    tracing = session.tracing
    if tracing is None or not isinstance(tracing.tracer, Tracers):
        return
    hub = tracing.tracer
    hub.remove(tracer)
    if hub.members:
        _ease(session, hub)
    else:
        session.trace(None)


def _ease(session: Session, hub: Tracers) -> None:
    """Have a session report only what the members of its tracer need."""
    session.ease_tracing(hub.timer, hub.begin, has_sizes=hub.has_sizes, has_calls=hub.has_calls)
