"""The promises of one connection whose results are used before they have come."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from broker.connection.open_call import OpenCall
from broker.connection.promises.lines import HeldTarget
from broker.connection.promises.path import Path
from broker.connection.promises.waiting_call import WaitingCall
from broker.core.calls.promised import MOST_OPEN, Followed
from broker.core.wire.commands import Feature
from broker.core.wire.messages import RequestId, Target
from broker.defer.awaiting import Bridge, Watcher
from broker.failure import Failure
from broker.flavors.promise import Element, Pending, Promise, PromisedTarget

if TYPE_CHECKING:
    from broker.connection.pending_calls import PendingCalls

__all__ = ["CalledPromise", "OutgoingPromises"]

T = TypeVar("T")


class OutgoingPromises:
    """The calls of one connection on promises, and those with promises among their arguments.

    Args:
        calls: the calls of the connection.

    Attributes:
        calls: as given.
        held: the calls that wait for promises among their arguments, by their target.
        sent: the calls on promises that are on their way, by request id.
        there: how many calls may wait at the peer for a promise.
        last: the newest number of a call that has waited here, or may do so.
        here: how many calls wait at this end.
        stalled: the targets with calls that wait until fewer calls wait at the peer.
    """

    __slots__ = (
        "_has_turn",
        "_reserved",
        "_turns",
        "calls",
        "held",
        "here",
        "last",
        "sent",
        "stalled",
        "there",
    )

    def __init__(self, calls: PendingCalls):
        self.calls = calls
        self.held: dict[Target, HeldTarget] = {}
        self.sent: dict[RequestId, WaitingCall] = {}
        self.there = self.here = self.last = 0
        self.stalled: dict[Path, None] = {}
        self._turns: deque[Callable[[], object]] = deque()
        self._has_turn = False
        # The number of the call that is being made, if it was reserved.
        self._reserved: int | None = None

    def reserve(self) -> int:
        """Return the number of a call that is made later, by :meth:`numbered`."""
        self.last += 1
        return self.last

    def numbered(self, number: int, make: Callable[..., T], *args: Any, **kw: Any) -> T:
        """Call ``make(*args, **kw)``; if the call that it makes must wait, it has this number.

        So it waits before the calls that were made after the number was reserved. One of them may
        have the result of this call as an argument.
        """
        self._reserved = number
        try:
            return make(*args, **kw)
        finally:
            self._reserved = None

    def next_number(self) -> int:
        """Return the number of a call that waits."""
        number, self._reserved = self._reserved, None
        return self.reserve() if number is None else number

    def in_turn(self, function: Callable[[], object]) -> None:
        """Call a function now; if it is called by another such function, behind that one.

        So a long chain of calls, each on the result of the one before, takes no deep stack.
        """
        self._turns.append(function)
        if self._has_turn:
            return
        self._has_turn = True
        try:
            while self._turns:
                self._turns.popleft()()
        finally:
            self._has_turn = False

    @property
    def can_send(self) -> bool:
        """Whether one more call may be sent that waits for a promise at the peer."""
        session = self.calls.session
        return (
            Feature.PROMISES in session.outbox.features
            and self.there < session.outbox.terms.promised
            and session.outgoing.open_calls.size < MOST_OPEN
        )

    def came_home(self, request_id: RequestId) -> None:
        """Make a call of this end here: its target is an object of this end."""
        made = self.sent.pop(request_id, None)
        self.calls.waiting.pop(request_id, None)
        if made is not None:
            made.line.came_home(made)

    def left(self, calls: int) -> None:
        """Note that so many calls do not wait at the peer any more; send others."""
        self.there -= calls
        while self.stalled and self.can_send:
            path = next(iter(self.stalled))
            del self.stalled[path]
            path.go_on()

    def lost(self) -> None:
        """Fail the calls that wait here: the connection has ended."""
        for held in list(self.held.values()):
            held.fail(self.calls.closed_failure())
        self.held.clear()
        self.stalled.clear()

    def follow(self, source: OpenCall | WaitingCall, promise: Promise[Any]) -> PromisedTarget:
        """Return the result of a promise as a target of calls.

        Args:
            source: the canceller of the promise.
            promise: the promise; no call on it was made before.
        """
        return CalledPromise(source, promise).result


class CalledPromise(Followed, Watcher):
    """A promise whose result is used before it has come: its first observer.

    Args:
        source: the canceller of the promise: the call that was sent, or that waits.
        promise: the promise.

    Attributes:
        source, calls: as given, and the calls of its connection.
        arguments: the calls that have the promise as an argument: request id and Promise.
        result: the target that the result is.
        is_settled: whether the result has come.
        label: the method that the promise is the result of.
        view: the perspective of that call; known when it was sent.
    """

    __slots__ = (
        "_elements",
        "_is_cancelled",
        "_promise",
        "_request_id",
        "arguments",
        "calls",
        "is_settled",
        "label",
        "result",
        "source",
        "view",
    )

    def __init__(self, source: OpenCall | WaitingCall, promise: Promise[Any]):
        super().__init__()
        self.label = promise.method
        self.view: object = None
        self._is_cancelled = False
        self._request_id: RequestId | None = None
        self.source = source
        self.calls = source.calls
        self._promise: Promise[Any] | None = promise
        self.arguments: list[tuple[Path, RequestId, Pending | None]] = []
        self.is_settled = False
        self.result = Path(self, None, promise)
        self._elements: dict[int | str, Path] = {}
        promise._canceller = self.result
        items = promise._items
        if items is None:
            promise._items = [self]
        else:
            items.insert(0, self)
        if source.request_id is not None:
            self.follow(source.request_id)
        elif isinstance(source, WaitingCall):
            source.called = self

    def follow(self, request_id: RequestId) -> None:
        """Note the request of the promised call, which is sent now."""
        outgoing = self.calls.session.outgoing
        if outgoing.followed is None:
            outgoing.followed = {}
        outgoing.followed[request_id] = self
        self.view = outgoing.open_calls.open.get(request_id)
        self._request_id = request_id

    @property
    def is_waiting(self) -> bool:
        """Whether calls use the result, so that it is not cancelled with its last awaiter."""
        return bool(self.arguments) or any(path.is_used for path in self.paths())

    def paths(self) -> list[Path]:
        """Return the targets that the result and its elements are."""
        return [self.result, *self._elements.values()]

    def element(self, step: int | str) -> Element:
        """Return the promise of an element of the result."""
        path = self._elements.get(step)
        if path is None:
            element: Element = Element()
            element.label = self.label
            path = self._elements[step] = Path(self, step, element)
            element._canceller = path
        return cast("Element", path.promise)

    def cancel(self, step: int | str | None) -> None:
        """Cancel the calls on the result or an element, and the promised call if it was for them.

        The canceller of the promise, and of those of its elements.
        """
        if step is not None:
            self._elements[step].cancel_all()
            self.drop_if_unused(self._elements[step])
            return
        self._is_cancelled = True
        for path in self.paths():
            path.cancel_all()
        self.source(self._promise)

    def drop_if_unused(self, dropped: Path | None = None) -> None:
        """Cancel the promised call, after a call on it was cancelled, if nothing else uses it."""
        promise = self._promise
        if promise is None or self.is_settled or self._is_cancelled or self.arguments:
            return
        is_awaited = any(
            isinstance(item, Bridge) and not item.done() for item in promise._items or ()
        )
        if not is_awaited and not any(path.is_used for path in self.paths() if path is not dropped):
            self.calls.promises.in_turn(promise.cancel)

    def deliver(self, result: object, loop: AbstractEventLoop | None = None) -> None:
        """Take the result, before other code does: what waits for it is sent."""
        calls, promises = self.calls, self.calls.promises
        self.is_settled = True
        self._forget_request()
        for path in self.paths():
            promises.stalled.pop(path, None)
        waited = len(self.arguments) + sum(path.on_the_way for path in self.paths())
        if isinstance(result, Failure):
            for path in self.paths():
                path.fail_all(result, calls.is_ending)
        else:
            for path in self.paths():
                path.resolve(result)
        if not calls.is_ending:
            self._fail_arguments(result if isinstance(result, Failure) else None)
        self.arguments.clear()
        promises.left(waited)
        calls.flush()
        self._promise = None
        for step, path in self._elements.items():
            element = cast("Element", path.promise)
            if not element.called:
                element.take(result, step)
                path.keep()
                if path.was_called and not element._items:
                    # The failure is told by the calls on it.
                    element.seen_result()

    def _forget_request(self) -> None:
        # After a failure that was found at this end, the answer still comes, and calls may still
        # come home.
        outgoing, request_id = self.calls.session.outgoing, self._request_id
        if request_id is not None and not outgoing.open_calls.is_pending(request_id):
            outgoing.forget_promises(request_id)

    def _fail_arguments(self, failure: Failure | None) -> None:
        """Fail the calls that have the promise as an argument, if they cannot run."""
        for path, request_id, deferred in self.arguments:
            fault = failure or path.not_passed()
            if fault is not None and deferred is not None and not deferred.called:
                self.calls.waiting.pop(request_id, None)
                self.calls.session.outgoing.open_calls.abandon(request_id)
                deferred.errback(fault)
