"""The inbox: what the peer has sent and is not handled yet, and in which order it will be.

Messages are handled as they came. While the peer does not read what it is sent (``holds_calls``),
its calls are queued. The decrefs behind them are queued too, since they may release objects that
those calls name. Answers to our own calls are still handled: otherwise two ends that both wait for
room would wait for each other. A Cancel is handled at once if its call is running; if the call is
queued, so is the Cancel.

A call without an answer is not refused for a limit, since its caller would not learn of it. While
the limit of running calls is reached (``is_full``), it is queued until one of them has ended, and
the messages behind it are queued as above. While a method runs as a task that has not begun, no
method that would begin at once is called.

A message with a large graph is handled in several turns. No message behind it is handled meanwhile.

Bytes are decoded a turn's worth of messages at a time. Decoding small messages takes longer than
receiving them, and other connections wait meanwhile.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import chain, islice
from typing import Any, TypeAlias

from msgspec import Struct

from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.core.wire.messages import (
    Answer,
    Call,
    CallToCache,
    Cancel,
    Decache,
    Decref,
    Failed,
    Goodbye,
    PlainAnswer,
    PlainCall,
    PlainCallToCache,
    PlainSend,
    PlainSendToCache,
    PlainTuple,
    Raw,
    Uncache,
)
from broker.core.work import PUT_OFF, Work
from jelly.errors import ProtocolError

__all__ = ["CALLS", "Barrier", "Handlers", "Inbox", "wants_answer"]

CALLS: frozenset[type] = frozenset(
    {PlainCall, PlainSend, PlainCallToCache, PlainSendToCache, Call, CallToCache}
)
"""The messages that call a method of ours."""

_STAYS_TRUE = frozenset({PlainAnswer, PlainTuple, Answer, Failed, Goodbye})
_STAY_TRUE_RAW = ([b"answer"], [b"error"])
_SENDS = frozenset({PlainSend, PlainSendToCache})


class Barrier(Struct):
    """Stands behind the messages that had come when the session began to drain."""


_WAIT_IN_ORDER = CALLS | {Decref, Decache, Uncache, Barrier}

# Bytes of memory that a message takes at least, besides those in which it came.
_MESSAGE = 256

Handlers: TypeAlias = Mapping[type, Callable[[Any, Any], Any]]
"""What handles a message, by its type; called with the owner of the inbox and the message.

It returns what is left to do, where the message takes more than one turn.
"""


class Inbox:
    """The messages that have come in on one connection.

    Args:
        owner: passed to the handlers.
        handlers: what handles each type of message.
        read: decodes bytes: ``read(data, messages, most)`` appends what they complete, ``most`` at
            most, and returns whether there may be more.
        begins_at_once: whether a call would run a method now, rather than make a task of it.
        running: the ids of the calls that run.
        outbox: handling ends early when this has grown beyond the high water mark.
        policy: that mark, and how much may wait here.
        stats: counts what comes in.
        worked: called when work that took more than one turn is done.

    Attributes:
        arrived: when the bytes have come that are taken in next; set by whoever brings them.
        handlers, read: as given; replaced while the connection gets going.
        is_closed: whether nothing more is taken in.
        wants_data: whether what was received and not handled leaves room for more.
        has_more: whether bytes have come that are not decoded yet, and may be whole messages.
        has_unstarted_tasks: whether a method runs as a task that has not begun.
        holds_calls: whether the peer's calls wait, since it does not read what it is sent.
        is_full: whether they wait, since as many run as may.
        has_barrier: whether a Barrier waits.
        works: what is left to do for messages that take more than one turn, oldest first; and
            whether it matters when the peer has gone.
        max_backlog: bytes that may wait here; less before a login.
        reader: what decodes, as of ``dialects.MessageReader``; None before a dialect is chosen.
    """

    __slots__ = (
        "_arrivals",
        "_backlog",
        "_begins_at_once",
        "_fault",
        "_has_grown",
        "_held",
        "_held_bytes",
        "_messages",
        "_outbox",
        "_owner",
        "_policy",
        "_running",
        "_stats",
        "_worked",
        "arrived",
        "handlers",
        "has_barrier",
        "has_more",
        "has_unstarted_tasks",
        "holds_calls",
        "is_closed",
        "is_full",
        "max_backlog",
        "read",
        "reader",
        "wants_data",
        "works",
    )

    def __init__(
        self,
        owner: Any,
        handlers: Handlers,
        read: Callable[[bytes, deque[Any], int], bool],
        begins_at_once: Callable[[Any], bool],
        running: Container[Any],
        outbox: Outbox,
        policy: Policy,
        stats: Stats,
        worked: Callable[[], object],
    ):
        self.handlers = handlers
        self.works: list[tuple[Work, bool]] = []
        self.read = read
        self.has_more = False
        self.has_unstarted_tasks = False
        self.holds_calls = False
        self.is_full = False
        self.has_barrier = False
        self.wants_data = True
        self.is_closed = False
        self.max_backlog = policy.max_backlog
        self.reader: Any = None
        self.arrived = 0.0
        # Of bytes that wait to be decoded: where they end in all that came, and when they came.
        self._arrivals: deque[tuple[int, float]] | None = None
        self._owner = owner
        self._begins_at_once = begins_at_once
        self._running = running
        self._outbox = outbox
        self._policy = policy
        self._stats = stats
        self._worked = worked
        # A deque is 0.7 KiB, and most connections are idle most of the time.
        self._messages: deque[Any] | None = None
        self._held: deque[Any] | None = None
        self._fault: ProtocolError | None = None
        self._backlog = 0
        # Bytes in which the held messages came, at most; and whether some were added since.
        self._held_bytes = 0
        self._has_grown = False

    @property
    def waiting(self) -> int:
        """Messages that have come and are not handled."""
        waiting = len(self._messages or ()) + len(self._held or ()) + self.has_more
        return waiting + len(self.works)

    @property
    def has_held(self) -> bool:
        """Whether messages are queued behind a call that waits."""
        return bool(self._held)

    def store(self, data: bytes) -> None:
        """Take in bytes, and decode nothing; :meth:`pump` does."""
        self.receive(data, 0)

    @property
    def held(self) -> int:
        """Bytes of memory that what has come and is not handled takes, about."""
        waiting = len(self._messages or ()) + len(self._held or ())
        reader = self.reader
        if reader is None:
            return _MESSAGE * waiting
        decoded = max(self._backlog - reader.pending, 0) if waiting else 0
        return decoded + _MESSAGE * waiting + reader.held  # type: ignore[no-any-return]

    def receive(self, data: bytes, most: int | None = None) -> None:
        """Take in bytes, and decode a turn's worth of messages; :meth:`pump` next.

        Args:
            data: ``b""`` to go on decoding the bytes received before.
            most: messages to decode, other than a turn's worth.

        Raises nothing: what is wrong with the bytes is raised by :meth:`pump`, after the messages
        before it, so that the pieces in which bytes arrive make no difference.
        """
        if self.is_closed or self._fault is not None:
            return
        if most is None:
            most = self._policy.turn_messages
        size = len(data)
        self._stats.bytes_received += size
        self._backlog += size
        if self._backlog > self.max_backlog:
            self.wants_data = False
        messages = self._messages
        if messages is None:
            messages = self._messages = deque()
        if self.has_more or not most:
            self._read_behind(data, messages, most)
            return
        try:
            self.has_more = self.read(data, messages, most)
        except ProtocolError as error:
            self.has_more = False
            self._fault = error
        if self.has_more:
            self._arrivals = deque([(self._stats.bytes_received, self.arrived)])

    def _read_behind(self, data: bytes, messages: deque[Any], most: int) -> None:
        """Decode messages that may have come before ``data``, and note when they did."""
        reader, arrivals, before = self.reader, self._arrivals, len(messages)
        if arrivals is None:
            arrivals = self._arrivals = deque()
        received = self._stats.bytes_received
        if data:
            arrivals.append((received, self.arrived))
        # As in most floods, all came with the bytes that came last: nothing need be noted now.
        is_mixed = any(came != self.arrived for _, came in islice(arrivals, 2))
        ends: list[int] = []
        if is_mixed and hasattr(reader, "ends"):
            reader.ends = ends
        try:
            self.has_more = self.read(data, messages, most)
        except ProtocolError as error:
            self.has_more = False
            self._fault = error
        if is_mixed and hasattr(reader, "ends"):
            reader.ends = None
        if ends and self._fault is None:
            # Where the last of them ends in all that has come.
            shift = received - reader.pending - ends[-1]
            for end, message in zip(ends, islice(messages, before, None), strict=False):
                while len(arrivals) > 1 and arrivals[0][0] < end + shift:
                    arrivals.popleft()
                if type(getattr(message, "deadline", None)) is int:
                    _note_due(message, arrivals[0][1])
        if not self.has_more:
            self._arrivals = None

    def note_arrival(self) -> None:
        """Messages wait: let the deadlines of their calls count from now, when they came."""
        for message in self._messages or ():
            _note_due(message, self.arrived)

    def pump(self, most: int = -1) -> bool:
        """Handle messages, at most ``most`` of them unless it is negative.

        It ends early when the answers have grown beyond the high water mark: they are sent first.

        Returns:
            Whether messages are left that could be handled in the next turn.

        Raises:
            ProtocolError: one is not what the protocol allows; nothing more is taken in.
        """
        try:
            if self.works:
                self._work_on()
                if self.works:
                    return True
            if self.has_more:
                self._pump_decoding(most)
            else:
                self._pump(most)
        except ProtocolError as error:
            # What was answered before still leaves, and a goodbye that says why.
            self.clear()
            self._stats.count_limit(error)
            raise
        if self.is_closed:
            return False
        if self.works:
            return True
        if not self._messages and not self._held and not self.has_more:
            self._backlog = 0
            self._messages = None
            self.wants_data = True
            return self._fault is not None
        has_any = bool(self._messages) or self.has_more
        if not has_any:
            self._weigh()
        is_held = self.holds_calls or self.is_full
        return has_any or not is_held or self._fault is not None

    def handle(self, message: Any) -> None:
        """Handle one message now, or in its turn where it must wait.

        Raises:
            ProtocolError: it is not legal.
        """
        kind = type(message)
        if (self.holds_calls or self.is_full) and self._waits(kind, message):
            self._hold(message)
        else:
            self._take(self.handlers[kind](self._owner, message), kind, message)

    def add_barrier(self) -> bool:
        """Put a Barrier behind what has come, if calls are among that which want no answer.

        Returns:
            Whether it was put there.
        """
        messages, held = self._messages or (), self._held or ()
        calls = [each for each in chain(messages, held) if type(each) in CALLS]
        if not all(map(wants_answer, calls)):
            queue = self._messages or self._held
            if queue is not None:
                queue.append(Barrier())
                self.has_barrier = True
        return self.has_barrier

    def add_work(self, work: Work | None, stays_true: bool = False) -> None:
        """Have what is left of a message done in the turns to come, if anything is."""
        if work is not None:
            self.works.append((work, stays_true))

    def _work_on(self) -> None:
        """Do one slice of the oldest work."""
        work, _ = entry = self.works[0]
        for _ in work:
            return
        # It may have ended the connection.
        if entry in self.works:
            self.works.remove(entry)
            self._worked()

    def last_words(self) -> Iterator[object]:
        """Take nothing more in; return what handles what the peer has said before it went.

        Each step of the iterator looks at one message. Answers to calls of ours are handled, and
        that the peer leaves. All else is void: its own calls, which nobody would be answered, and
        what it has let go. A fault ends it.
        """
        words, has_more = deque(self._messages or ()), self.has_more
        works = [work for work, stays_true in self.works if stays_true]
        self.works = [entry for entry in self.works if not entry[1]]
        self.clear()
        return self._hear(works, words, has_more)

    def _hear(self, works: list[Work], words: deque[Any], has_more: bool) -> Iterator[object]:
        with contextlib.suppress(ProtocolError):
            for work in works:
                for _ in work:
                    yield None
            while words or has_more:
                if not words:
                    has_more = self.read(b"", words, self._policy.turn_messages)
                    if not words:
                        # A large message takes several steps to decode.
                        yield None
                    continue
                message = words.popleft()
                if _stays_true(message):
                    yield from self.handlers[type(message)](self._owner, message) or ()
                yield None

    def clear(self) -> None:
        """Take nothing more in, and forget what waits: the connection is gone."""
        self.is_closed = True
        self.has_more = False
        for queue in (self._messages, self._held):
            if queue:
                # A pump that is under way has it too.
                queue.clear()
        # A fault holds the frames in which it was met, and they what was read.
        self._held = self._fault = None
        works, self.works = self.works, []
        for work, _ in works:
            # One that runs at the moment is not continued.
            with contextlib.suppress(ValueError):
                work.close()

    def _pump_decoding(self, most: int) -> None:
        """Handle messages where more than those that are decoded have come."""
        while True:
            if not self._messages:
                self._weigh()
                self.receive(b"")
            self._pump(most)
            if most >= 0 or not self.has_more or self._messages or self.works:
                return

    def _pump(self, most: int) -> None:
        messages, outbox, owner = self._messages, self._outbox, self._owner
        high_water = self._policy.high_water
        # Nearly always nothing waits: this loop only asks whether that is still so.
        while messages and most and not (
            self.has_unstarted_tasks or self.holds_calls or self._held
        ):  # fmt: skip
            message = messages.popleft()
            work = self.handlers[type(message)](owner, message)
            most -= 1
            if work is not None:
                self._take(work, type(message), message)
                break
            if outbox.size > high_water:
                break
        else:
            if messages or self._held or self._fault is not None:
                self._pump_in_order(most, high_water)

    def _pump_in_order(self, most: int, high_water: int) -> None:
        """Handle messages where some must wait: calls that are held, methods that have to begin."""
        messages = self._messages
        while most and not self.is_closed:
            held, is_held = self._held, self.holds_calls or self.is_full
            if held and not is_held:
                queue: deque[Any] = held
                self._held_bytes -= self._held_bytes // len(held)
            elif messages:
                queue = messages
            elif self._fault is not None:
                raise self._fault
            else:
                return
            message = queue.popleft()
            kind = type(message)
            if is_held and self._waits(kind, message):
                self._hold(message)
                continue
            if self.has_unstarted_tasks and kind in CALLS and self._begins_at_once(message):
                queue.appendleft(message)
                return
            most -= 1
            work = self.handlers[kind](self._owner, message)
            if work is not None:
                self._take(work, kind, message)
                if work is PUT_OFF:
                    continue
                return
            if self._outbox.size > high_water:
                return

    def _take(self, work: Any, kind: type, message: Any) -> None:
        """Note what a handler has returned for a message."""
        if work is PUT_OFF:
            self.is_full = True
            # What is held already came after it.
            self._hold(message, is_first=True)
        else:
            self.add_work(work, kind in _STAYS_TRUE)

    def _hold(self, message: Any, is_first: bool = False) -> None:
        _note_due(message, self.arrived)
        held = self._held
        if held is None:
            held = self._held = deque()
        if is_first:
            held.appendleft(message)
        else:
            held.append(message)
        self._has_grown = True

    def _weigh(self) -> None:
        """Count the backlog anew: all that was decoded has been handled, or is held."""
        if self.reader is None:
            return
        pending = self.reader.pending
        if not self._held:
            self._held_bytes = 0
        elif self._has_grown:
            # What came together with a message that is held counts as part of it.
            self._held_bytes = max(self._backlog - pending, 0)
        self._has_grown = False
        self._backlog = pending + self._held_bytes
        if self._backlog <= self.max_backlog // 2:
            self.wants_data = True

    def _waits(self, kind: type, message: Any) -> bool:
        """Return whether a message waits while calls are held."""
        return kind in _WAIT_IN_ORDER or (
            kind is Cancel and message.request_id not in self._running
        )


def wants_answer(call: Any) -> bool:
    """Return whether the caller of a call, of a type in ``CALLS``, waits for an answer."""
    return type(call) not in _SENDS and getattr(call, "wants_answer", True)


def _note_due(message: Any, arrived: float) -> None:
    """Note until when the caller of a call waits: it came at ``arrived``, and has to wait."""
    milliseconds = getattr(message, "deadline", None)
    if type(milliseconds) is int:
        message.deadline = arrived + milliseconds / 1000


def _stays_true(message: Any) -> bool:
    """Return whether a message matters when the peer has gone."""
    kind = type(message)
    if kind is Raw:
        expression = message.expression
        return type(expression) is list and expression[:1] in _STAY_TRUE_RAW
    return kind in _STAYS_TRUE
