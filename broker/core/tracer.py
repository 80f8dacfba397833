"""The tracer: what a session tells an observer about its calls, bytes and limits.

A session without a tracer tests for None once at the start and once at the end of a call. A tracer
is told and does not act: it gets names, sizes and errors, and neither arguments nor results. Its
methods must not raise, and must return at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from contextvars import Context
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from broker.errors import CallTimeout

if TYPE_CHECKING:
    from broker.core.calls.dispatch import Method

__all__ = ["ANSWERED", "Begin", "Outcome", "Timer", "Times", "Tracer", "Tracing", "outcome_of"]

T = TypeVar("T")

Begin: TypeAlias = Callable[[str, bool, type | None], object]
"""Gets the name of a call of the peer, whether it wants an answer, and the class of the object.

It runs in the contextvars of the call, and returns the token of the tracer.
"""


class Outcome(Enum):
    """How a call ended."""

    ANSWERED = "answered"  # it returned; a one-way call: it was sent, or it returned
    RAISED = "raised"  # its method raised an error
    REFUSED = "refused"  # it was not run
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"  # its deadline passed
    NOT_RUN = "not run"  # the connection ended before it was sent
    LOST = "lost"  # the connection ended, and it may have been run


ANSWERED = Outcome.ANSWERED
"""The same: an attribute of an Enum takes Python 3.11 as long as a call of a function."""


class Tracer(Protocol):
    """An observer of one session."""

    def opened(self, dialect: str, /) -> None:
        """The dialect is chosen; calls can be made."""
        ...

    def closed(self) -> None:
        """The session has ended. Each call that had not ended was reported before."""
        ...

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None, /
    ) -> object:
        """A call was sent, or a call of the peer is about to be made.

        The calls that a peer makes to log in are not reported: see :meth:`login`.

        Args:
            name: the method's name, as it was sent: it may be any text.
            is_incoming: whether the peer makes the call.
            wants_answer: False for a one-way call.
            target: of an incoming call, the class of the object if it is known, else None.

        Returns:
            A value that is passed to :meth:`call_ended`.
        """
        ...

    def call_ended(self, token: object, outcome: Outcome, error: object, /) -> None:
        """A call ended.

        Args:
            token: what :meth:`call_started` returned.
            outcome: how it ended.
            error: the exception or Failure; None if the call returned or has no known error.
        """
        ...

    def received(self, size: int, /) -> None:
        """This number of bytes was received."""
        ...

    def sent(self, size: int, /) -> None:
        """This number of bytes was passed to the transport."""
        ...

    def limit_hit(self, limit: str, /) -> None:
        """A limit, the name of a setting of the Policy, refused something."""
        ...

    def login(self, mechanism: str, is_accepted: bool, reason: str, /) -> None:
        """A login of the peer was accepted, or refused for a reason in words."""
        ...


class Times(Protocol):
    """The calls of one method that were answered, by the time that they took.

    The quick path of a call counts a short one itself: a number and a sum, nothing for each call.

    Attributes:
        clock: returns the time, in seconds.
        most_short: the seconds of the longest short call.
        short: how many were short.
        seconds: the sum of the times of all.
    """

    clock: Callable[[], float]
    most_short: float
    short: int
    seconds: float

    def add(self, seconds: float, /) -> None:
        """Count a call that took so many seconds."""
        ...


class Timer(Protocol):
    """A tracer that only takes the time of a call. The quick path of a call does this itself.

    The token of such a tracer is the class of the target, the name and the time of the start.
    """

    def timed(self, target: type, methods: Mapping[str, Method], /) -> Mapping[str, Method]:
        """Return the methods of a class with their attribute ``times`` set."""
        ...


class Tracing:
    """A tracer, and its tokens of the calls that have not ended.

    A call is an IncomingCall of the peer, or the request id of an outgoing call.

    Args:
        tracer: it is told. Also an attribute.
        describe: see `broker.core.host.Host.describe`.

    Attributes:
        begin: puts the record of a call of the peer into the current contextvars, and tells the
            tracer that it starts; see `Begin`.
        has_calls: whether the tracer is told of calls.
        timer: the tracer, if it only takes times; else None.
    """

    __slots__ = ("_current", "_describe", "_tokens", "begin", "has_calls", "timer", "tracer")

    def __init__(self, tracer: Tracer, describe: Begin):
        self.tracer = tracer
        self.begin: Begin = self._begin
        self.has_calls = True
        self.timer: Timer | None = None
        self._describe = describe
        self._current: Hashable = None
        self._tokens: dict[Hashable, tuple[object, Context | None]] = {}

    def ease(self, timer: Timer | None, begin: Begin | None, has_calls: bool) -> None:
        """Tell the tracer in a way that costs less.

        Args:
            timer, has_calls: see the attributes.
            begin: used as the attribute, or None for the usual way.
        """
        self.timer, self.begin, self.has_calls = timer, begin or self._begin, has_calls

    def _begin(self, name: str, wants_answer: bool, target: type | None) -> object:
        self._describe(name, wants_answer, target)
        return self.tracer.call_started(name, True, wants_answer, target)

    def adopt(self, call: Hashable, token: object, context: Context | None = None) -> None:
        """Keep the token of a call that the tracer has been told of.

        Args:
            call: the call.
            token: what the tracer has returned.
            context: the contextvars of the call, in which it is told of the end; None for those of
                the code that ends it.
        """
        self._tokens[call] = token, context

    def one_way(self, name: str) -> None:
        """Tell the tracer of a one-way call that was sent."""
        token = self.tracer.call_started(name, False, False, None)
        self.tracer.call_ended(token, ANSWERED, None)

    def during(self, call: Hashable, enter: Callable[..., T], *args: object) -> T:
        """Return ``enter(*args)``, which decodes a part of the answer to a call."""
        self._current = call
        try:
            return enter(*args)
        finally:
            self._current = None

    @property
    def current(self) -> object:
        """The token of the call whose answer is being decoded, or None."""
        return self._tokens.get(self._current, (None,))[0]

    def end(self, call: Hashable, outcome: Outcome, error: object = None) -> None:
        """Tell the tracer that a call has ended, unless it was told."""
        if call in self._tokens:
            self._tell(*self._tokens.pop(call), outcome, error)

    def _tell(
        self, token: object, context: Context | None, outcome: Outcome, error: object
    ) -> None:
        tell = self.tracer.call_ended
        if context is not None:
            # RuntimeError: the code that ends the call runs in this context already.
            with suppress(RuntimeError):
                context.run(tell, token, outcome, error)
                return
        tell(token, outcome, error)

    def close(self, may_have_run: Mapping[int, bool]) -> None:
        """Tell the tracer that the session, and each call that has not ended, has ended.

        Args:
            may_have_run: for each open outgoing call, whether the peer may have run it.
        """
        tokens, self._tokens = self._tokens, {}
        for call, (token, context) in tokens.items():
            is_unsent = isinstance(call, int) and not may_have_run.get(call, True)
            outcome = Outcome.NOT_RUN if is_unsent else Outcome.LOST
            self._tell(token, context, outcome, None)
        self.tracer.closed()


def outcome_of(error: object, was_run: bool) -> Outcome:
    """Return how a call of the peer ended that was answered with an error.

    Args:
        error: the exception or Failure.
        was_run: whether the method was called.
    """
    inner = getattr(error, "value", None)
    value = inner if isinstance(inner, BaseException) else error
    if isinstance(value, CallTimeout):
        return Outcome.TIMED_OUT
    # Deferreds and asyncio have an exception of this name each, and this module knows neither.
    if type(value).__name__ == "CancelledError":
        return Outcome.CANCELLED
    return Outcome.RAISED if was_run else Outcome.REFUSED
