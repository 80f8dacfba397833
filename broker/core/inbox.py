"""The inbox: messages received from the peer and not handled yet, and the order of handling.

Messages are handled in the order of their arrival. While the peer does not read (``holds_calls``),
its calls are queued. The decrefs behind them are queued too, since they may release objects that
those calls name, and so are the items and the ends of streams that those calls open. Answers to
outgoing calls are still handled: otherwise two sides whose buffers are both full would wait for
each other. A Cancel is handled at once if its call is running; if the call is queued, the Cancel is
queued too.

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
from collections.abc import Callable, Container, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from broker.core.arrivals import Arrivals, note_due
from broker.core.lane import Lane
from broker.core.last_words import last_words
from broker.core.objects.translator import Translator
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.queued import (
    Barrier,
    Handlers,
    Queued,
    call_in,
    outlives,
    waits,
    wants_answer,
)
from broker.core.stats import Stats
from broker.core.tracer import Tracing
from broker.core.wire.dialects import MessageReader
from broker.core.wire.messages import CallMessage, Version
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.work import PUT_OFF, Work, WorkLeft
from jelly.errors import ProtocolError

if TYPE_CHECKING:
    from broker.core.session import Session

__all__ = ["Inbox"]

# Least memory of a decoded message in bytes, besides its size on the wire.
_MESSAGE = 256


class Starts(Protocol):
    """What runs methods."""

    def begins_at_once(self, message: CallMessage, /) -> bool:
        """Return whether a call would run a method now, instead of starting a task."""


class Inbox:
    """The received messages of one connection.

    Args:
        owner: passed to the handlers; told when work that took more than one turn is done.
        handlers: the handler of each type of message.
        read: decodes bytes. ``read(data, messages, most)`` appends at most ``most`` messages, and
            returns whether there may be more.
        runner: tells whether a call would run a method now, instead of starting a task.
        running: the ids of the running calls.
        translator: tells whether a stream of the peer, by its number, is open.
        outbox: handling stops early when its size exceeds ``policy.high_water``.
        policy: ``high_water``, and the limits of this inbox.
        stats: counts the bytes received.

    Attributes:
        arrived: time at which the next bytes were received; set by the caller of :meth:`receive`.
        handlers, read: as given; replaced during the start of the connection.
        is_closed: whether further bytes are ignored.
        is_idle: whether there is a lane, and nothing waits, not even a part of a message. Then the
            next bytes may be given to :meth:`take`.
        make_lane: makes a lane when the next bytes arrive, or None: no lane may take frames.
        lane: handles most frames, or None; see `broker.core.lane`.
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
        "_fault",
        "_has_grown",
        "_held",
        "_held_bytes",
        "_messages",
        "_outbox",
        "_owner",
        "_policy",
        "_runner",
        "_running",
        "_running_lane",
        "_stats",
        "_translator",
        "arrived",
        "handlers",
        "has_barrier",
        "has_more",
        "has_unstarted_tasks",
        "holds_calls",
        "is_closed",
        "is_full",
        "is_idle",
        "lane",
        "make_lane",
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
        runner: Starts,
        running: Container[object],
        translator: Translator,
        outbox: Outbox,
        policy: Policy,
        stats: Stats,
    ):
        self.handlers = handlers
        self.works: list[tuple[Work, bool]] | None = None
        self.read = read
        self.has_more = False
        self.has_unstarted_tasks = False
        self.holds_calls = False
        self.is_full = False
        self.is_idle = False
        self.has_barrier = False
        self.wants_data = True
        self.is_closed = False
        self.max_backlog = policy.max_backlog
        self.reader: MessageReader | None = None
        self.arrived = 0.0
        self.tracing: Tracing | None = None
        self.lane: Lane | None = None
        self.make_lane: Callable[[], Lane] | None = None
        self._running_lane: Lane | None = None
        self._arrivals: Arrivals | None = None
        self._owner = owner
        self._runner = runner
        self._running = running
        self._translator = translator
        self._outbox = outbox
        self._policy = policy
        self._stats = stats
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
        if self._running_lane is not None:
            self._settle()
        waiting = len(self._messages or ()) + len(self._held or ()) + self.has_more
        return waiting + len(self.works or ())

    @property
    def has_queued(self) -> bool:
        """Whether decoded messages wait to be handled."""
        return bool(self._held) or bool(self._messages)

    def store(self, data: bytes) -> None:
        """Take in bytes without decoding them; :meth:`pump` decodes."""
        self.receive(data, 0)

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a decoded message."""
        if self._running_lane is not None:
            self._settle()
        return 0 if self.reader is None else self.reader.pending

    @property
    def held(self) -> int:
        """Approximate memory of the unhandled messages, in bytes."""
        if self._running_lane is not None:
            self._settle()
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
        self.is_idle = False
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
        if self.lane is None and self.make_lane is not None:
            self.lane = self.make_lane()
        if self.lane is not None and not messages:
            self._keep(self.lane.reader, data)
        else:
            self._decode(data, most)

    def _decode(self, data: bytes, most: int) -> None:
        """Decode at most so many messages, of the bytes received before and of these."""
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
            self._arrivals = arrivals = Arrivals()
            arrivals.add(self._stats.bytes_received, self.arrived)

    def _keep(self, reader: FrameReader, data: bytes) -> None:
        """Take in bytes without decoding them, since the lane may take their frames."""
        if self.has_more:
            self._arrivals = self._arrivals or Arrivals()
            self._arrivals.add(self._stats.bytes_received, self.arrived)
        try:
            self.has_more = reader.hold(data)
        except ProtocolError as error:
            self.has_more = False
            self._fault = error

    def allow_lane(self, make: Callable[[], Lane] | None) -> None:
        """Let a lane take frames from now on; with None, none.

        Args:
            make: makes the lane, when the next bytes arrive.
        """
        self.close_lane()
        self.make_lane = make
        if self.lane is not None:
            self.lane.retire()
            self.lane = None

    def close_lane(self) -> None:
        """Have the lane take no further frame, since something begins to wait."""
        self.is_idle = False
        if self._running_lane is not None:
            self._settle()

    def _settle(self) -> None:
        """If the lane runs, stop it behind its frame, and continue behind that frame."""
        lane, self._running_lane = self._running_lane, None
        if lane is not None:
            lane.is_open = False
            try:
                self.has_more = lane.reader.skip_to(lane.position)
            except ProtocolError as error:
                self.has_more = False
                self._fault = error

    def count(self) -> None:
        """Bring the counters of the session up to date."""
        if self.lane is not None:
            self.lane.count()

    def _run_lane(self, lane: Lane, most: int) -> int:
        """Let the lane handle frames; return how many more messages may be handled."""
        reader = lane.reader
        lane.is_open = True
        self._running_lane = lane
        try:
            lane.run(reader.buffer, reader.position, most)
        except BaseException:
            self._settle()
            raise
        if lane.has_more and self._running_lane is not None:
            self._running_lane = None
            reader.position = lane.position
            return 0
        self._settle()
        return most - lane.handled if most >= 0 else most

    def take(self, data: bytes) -> bool:
        """Take in bytes and handle one message: :meth:`receive` and ``pump(1)``, if `is_idle`.

        Raises:
            ProtocolError: a message violates the protocol. Further bytes are ignored.
        """
        lane = self.lane
        if lane is None:
            self.receive(data)
            return self.pump(1)
        self._stats.bytes_received += len(data)
        self.is_idle = False
        lane.reader.buffer = data
        self._running_lane = lane
        lane.is_open = True
        try:
            lane.run(data, 0, 1)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            return self.took(lane, data, error)
        if self._running_lane is not None and not self.has_more and lane.position == len(data):
            self._running_lane = None
            lane.reader.buffer = b""
            self.is_idle = True
            return False
        return self.took(lane, data)

    def took(self, lane: Lane, data: bytes, error: BaseException | None = None) -> bool:
        """End :meth:`take`, if the lane has not taken all.

        Args:
            lane: the lane, which may have been replaced since.
            data: as it was given.
            error: what the lane has raised, or None.

        Raises:
            ProtocolError: a message violates the protocol. Further bytes are ignored.
            BaseException: ``error``.
        """
        if error is not None:
            if isinstance(error, ProtocolError):
                self._fail(error)
            else:
                self._settle()
            raise error
        reader = lane.reader
        if self._running_lane is not None and not self.has_more:
            if lane.has_more:
                self._running_lane = None
                reader.position = lane.position
                self.has_more = True
                return True
            if not lane.handled:
                self._running_lane = None
                reader.buffer = b""
                self._decode(data, self._policy.turn_messages)
                return self.pump(1)
        self._settle()
        return self.pump(1 - lane.handled)

    def _read_behind(self, data: bytes, messages: deque[Queued], most: int) -> None:
        """Decode messages that may be older than ``data``, and set the deadlines of their calls."""
        reader, arrivals, before = self.reader, self._arrivals, len(messages)
        received, is_first = self._stats.bytes_received, arrivals is None
        if arrivals is None:
            arrivals = self._arrivals = Arrivals()
        if data or is_first:
            arrivals.add(received, self.arrived)
        # If all bytes have the time of the last ones, no deadline is set here.
        is_mixed = not arrivals.are_all(self.arrived)
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
            arrivals.note_due(islice(messages, before, None), ends, received - reader.pending)
        if not self.has_more:
            self._arrivals = None

    def note_arrival(self) -> None:
        """Set the deadlines of the waiting calls, counted from now, their time of arrival."""
        for message in self._messages or ():
            note_due(message, self.arrived)
        if self.has_more:
            if not self._messages:
                self._weigh()
            if self._arrivals is None:
                self._arrivals = Arrivals()
                self._arrivals.add(self._stats.bytes_received, self.arrived)

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
                self._work_on(self.works)
                if self.works:
                    return True
            lane = self.lane
            if lane is not None and self.has_more and not (
                self._messages or self._held or self.has_unstarted_tasks
                or self.holds_calls or self.is_full or self._fault
            ):  # fmt: skip
                most = self._run_lane(lane, most)
            if not most:
                pass
            elif self.has_more:
                self._pump_decoding(most)
            else:
                self._pump(most)
        except ProtocolError as error:
            self._fail(error)
            raise
        if self.is_closed:
            return False
        if self.works:
            return True
        if not self._messages and not self._held and not self.has_more:
            self._backlog = 0
            self._messages = None
            self.wants_data = True
            self.is_idle = lane is not None and not (
                self.has_unstarted_tasks or self.holds_calls or self.is_full
                or self._fault or lane.reader.pending
            )  # fmt: skip
            return self._fault is not None
        has_any = bool(self._messages) or self.has_more
        if not has_any:
            self._weigh()
        is_held = self.holds_calls or self.is_full
        return has_any or not is_held or self._fault is not None

    def _fail(self, error: ProtocolError) -> None:
        """Close the inbox, since a message has violated the protocol."""
        # The answers so far are still sent, and a goodbye with the reason.
        self.clear()
        self._stats.count_limit(error)

    def hold_calls(self, is_held: bool) -> None:
        """Hold the calls of the peer from now on, or handle them again."""
        if is_held:
            self.close_lane()
        self.holds_calls = is_held

    def handle(self, message: Queued) -> None:
        """Handle one message now, or queue it if it must wait.

        Raises:
            ProtocolError: the message is not legal.
        """
        if (self.holds_calls or self.is_full) and self._waits(message):
            self._hold(message)
        else:
            self.take_work(self.handlers[type(message)](self._owner, message), message)

    def _waits(self, message: Queued) -> bool:
        return waits(message, self._running, self._translator.is_stream_open)

    def add_barrier(self) -> bool:
        """Put a Barrier behind the received messages, if there are one-way calls among them.

        Returns:
            Whether a Barrier is queued.
        """
        self.close_lane()
        if self.has_more:
            self._decode(b"", -1)
        messages, held = self._messages or (), self._held or ()
        calls = map(call_in, chain(messages, held))
        if not all(wants_answer(each) for each in calls if each is not None):
            queue = self._messages or self._held
            if queue is not None:
                queue.append(Barrier())
                self.has_barrier = True
        return self.has_barrier

    def add_work(self, work: Work | None, is_kept: bool = False) -> None:
        """Schedule the rest of the work of a message, if any, for the next turns.

        ``is_kept`` says whether it is still done after the peer has closed the connection.
        """
        if work is not None:
            self.close_lane()
            if self.works is None:
                self.works = []
            self.works.append((work, is_kept))

    def _work_on(self, works: list[tuple[Work, bool]]) -> None:
        """Do one slice of the oldest work."""
        work, _ = entry = works[0]
        for _ in work:
            return
        # The work may have ended the connection.
        if self.works and entry in self.works:
            self.works.remove(entry)
            self._owner.worked()

    def last_words(self) -> Iterator[object]:
        """Close the inbox after the peer has gone; return an iterator over its last messages.

        See :func:`broker.core.last_words.last_words`.
        """
        self.close_lane()
        messages, has_more = deque(self._messages or ()), self.has_more
        works = [work for work, is_kept in self.works or () if is_kept]
        self.works = [entry for entry in self.works or () if not entry[1]]
        self.clear()
        return last_words(works, messages, has_more, self._read_on, self._handle_at_once)

    def _read_on(self, messages: deque[Queued]) -> bool:
        return self.read(b"", messages, self._policy.turn_messages)

    def _handle_at_once(self, message: Queued) -> WorkLeft:
        if self._waits(message):
            # Of a stream that a call would have opened. That call is dropped.
            return None
        return self.handlers[type(message)](self._owner, message)

    def clear(self) -> None:
        """Close the inbox, and drop the waiting messages, since the connection is gone."""
        self.close_lane()
        self.is_closed = True
        self.has_more = False
        for queue in (self._messages, self._held):
            if queue:
                # A running pump has a reference to the queue.
                queue.clear()
        # A fault has a traceback, whose frames keep the decoded values alive.
        self._held = self._fault = None
        works, self.works = self.works, None
        for work, _ in works or ():
            # ValueError: the work is running at the moment. It is not continued.
            with contextlib.suppress(ValueError):
                work.close()

    def _pump_decoding(self, most: int) -> None:
        """Handle messages and decode further ones, while there are undecoded bytes."""
        while True:
            if not self._messages:
                self._weigh()
                self._decode(b"", self._policy.turn_messages)
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
            kind = type(message)
            work = self.handlers[kind](owner, message)
            if kind is not Version:
                # It is the first, and quickly handled: with the message behind it, in one step.
                most -= 1
            if work is not None:
                self.take_work(work, message)
                break
            if outbox.unsent.size > high_water:
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
            if is_held and self._waits(message):
                self._hold(message)
                continue
            if self.has_unstarted_tasks:
                call = call_in(message)
                if call is not None and self._runner.begins_at_once(call):
                    queue.appendleft(message)
                    return
            most -= 1
            work = self.handlers[type(message)](self._owner, message)
            if work is not None:
                self.take_work(work, message)
                if work is PUT_OFF:
                    continue
                return
            if self._outbox.unsent.size > high_water:
                return

    def put_first(self, messages: list[Queued]) -> None:
        """Have messages handled before all others that are queued."""
        self.close_lane()
        if self._messages is None:
            self._messages = deque()
        self._messages.extendleft(reversed(messages))

    def take_work(self, work: WorkLeft, message: Queued) -> None:
        """Store the result of a handler: work that is left, or PUT_OFF."""
        if work is PUT_OFF:
            self.close_lane()
            self.is_full = True
            # The held messages arrived after it.
            self._hold(message, is_first=True)
        else:
            self.add_work(work, outlives(message))

    def _hold(self, message: Queued, is_first: bool = False) -> None:
        note_due(message, self.arrived)
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
        elif self._backlog > self.max_backlog:
            self.wants_data = False
