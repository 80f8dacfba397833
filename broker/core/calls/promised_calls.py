"""Calls of the peer on promises: on what its earlier calls return.

Theory of operation. A call on a promise waits here until the promised call is answered. Then it
goes to the front of the inbox, with the object that the answer names as its target; so methods
start in the order in which their calls were made. If the promised call fails, so does the call. If
the answer names an object of the peer, the peer makes the call itself: it gets a Home.

A call may come when the promised call has been answered already, since the peer has not read that
answer yet. Therefore the references of the last ``MOST_OPEN`` answers that had any are kept.
The peer makes no call on a promise while it has more open calls than that.

An argument may be a promise too. Then the call waits until all its promises are known, and so does
every later call to the same object. Calls to one object wait in the order in which they arrived: a
call that was released later goes before those that arrived after it. As a promise names an earlier
call, no two calls wait for each other. While calls wait for an object, it has no methods on the
quick path.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from broker.core.arrivals import note_due
from broker.core.calls.dispatch import NO_METHODS
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.promised import Home, Step, place_in
from broker.core.calls.remembered import Remembered
from broker.core.objects.unread import PROMISED
from broker.core.queued import Queued, Released
from broker.core.wire.messages import CallMessage, GraphCall, RequestId, Target
from broker.core.wire.msgpack.replies import KeptReply
from broker.core.work import Work, WorkLeft, begun
from broker.defer.errors import CancelledError
from broker.errors import BrokenPromise, ServerBusy, ServerDraining
from broker.limit_errors import limit_error
from jelly.atoms import Expression, text_of
from jelly.errors import MalformedJelly, ProtocolError
from jelly.numbers import number_in
from jelly.slices import UNFINISHED

if TYPE_CHECKING:
    from broker.core.calls.incoming import IncomingCalls
    from broker.core.calls.plain_calls import CallEntry
    from broker.core.objects.translator import Translator

__all__ = ["PromisedCalls"]

_MOST_BEHIND = 1024


class _Waiting:
    """A call that waits for promises.

    Attributes:
        message, call: the call.
        entry: its target, if that is known.
        number: see `Released`.
        missing: the promises among its arguments that are not known yet, by their requests.
        is_counted: whether it counts for ``max_promised``: it waits for a promise, and not only for
            the calls before it.
        pins: objects of this end that its arguments name, each counted once more until it runs.
        opens: numbers of the streams and caches that its arguments open.
        behind: messages about these streams and caches, which came later.
    """

    __slots__ = (
        "behind",
        "call",
        "entry",
        "is_counted",
        "message",
        "missing",
        "number",
        "opens",
        "pins",
    )

    def __init__(
        self, message: CallMessage, call: IncomingCall, entry: CallEntry | None, number: int
    ):
        self.number = number
        self.message = message
        self.call = call
        self.entry = entry
        self.missing: dict[RequestId, list[list[Expression]]] = {}
        self.is_counted = False
        self.pins: list[int] = []
        self.opens: list[int] = []
        self.behind: list[Queued] = []


class PromisedCalls:
    """The calls of one peer that wait for promises.

    Args:
        incoming: the calls of the peer.
        translator: the tables of the connection.
        remembered: the answers that such calls may name.
        most: most calls that may wait for a promise. Those that only wait for the calls before them
            are not counted: their caller does not know that they wait.

    Attributes:
        held: the calls to a target that must wait, by the target.
        size: the number of calls that wait.
    """

    __slots__ = (
        "_counted",
        "_incoming",
        "_last",
        "_missing",
        "_most",
        "_opening",
        "_remembered",
        "_settled",
        "_translator",
        "_waiting",
        "held",
        "size",
    )

    def __init__(
        self, incoming: IncomingCalls, translator: Translator, remembered: Remembered, most: int
    ):
        self._incoming = incoming
        self._translator = translator
        self._remembered = remembered
        self._most = most
        # The calls whose target is a promise, by the request that it names.
        self._waiting: dict[RequestId, list[_Waiting]] = {}
        # The first of each has promises among its arguments that are not known.
        self.held: dict[CallEntry, deque[_Waiting]] = {}
        # Those of them that miss promises, by the request of each.
        self._missing: dict[RequestId, dict[_Waiting, None]] = {}
        # The calls that open a stream or a cache, by its number.
        self._opening: dict[int, _Waiting] = {}
        self.size = self._counted = self._last = 0
        # The calls that are answered now, each with its error.
        self._settled: list[tuple[RequestId, object]] = []

    # The answers.

    def object_of(self, promise: list[Expression]) -> int:
        """Return the id of the object that a promise among arguments has become.

        Raises:
            BrokenPromise: it is not an object of this end.
        """
        place = place_in(self._remembered.get(number_in(promise)), _step_of(promise))
        if type(place) is int:
            return place
        raise BrokenPromise(_CALLERS if isinstance(place, Home) else _NO_REFERENCE)

    def settle(self, request_id: RequestId, shown_error: object = None) -> None:
        """Go on with the calls that have waited for a call, which is answered now.

        Args:
            request_id: the call.
            shown_error: the error that was its answer, or None.
        """
        # A call on a promise may have calls on its own result, which are answered by it, and so on.
        self._settled.append((request_id, shown_error))
        if len(self._settled) > 1:
            return
        ready: list[Queued] = []
        while self._settled:
            self._go_on(*self._settled[0], ready)
            del self._settled[0]
        if ready:
            self._incoming.inbox.put_first(ready)

    def _go_on(self, request_id: RequestId, shown_error: object, ready: list[Queued]) -> None:
        for waiting in self._waiting.pop(request_id, ()):
            place = None if shown_error is not None else self._place(waiting.message)
            if type(place) is int:
                waiting.message.object_id = place
                waiting.entry = self._incoming.entry_of(waiting.message)
                self._release(waiting, ready, False)
            else:
                self._end(waiting, shown_error or place or BrokenPromise(_NO_REFERENCE), ready)
        for waiting in self._missing.pop(request_id, ()):
            promises = waiting.missing.pop(request_id)
            error = shown_error if shown_error is not None else self._resolve(promises, waiting)
            queue = self.held[waiting.entry]  # type: ignore[index]
            if error is not None:
                queue.remove(waiting)
                self._end(waiting, error, ready)
            elif not waiting.missing:
                self._uncount(waiting)
            self._let_go(waiting.entry, queue, ready)  # type: ignore[arg-type]

    def _resolve(self, promises: list[list[Expression]], waiting: _Waiting) -> object:
        """Put the objects that promises have become in their place in the arguments of a call.

        So the call needs neither the remembered answer when it runs, nor a reference of the peer.

        Returns:
            The outcome of the call if a promise is not an object of this end, else None.
        """
        for promise in promises:
            try:
                promise[:] = [b"local", self.object_of(promise)]
            except (BrokenPromise, MalformedJelly) as broken:
                return self._remembered.failure(number_in(promise)) or broken
            self._pin(promise, waiting)
        return None

    def _pin(self, local: list[Expression], waiting: _Waiting) -> None:
        number = number_in(local)
        entry = self._translator.exports.by_id.get(number)
        if entry is not None and entry.count:
            entry.count += 1
            waiting.pins.append(number)

    def cancel(self, call: IncomingCall) -> None:
        """Drop a waiting call that its caller has cancelled."""
        ready: list[Queued] = []
        error = CancelledError(f"'{text_of(call.name)}' was cancelled")
        for queue in (*self._waiting.values(), *self.held.values()):
            for waiting in queue:
                if waiting.call is call:
                    queue.remove(waiting)
                    self._end(waiting, error, ready)
                    break
        for request_id in [each for each, queue in self._waiting.items() if not queue]:
            del self._waiting[request_id]
        for entry, held in list(self.held.items()):
            self._let_go(entry, held, ready)
        if self._incoming.running.pop(call.key, None) is call:
            # It is in the inbox, and would start next.
            self.answer(call, error)
        if ready:
            self._incoming.inbox.put_first(ready)

    def _place(self, message: CallMessage) -> int | Home | None:
        request_id, step = _split(message)
        return place_in(self._remembered.get(request_id), step)

    def _let_go(self, entry: CallEntry, queue: deque[_Waiting], ready: list[Queued]) -> None:
        """Release the calls to a target, up to the first whose promises are not all known."""
        while queue and not queue[0].missing:
            self._release(queue.popleft(), ready, True)
        if not queue and self.held.pop(entry, None) is not None:
            entry.methods = None

    def _release(self, waiting: _Waiting, ready: list[Queued], is_checked: bool) -> None:
        """Put a call into ``ready``, unless it was cancelled, with the messages behind it."""
        self._forget(waiting)
        message, call, entry = waiting.message, waiting.call, waiting.entry
        ready.append(Released(message, call, entry, waiting.pins, is_checked, waiting.number))
        ready += waiting.behind

    def _end(self, waiting: _Waiting, outcome: object, ready: list[Queued]) -> None:
        """Answer a call that does not run: with a Home, or with an error."""
        self._forget(waiting)
        call, message = waiting.call, waiting.message
        if self._incoming.running.pop(call.key, None) is call:
            self.answer(call, outcome)
        self.unpin(waiting.pins)
        self._incoming.inbox.add_work(begun(self._incoming.discard(message)))
        ready += waiting.behind

    def answer(self, call: IncomingCall, outcome: object) -> None:
        """Answer a call that does not run: with a Home, a new error, or the one of another call."""
        answers = self._incoming.answers
        if isinstance(outcome, Home):
            self._remembered.add(call.request_id, Home(None))
            answers.send_home(call)
        elif isinstance(outcome, KeptReply):
            answers.repeat(call, outcome)
        elif isinstance(outcome, _NEW):
            answers.refuse(call, outcome)
        else:
            answers.refuse_as(call, outcome)

    def _uncount(self, waiting: _Waiting) -> None:
        if waiting.is_counted:
            waiting.is_counted = False
            self._counted -= 1

    def _forget(self, waiting: _Waiting) -> None:
        self.size -= 1
        self._uncount(waiting)
        for number in waiting.missing:
            others = self._missing.get(number)
            if others is not None and others.pop(waiting, _ABSENT) is None and not others:
                del self._missing[number]
        for number in waiting.opens:
            del self._opening[number]

    def unpin(self, pins: list[int]) -> None:
        """Take back the counts of objects in the arguments of a call."""
        for object_id in pins:
            # The peer may have released more than it was given.
            with suppress(ProtocolError):
                self._translator.exports.release(object_id)

    # The calls on them.

    def receive(self, message: CallMessage) -> WorkLeft:
        """Make a call whose target is a promise, now or later."""
        incoming = self._incoming
        request_id, _ = _split(message)
        if request_id in incoming.running:
            return begun(self._wait(message, True, request_id))
        place = self._place(message)
        if type(place) is int:
            message.object_id = place
            return incoming.proceed(message, True)
        outcome = self._outcome(request_id) if place is None else place
        return begun(self._refuse(message, incoming.made(message, True), outcome))

    def _outcome(self, request_id: RequestId) -> KeptReply | BrokenPromise:
        """Return the outcome of a call on the result of one that has returned no reference."""
        return self._remembered.failure(request_id) or BrokenPromise(_NO_REFERENCE)

    def hold(self, message: CallMessage, wants_answer: bool, number: int = 0) -> WorkLeft:
        """Make a call, once all promises among its arguments, and of calls before it, are known.

        Args:
            message, wants_answer: the call.
            number: its number if it has waited before.
        """
        return begun(self._wait(message, wants_answer, None, number))

    def must_hold(self, message: CallMessage) -> bool:
        """Return whether a call may have to wait; see :meth:`hold`."""
        if isinstance(message, GraphCall) and message.has_promises:
            return True
        return bool(self.held) and self._incoming.entry_of(message) in self.held

    def keep_behind(self, number: Target, message: Queued) -> bool:
        """Keep a message about a stream or a cache that a waiting call opens; return whether.

        Raises:
            ProtocolError: too many messages wait behind the call.
        """
        waiting = self._opening.get(number)  # type: ignore[arg-type]
        if waiting is None:
            return False
        if len(waiting.behind) >= _MOST_BEHIND:
            raise ProtocolError(f"more than {_MOST_BEHIND} messages behind a call on a promise")
        note_due(message, self._incoming.inbox.arrived)
        waiting.behind.append(message)
        return True

    def _wait(
        self,
        message: CallMessage,
        wants_answer: bool,
        request_id: RequestId | None,
        number: int = 0,
    ) -> Work:
        """Let a call wait: for the promise that is its target, or for those in its arguments."""
        incoming = self._incoming
        if not number:
            self._last += 1
            number = self._last
        waiting = _Waiting(message, incoming.made(message, wants_answer), None, number)
        call = waiting.call
        if isinstance(message, GraphCall):
            yield from self._search(waiting, message, incoming.highest_before)
        # A promised call may have been answered during the search.
        if request_id is not None and request_id not in incoming.running:
            place = self._place(message)
            if type(place) is not int:
                self.unpin(waiting.pins)
                yield from self._refuse(message, call, place or self._outcome(request_id))
                return
            message.object_id, request_id = place, None
        error: object = None
        if request_id is None:
            waiting.entry = incoming.entry_of(message)
            for number in [each for each in waiting.missing if each not in incoming.running]:
                error = error or self._resolve(waiting.missing.pop(number), waiting)
        entry = waiting.entry
        if error is None and request_id is None and not self._is_behind(waiting, entry):
            yield from incoming.run(Released(message, call, entry, waiting.pins, True, number))
            return
        waiting.is_counted = request_id is not None or bool(waiting.missing)
        error = error or incoming.refusal(wants_answer)
        if error is None and waiting.is_counted and self._counted >= self._most:
            error = limit_error(ServerBusy, "max_promised", self._most)
        if error is not None:
            self.unpin(waiting.pins)
            yield from self._refuse(message, call, error)
            return
        note_due(message, incoming.inbox.arrived)
        call.since, call.is_waiting = incoming.runner.now(), True
        incoming.running[call.key] = call
        self.size += 1
        self._counted += waiting.is_counted
        self._opening.update(dict.fromkeys(waiting.opens, waiting))
        if request_id is not None:
            self._waiting.setdefault(request_id, []).append(waiting)
        elif entry is not None:
            queue = self.held.setdefault(entry, deque())
            place = len(queue)
            while place and queue[place - 1].number > number:
                place -= 1
            queue.insert(place, waiting)
            entry.methods = NO_METHODS
            for number in waiting.missing:
                self._missing.setdefault(number, {})[waiting] = None

    def _is_behind(self, waiting: _Waiting, entry: CallEntry | None) -> bool:
        """Return whether a call must wait for its promises, or for calls that arrived before it."""
        if entry is None:
            return False
        queue = self.held.get(entry)
        return bool(waiting.missing) or bool(queue and queue[0].number < waiting.number)

    def _search(self, waiting: _Waiting, message: GraphCall, highest: RequestId) -> Work:
        """Find what the arguments of a call name.

        Args:
            waiting, message: the call.
            highest: the highest request that the peer had made before.
        """
        translator, running = self._translator, self._incoming.running
        for each in translator.search(message.args, message.kw):
            if each is UNFINISHED:
                yield UNFINISHED
                continue
            tag, number = each[0], number_in(each)
            if tag == PROMISED:
                self._incoming.check_request(number, highest)
                if number in running:
                    waiting.missing.setdefault(number, []).append(each)
                else:
                    # If it is broken, the call fails when it is read.
                    self._resolve([each], waiting)
            elif tag == b"local":
                self._pin(each, waiting)
            elif tag != b"remote" and number not in self._opening:
                waiting.opens.append(number)

    def _refuse(self, message: CallMessage, call: IncomingCall, outcome: object) -> Work:
        yield from self._incoming.discard(message)
        self.answer(call, outcome)

    def clear(self) -> None:
        """Drop all calls that wait: the connection has ended."""
        self._waiting.clear()
        self._missing.clear()
        self.held.clear()
        self._opening.clear()
        self.size = self._counted = 0


def _split(message: CallMessage) -> tuple[RequestId, Step]:
    """Return the request and the step of a target that is a promise."""
    promise: Any = message.object_id
    return promise[0], promise[1] if len(promise) == 2 else None


def _step_of(promise: list[Expression]) -> Step:
    """Return the step of a promise among arguments, whose text is bytes."""
    if len(promise) == 2:
        return None
    step = promise[2]
    if type(step) is bytes:
        return step.decode("utf-8", "replace")
    if type(step) is not int:
        raise MalformedJelly("promised whose step is neither an int nor text")
    return step


_ABSENT: Any = object()
# Other errors are those of promised calls, as the peer is shown them.
_NEW = (BrokenPromise, CancelledError, MalformedJelly, ServerBusy, ServerDraining)
_NO_REFERENCE = "the promised call returned a value that is not a reference; not run"
_CALLERS = "the promised call returned an object of the caller; await it before you pass it"
