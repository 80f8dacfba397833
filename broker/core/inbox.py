"""The inbox: messages received from the peer and not handled yet, and the order of handling.

Messages are handled in the order of their arrival. While the peer does not read (``holds_calls``),
its calls are queued. The decrefs behind them are queued too, since they may release objects that
those calls name. Answers to outgoing calls are still handled: otherwise two sides whose buffers are
both full would wait for each other. A Cancel is handled at once if its call is running; if the call
is queued, the Cancel is queued too.

A one-way call is not refused because of a limit, since its caller would not learn of the refusal.
While the limit of running calls is reached (``is_full``), it is queued until one of them has ended,
and the messages behind it are queued as above. While the task of an async method has not started,
no method that is not async is called: methods start in the order of their calls.

A message with a large graph is handled in several turns. The messages behind it wait until it is
done.

The bytes of one turn's worth of messages are decoded at a time. Decoding small messages takes
longer than receiving them, and other connections must wait for it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from msgspec import Struct

from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.core.tracer import Tracing
from broker.core.wire.commands import COMMANDS, Order, records
from broker.core.wire.dialects import MessageReader
from broker.core.wire.messages import CallMessage, GraphCall, Raw, Received
from broker.core.work import PUT_OFF, Work, WorkLeft
from jelly.errors import ProtocolError

if TYPE_CHECKING:
    from broker.core.session import Session

__all__ = ["CALLS", "Barrier", "Handlers", "Inbox", "wants_answer"]

CALLS = records(lambda row: row.is_call)
"""The types of messages that call a local method."""

_OUTLIVES = records(lambda row: row.outlives)
# The commands of those in an expression, for a host that parses expressions itself.
_OUTLIVES_RAW = [[COMMANDS[record].name] for record in _OUTLIVES]
_SENDS = records(lambda row: row.is_one_way)


class Barrier(Struct):
    """Marks the end of the messages that were received before the session began to drain."""


_QUEUED = {Barrier, *records(lambda row: row.order is Order.QUEUED)}
_WITH_THEIR_CALLS = records(lambda row: row.order is Order.WITH_ITS_CALL)

# Least memory of a decoded message in bytes, besides its size on the wire.
_MESSAGE = 256

Queued: TypeAlias = Received | Barrier

Handlers: TypeAlias = "Mapping[type, Callable[[Session, Any], WorkLeft]]"
"""The handler of each type of message: ``handler(session, message)``."""


class Inbox:
    """The received messages of one connection.

    Args:
        owner: passed to the handlers.
        handlers: the handler of each type of message.
        read: decodes bytes. ``read(data, messages, most)`` appends at most ``most`` messages, and
            returns whether there may be more.
        begins_at_once: tells whether a call would run a method now, instead of starting a task.
        running: the ids of the running calls.
        outbox: handling stops early when its size exceeds ``policy.high_water``.
        policy: ``high_water``, and the limits of this inbox.
        stats: counts the bytes received.
        worked: called when work that took more than one turn is done.

    Attributes:
        arrived: time at which the next bytes were received; set by the caller of :meth:`receive`.
        handlers, read: as given; replaced during the start of the connection.
        is_closed: whether further bytes are ignored.
        tracing: reports received bytes to a tracer, or None.
        wants_data: whether the unhandled bytes are few enough to read more.
        has_more: whether there are bytes that are not decoded, and may be whole messages.
        has_unstarted_tasks: whether the task of an async method has not started yet.
        holds_calls: whether the peer's calls wait because the peer does not read.
        is_full: whether the peer's calls wait because ``max_calls`` calls are running.
        has_barrier: whether a Barrier is queued.
        works: the rest of the work of messages that take more than one turn, oldest first. Each
            with whether it is still done after the peer has closed the connection.
        max_backlog: most unhandled bytes; lower before a login.
        reader: the ``dialects.MessageReader``; None before a dialect is chosen.
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
        "tracing",
        "wants_data",
        "works",
    )

    def __init__(
        self,
        owner: Session,
        handlers: Handlers,
        read: Callable[[bytes, deque[Queued], int], bool],
        begins_at_once: Callable[[CallMessage], bool],
        running: Container[object],
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
        self.reader: MessageReader | None = None
        self.arrived = 0.0
        self.tracing: Tracing | None = None
        # Of the bytes to decode: their end, as an offset in all bytes received, and their time.
        self._arrivals: deque[tuple[int, float]] | None = None
        self._owner = owner
        self._begins_at_once = begins_at_once
        self._running = running
        self._outbox = outbox
        self._policy = policy
        self._stats = stats
        self._worked = worked
        # Made when needed: a deque takes 0.7 KiB, and most connections are idle most of the time.
        self._messages: deque[Queued] | None = None
        self._held: deque[Queued] | None = None
        self._fault: ProtocolError | None = None
        self._backlog = 0
        # Upper bound of the size of the held messages; and whether messages were added since.
        self._held_bytes = 0
        self._has_grown = False

    @property
    def waiting(self) -> int:
        """Number of messages received and not handled."""
        waiting = len(self._messages or ()) + len(self._held or ()) + self.has_more
        return waiting + len(self.works)

    @property
    def has_held(self) -> bool:
        """Whether messages are queued behind a waiting call."""
        return bool(self._held)

    def store(self, data: bytes) -> None:
        """Take in bytes without decoding them; :meth:`pump` decodes."""
        self.receive(data, 0)

    @property
    def held(self) -> int:
        """Approximate memory of the unhandled messages, in bytes."""
        waiting = len(self._messages or ()) + len(self._held or ())
        reader = self.reader
        if reader is None:
            return _MESSAGE * waiting
        decoded = max(self._backlog - reader.pending, 0) if waiting else 0
        return decoded + _MESSAGE * waiting + reader.held

    def receive(self, data: bytes, most: int | None = None) -> None:
        """Take in bytes, and decode one turn's worth of messages; then call :meth:`pump`.

        Args:
            data: bytes of the peer. Pass ``b""`` to go on decoding the bytes received before.
            most: most messages to decode. Default: ``policy.turn_messages``.

        Raises nothing. :meth:`pump` raises the error of illegal bytes, after it has handled the
        messages before them. So the result does not depend on the pieces in which bytes arrive.
        """
        if self.is_closed or self._fault is not None:
            return
        if most is None:
            most = self._policy.turn_messages
        size = len(data)
        self._stats.bytes_received += size
        if self.tracing is not None:
            self.tracing.tracer.received(size)
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

    def _read_behind(self, data: bytes, messages: deque[Queued], most: int) -> None:
        """Decode messages that may be older than ``data``, and set the deadlines of their calls."""
        reader, arrivals, before = self.reader, self._arrivals, len(messages)
        if arrivals is None:
            arrivals = self._arrivals = deque()
        received = self._stats.bytes_received
        if data:
            arrivals.append((received, self.arrived))
        # Usually all bytes have the time of the last ones: then no deadline is set here.
        is_mixed = any(came != self.arrived for _, came in islice(arrivals, 2))
        ends: list[int] = []
        if is_mixed and reader is not None:
            reader.note_ends(ends)
        try:
            self.has_more = self.read(data, messages, most)
        except ProtocolError as error:
            self.has_more = False
            self._fault = error
        if is_mixed and reader is not None:
            reader.note_ends(None)
        if ends and reader is not None and self._fault is None:
            # From offsets of the reader to offsets in all bytes received.
            shift = received - reader.pending - ends[-1]
            for end, message in zip(ends, islice(messages, before, None), strict=False):
                while len(arrivals) > 1 and arrivals[0][0] < end + shift:
                    arrivals.popleft()
                _note_due(message, arrivals[0][1])
        if not self.has_more:
            self._arrivals = None

    def note_arrival(self) -> None:
        """Set the deadlines of the waiting calls, counted from now, their time of arrival."""
        for message in self._messages or ():
            _note_due(message, self.arrived)

    def pump(self, most: int = -1) -> bool:
        """Handle at most ``most`` messages; all if it is negative.

        Stops early when the outbox exceeds ``policy.high_water``, so that answers are sent first.

        Returns:
            Whether there are messages that can be handled in the next turn.

        Raises:
            ProtocolError: a message violates the protocol. Further bytes are ignored.
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
            # The answers so far are still sent, and a goodbye with the reason.
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

    def handle(self, message: Queued) -> None:
        """Handle one message now, or queue it if it must wait.

        Raises:
            ProtocolError: the message is not legal.
        """
        kind = type(message)
        if (self.holds_calls or self.is_full) and self._waits(kind, message):
            self._hold(message)
        else:
            self._take(self.handlers[kind](self._owner, message), kind, message)

    def add_barrier(self) -> bool:
        """Put a Barrier behind the received messages, if there are one-way calls among them.

        Returns:
            Whether a Barrier is queued.
        """
        messages, held = self._messages or (), self._held or ()
        calls = [each for each in chain(messages, held) if is_call(each)]
        if not all(map(wants_answer, calls)):
            queue = self._messages or self._held
            if queue is not None:
                queue.append(Barrier())
                self.has_barrier = True
        return self.has_barrier

    def add_work(self, work: Work | None, outlives: bool = False) -> None:
        """Schedule the rest of the work of a message, if any, for the next turns."""
        if work is not None:
            self.works.append((work, outlives))

    def _work_on(self) -> None:
        """Do one slice of the oldest work."""
        work, _ = entry = self.works[0]
        for _ in work:
            return
        # The work may have ended the connection.
        if entry in self.works:
            self.works.remove(entry)
            self._worked()

    def last_words(self) -> Iterator[object]:
        """Close the inbox after the peer has gone; return an iterator over its last messages.

        Each step of the iterator looks at one message. It handles answers to outgoing calls, and a
        goodbye. It drops all others: calls, since no caller is left to take the answer, and
        decrefs. The iterator ends at the first protocol error.
        """
        words, has_more = deque(self._messages or ()), self.has_more
        works = [work for work, outlives in self.works if outlives]
        self.works = [entry for entry in self.works if not entry[1]]
        self.clear()
        return self._hear(works, words, has_more)

    def _hear(self, works: list[Work], words: deque[Queued], has_more: bool) -> Iterator[object]:
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
                if _outlives(message):
                    left = self.handlers[type(message)](self._owner, message)
                    if left is not None and left is not PUT_OFF:
                        yield from left
                yield None

    def clear(self) -> None:
        """Close the inbox, and drop the waiting messages, since the connection is gone."""
        self.is_closed = True
        self.has_more = False
        for queue in (self._messages, self._held):
            if queue:
                # A running pump has a reference to the queue.
                queue.clear()
        # A fault has a traceback, whose frames keep the decoded values alive.
        self._held = self._fault = None
        works, self.works = self.works, []
        for work, _ in works:
            # ValueError: the work is running at the moment. It is not continued.
            with contextlib.suppress(ValueError):
                work.close()

    def _pump_decoding(self, most: int) -> None:
        """Handle messages and decode further ones, while there are undecoded bytes."""
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
        # The quick path: nearly always no message has to wait.
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
        """Handle messages if some must wait: for held calls, or for a task to start."""
        messages = self._messages
        while most and not self.is_closed:
            held, is_held = self._held, self.holds_calls or self.is_full
            if held and not is_held:
                queue: deque[Queued] = held
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
            if self.has_unstarted_tasks and is_call(message) and self._begins_at_once(message):
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

    def _take(self, work: WorkLeft, kind: type, message: Queued) -> None:
        """Store the result of a handler: work that is left, or PUT_OFF."""
        if work is PUT_OFF:
            self.is_full = True
            # The held messages arrived after it.
            self._hold(message, is_first=True)
        else:
            self.add_work(work, kind in _OUTLIVES)

    def _hold(self, message: Queued, is_first: bool = False) -> None:
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
        """Recompute the backlog when every decoded message has been handled or is held."""
        if self.reader is None:
            return
        pending = self.reader.pending
        if not self._held:
            self._held_bytes = 0
        elif self._has_grown:
            # The bytes received together with a held message are counted as its bytes.
            self._held_bytes = max(self._backlog - pending, 0)
        self._has_grown = False
        self._backlog = pending + self._held_bytes
        if self._backlog <= self.max_backlog // 2:
            self.wants_data = True

    def _waits(self, kind: type, message: Any) -> bool:
        """Return whether a message must wait while calls are held."""
        return kind in _QUEUED or (
            kind in _WITH_THEIR_CALLS and message.request_id not in self._running
        )


def is_call(message: Queued) -> TypeGuard[CallMessage]:
    """Return whether a message calls a method."""
    return type(message) in CALLS


def wants_answer(call: CallMessage) -> bool:
    """Return whether a call is not one-way."""
    return call.wants_answer if isinstance(call, GraphCall) else type(call) not in _SENDS


def _note_due(message: Queued, arrived: float) -> None:
    """Replace the milliseconds of a call's deadline by a time, counted from ``arrived``."""
    if is_call(message) and type(message.deadline) is int:
        # A record on the wire has milliseconds; here it gets seconds, a float.
        message.deadline = arrived + message.deadline / 1000  # type: ignore[assignment]


def _outlives(message: Queued) -> bool:
    """Return whether a message is still handled after the peer has gone."""
    if isinstance(message, Raw):
        expression = message.expression
        return type(expression) is list and expression[:1] in _OUTLIVES_RAW
    return type(message) in _OUTLIVES
