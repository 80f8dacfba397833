"""Calls on promises, at the caller: they leave at once, or wait here in their order.

Theory of operation. The first call on a promise makes a `CalledPromise`, the first item in the
chain of the promise. It has a `Path` for each target: the result, and each element that is used.
Where the dialect can, a call on a Path is sent with the promised call as its target, and the peer
makes it when the promised call is answered. Otherwise it waits in the queue of its Path: in PB's
dialects, if the peer takes no more such calls, and if a promise among its arguments must wait.

When the answer has come, what it names on the wire is the target of the calls that waited; they
are sent before any other code sees the result. If it names an object of this end, the peer sends a
Home for each call that is on its way. Then the calls are made here: first those, each when its Home
comes, then all others. So calls on one promise start in their order in each case.

A call with a promise among its arguments, which cannot be sent yet, waits in a `HeldTarget`, and so
do later calls to the same object.
"""

from __future__ import annotations

import contextvars
from asyncio import AbstractEventLoop, _get_running_loop
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from broker.core.calls.promised import MOST_OPEN, MOST_STEPS, Followed, Home, MustWait, place_in
from broker.core.wire.commands import Feature
from broker.core.wire.messages import RequestId, Target
from broker.defer import Deferred
from broker.defer.awaiting import Bridge, Watcher
from broker.errors import BrokenPromise, CannotJelly, ServerBusy
from broker.failure import Failure
from broker.flavors.posted import do_in_loop, is_posted, post
from broker.flavors.promise import (
    Element,
    Promise,
    PromisedTarget,
    call_result,
    failed,
    not_a_reference,
    not_passed,
)
from broker.limit_errors import HERE, limit_error
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.connection.pending_calls import PendingCalls
    from jelly.jellier import Jellier

__all__ = ["HeldTarget", "OpenCall", "OutgoingPromises"]

MOST_WAITING = 1024
"""Most calls of one connection that wait at this end."""


class OutgoingPromises:
    """The calls of one connection on promises, and those with promises among their arguments.

    Args:
        calls: the calls of the connection.

    Attributes:
        calls: as given.
        held: the calls that wait for promises among their arguments, by their target.
        sent: the calls on promises that are on their way, by request id.
        there: how many calls may wait at the peer for a promise.
        here: how many calls wait at this end.
        stalled: the targets with calls that wait until fewer calls wait at the peer.
    """

    __slots__ = ("calls", "held", "here", "sent", "stalled", "there")

    def __init__(self, calls: PendingCalls):
        self.calls = calls
        self.held: dict[Target, HeldTarget] = {}
        self.sent: dict[RequestId, WaitingCall] = {}
        self.there = self.here = 0
        self.stalled: dict[Path, None] = {}

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


class OpenCall:
    """The canceller of the Promise of a call that was sent.

    Args:
        calls: the calls of the connection.
        request_id: the call.
    """

    __slots__ = ("calls", "request_id")

    def __init__(self, calls: PendingCalls, request_id: RequestId):
        self.calls = calls
        self.request_id: RequestId | None = request_id

    def __call__(self, deferred: object) -> None:
        if self.request_id is not None:
            self.calls.abandon(self.request_id)

    def target_of(self, promise: Promise[Any]) -> PromisedTarget:
        """Return the result of the promise as a target."""
        return CalledPromise(self, promise).result


class WaitingCall(Watcher):
    """A call that waits here or at the peer, as canceller and first observer of its Promise.

    Args:
        line: its target.
        kind: the class of the Promise.
        name, args, kw: the method and its arguments, kept until the answer: so the objects that
            they name are not released before the peer has read them.
        wants_answer: False for a one-way call.
        meta: joins the metadata that the running code attaches.

    Attributes:
        deferred: the Promise; also of a one-way call, whose caller does not get it.
        called: its Promise, if its result is used before it has come.
        request_id: None before it was sent.
        calls: the calls of the connection.
    """

    __slots__ = (
        "_context",
        "_own",
        "args",
        "called",
        "calls",
        "deferred",
        "kind",
        "kw",
        "line",
        "meta",
        "name",
        "request_id",
        "wants_answer",
    )

    def __init__(
        self,
        line: Line,
        kind: type[Deferred[Any]],
        name: str,
        args: tuple[object, ...],
        kw: dict[str, Any],
        wants_answer: bool,
        meta: Mapping[str, str] | None = None,
    ):
        self.calls = line.calls
        self.meta = meta
        self.line = line
        self.kind = kind
        self.name = name
        self.args = args
        self.kw = kw
        self.wants_answer = wants_answer
        self.request_id: RequestId | None = None
        self._context: contextvars.Context | None = None
        # The call of an object of this end.
        self._own: Deferred[Any] | None = None
        self.called: CalledPromise | None = None
        self.deferred: Deferred[Any] = kind(self)
        self.deferred.label = name
        self.deferred._items = [self]
        if not wants_answer:
            self.deferred.addErrback(_dropped)

    def __call__(self, deferred: object) -> None:
        if self._own is not None:
            self._own.cancel()
        elif self.request_id is not None:
            self.calls.abandon(self.request_id)
        self.line.left(self, is_cancelled=True)

    def target_of(self, promise: Promise[Any]) -> PromisedTarget:
        """Return the result of the promise as a target."""
        return CalledPromise(self, promise).result

    def deliver(self, result: object, loop: AbstractEventLoop | None = None) -> bool:
        """Take note that the call has its outcome."""
        self.line.left(self)
        return True

    def put_off(self) -> None:
        """Keep what the running code attaches to its calls, for when the call is sent."""
        if self._context is None:
            self._context = contextvars.copy_context()

    def send(
        self, view: object, target: Target, wants_answer: bool, to_cache: bool = False
    ) -> None:
        """Send the call; if it cannot be sent, it fails.

        Raises:
            MustWait: a promise among its arguments cannot be sent yet.
        """
        run = self._context.run if self._context is not None else _directly
        calls = self.calls
        if not calls.is_open:
            self.fail(calls.closed_failure())
            return
        try:
            request_id = run(
                calls.begin_call,
                view,
                target,
                self.name,
                self.args,
                self.kw,
                wants_answer,
                to_cache,
                self.meta,
            )
        except (KeyboardInterrupt, SystemExit, MustWait):
            raise
        except BaseException as error:  # noqa: BLE001 - fails the Deferred, not the caller
            if not self.wants_answer:
                calls.note_unsent(self.name, error)
            self.deferred.errback(error)
            return
        calls.note_passed(request_id, self.deferred)
        if not wants_answer:
            self.deferred.callback(None)
            return
        self.request_id = request_id
        calls.waiting[request_id] = self.deferred
        if self.called is not None:
            self.called.follow(request_id)
            for path in self.called.paths():
                path.send_queue()

    def run(self, result: object, label: str) -> None:
        """Make the call here, on a result."""
        if self.deferred.called:
            return
        run = self._context.run if self._context is not None else _directly
        kw = self.kw if self.wants_answer else {**self.kw, "pbanswer": False}
        own = run(call_result, result, label, self.kind, self.name, self.args, kw)
        if own is None:
            self.deferred.callback(None)
        else:
            self._own = own
            own.addCallbacks(self.deferred.callback, self.deferred.errback)

    def fail(self, failure: Failure) -> None:
        """Fail the call, which has not run; an answer that still comes is dropped."""
        if self.request_id is not None:
            self.calls.waiting.pop(self.request_id, None)
            self.calls.session.outgoing.open_calls.abandon(self.request_id)
        if not self.deferred.called:
            self.deferred.errback(failure)


class Line:
    """One target of calls that are made in their order.

    Attributes:
        calls: the calls of the connection.
        queue: the calls that wait here.
    """

    __slots__ = ("calls", "is_blocked", "queue")

    def __init__(self, calls: PendingCalls):
        self.calls = calls
        self.queue: deque[WaitingCall] = deque()
        # Whether the first call waits for a promise among its arguments.
        self.is_blocked = False

    def enqueue(self, made: WaitingCall) -> None:
        """Let a call wait behind the others, or fail it if too many wait."""
        promises = self.calls.promises
        if promises.here >= MOST_WAITING:
            made.deferred.errback(limit_error(ServerBusy, "max_promised", MOST_WAITING, what=HERE))
            return
        promises.here += 1
        made.put_off()
        self.queue.append(made)

    def send_queue(self) -> None:
        """Send the first calls, as far as possible."""
        while self.queue and not self.is_blocked and self.can_go():
            made = self.queue[0]
            try:
                self.send(made)
            except MustWait as wait:
                self.block(wait.promise)
                return
            # If the call has failed, it has left the queue already.
            if self.queue and self.queue[0] is made:
                self.dequeue(made)

    def block(self, promise: object) -> None:
        """Wait for a promise among the arguments of the first call."""
        self.is_blocked = True
        if isinstance(promise, Deferred):
            Bridge(promise).when_done(self.unblock)

    def unblock(self, bridge: object = None) -> None:
        """Go on: that promise has its result."""
        self.is_blocked = False
        self.send_queue()

    def dequeue(self, made: WaitingCall) -> None:
        """Remove a call that waits here."""
        self.queue.remove(made)
        self.calls.promises.here -= 1

    def can_go(self) -> bool:
        """Return whether the first call may be sent now."""
        raise NotImplementedError

    def send(self, made: WaitingCall) -> None:
        """Send a call; see :meth:`WaitingCall.send`."""
        raise NotImplementedError

    def came_home(self, made: WaitingCall) -> None:
        """Make a call here, which the peer has sent home."""
        raise NotImplementedError

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """Take note that a call has its outcome, or is cancelled."""
        if made in self.queue:
            self.dequeue(made)
            self.send_queue()


class HeldTarget(Line):
    """An object of the peer whose calls wait for a promise among the arguments of the first.

    Args:
        calls: the calls of the connection.
        view, target: the object.
        to_cache: whether it is a cache of the peer.
    """

    __slots__ = ("_target", "_to_cache", "_view")

    def __init__(self, calls: PendingCalls, view: object, target: Target, to_cache: bool):
        super().__init__(calls)
        self._view = view
        self._target = target
        self._to_cache = to_cache
        calls.promises.held[target] = self
        calls.session.hold_lane(True)

    def add(
        self,
        kind: type[Deferred[Any]],
        name: str,
        args: tuple[object, ...],
        kw: dict[str, Any],
        wants_answer: bool,
        meta: Mapping[str, str] | None = None,
    ) -> Deferred[Any] | None:
        """Make a call when all before it are made."""
        made = WaitingCall(self, kind, name, args, kw, wants_answer, meta)
        self.enqueue(made)
        self.send_queue()
        return made.deferred if wants_answer else None

    @classmethod
    def of(cls, calls: PendingCalls, view: object, target: Target, to_cache: bool) -> HeldTarget:
        """Return the one of an object."""
        held = calls.promises.held.get(target)
        return cls(calls, view, target, to_cache) if held is None else held

    def can_go(self) -> bool:
        """Return whether the first call may be sent now."""
        return True

    def send(self, made: WaitingCall) -> None:
        """Send a call; see :meth:`WaitingCall.send`."""
        made.send(self._view, self._target, made.wants_answer, self._to_cache)

    def unblock(self, bridge: object = None) -> None:
        """Send the calls, and let the others to this object go their usual way."""
        super().unblock()
        self._end()
        self.calls.flush()

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """See :meth:`Line.left`."""
        super().left(made, is_cancelled)
        self._end()

    def fail(self, failure: Failure) -> None:
        """Fail all calls."""
        for made in list(self.queue):
            made.fail(failure)

    def _end(self) -> None:
        held = self.calls.promises.held
        if not self.queue and held.get(self._target) is self:
            del held[self._target]
            if not held:
                self.calls.session.hold_lane(False)


class Path(Line, PromisedTarget):
    """One target of calls on a promise: its result, or one element of it.

    Args:
        called: the promise.
        step: of the element, or None.

    Attributes:
        promise: the promise of the element; the called one if there is no step.
    """

    __slots__ = (
        "_arrived",
        "_called",
        "_home",
        "_is_home",
        "_on_the_way",
        "_step",
        "_target",
        "promise",
    )

    def __init__(self, called: CalledPromise, step: int | str | None, promise: Promise[Any]):
        super().__init__(called.calls)
        self._called = called
        self._step = step
        self.promise = promise
        # The calls that were sent with the promise as their target.
        self._on_the_way: dict[RequestId, WaitingCall] = {}
        # The object of the peer that the promise has become.
        self._target: int | None = None
        self._is_home = False
        self._home: object = None
        # Calls that came home before that object is known.
        self._arrived: list[WaitingCall] = []

    def __call__(self, deferred: object) -> None:
        self._called.cancel(self._step)

    @property
    def on_the_way(self) -> int:
        """The number of calls that were sent with the promise as their target."""
        return len(self._on_the_way)

    @property
    def is_used(self) -> bool:
        """Whether calls on it wait, or its promise has an awaiter."""
        if self.queue or self._on_the_way or self._arrived:
            return True
        return self._step is not None and bool(self.promise._items)

    # The use of the promise.

    def call(
        self, kind: type[Deferred[Any]], name: str, args: tuple[object, ...], kw: dict[str, Any]
    ) -> Deferred[Any] | None:
        """Call a method of the result; see ``Promise.call_as``.

        Raises:
            RuntimeError: the connection belongs to another event loop.
        """
        calls = self.calls
        wants_answer = bool(kw.get("pbanswer", True))
        loop = calls.loop
        if _get_running_loop() is not loop:
            if loop is not None and is_posted(loop):
                again = partial(self.call, kind, name, args, kw)
                if not wants_answer:
                    do_in_loop(loop, again)
                    return None
                return post(loop, name, again)  # type: ignore[arg-type]
            calls.check_loop(f"callRemote('{name}')")
        if "pbanswer" in kw:
            kw = {key: value for key, value in kw.items() if key != "pbanswer"}
        if not calls.is_open:
            refusal = calls.refusal()
            if refusal is not None:
                return failed(kind, name, refusal) if wants_answer else None
        made = WaitingCall(self, kind, name, args, kw, wants_answer)
        self.enqueue(made)
        self.send_queue()
        calls.flush()
        return made.deferred if wants_answer else None

    def is_result(self, value: object) -> bool:
        """Return whether a value is the object that it became."""
        return self._is_home and value is self._home

    def element(self, step: int | str) -> Element:
        """Return the promise of an element of the result."""
        return self._called.element(step)

    def jelly(self, jellier: Jellier) -> Expression:
        """Return the expression of the promise, as an argument of a call; see ``Promise``."""
        calls, called = self.calls, self._called
        if jellier.invoker.calls is not calls:
            raise CannotJelly("a promise cannot be sent over another connection than its own")
        transaction = calls.session.translator.transaction
        if transaction is None or transaction.promised is None:
            raise CannotJelly("a promise is only an argument of a call; await it before it is sent")
        if self._is_home:
            raise BrokenPromise(not_passed(called.label, True))
        request_id = called.source.request_id
        if request_id is None or not calls.promises.can_send or self.queue:
            raise MustWait(self.promise)
        if any(request_id in each.requests for each in transaction.all_open()):
            raise CannotJelly("a promise of a call that is sent behind this one")
        transaction.promised.append(self)
        step: Expression = self._step
        if step is None:
            return [b"promised", request_id]
        return [b"promised", request_id, step.encode() if isinstance(step, str) else step]

    def pass_to(self, request_id: RequestId, deferred: Deferred[Any] | None) -> None:
        """Note that the promise was sent as an argument of a call."""
        self._called.arguments.append((self, request_id, deferred))
        self.calls.promises.there += 1

    def not_passed(self) -> Failure | None:
        """Return the failure of a call that has it as an argument, if it is no object of the peer."""
        if self._target is not None:
            return None
        return Failure(BrokenPromise(not_passed(self._called.label, self._is_home)))

    # Its calls.

    def can_go(self) -> bool:
        """Return whether the first call may be sent now, or made here."""
        if self._is_home:
            return not self._on_the_way
        if self._target is not None:
            return True
        request_id, promises = self._called.source.request_id, self.calls.promises
        if request_id is None or self._called.is_settled or not self.calls.is_open:
            return False
        if isinstance(self._step, int) and self._step >= MOST_STEPS:
            return False
        if not promises.can_send:
            if Feature.PROMISES in self.calls.session.outbox.features:
                promises.stalled[self] = None
            return False
        return True

    def go_on(self) -> None:
        """Send what waits: fewer calls wait at the peer."""
        self.send_queue()
        self.calls.flush()

    def send(self, made: WaitingCall) -> None:
        """Send a call, or make it here."""
        called = self._called
        if self._is_home:
            self.dequeue(made)
            made.run(self._home, called.label)
        elif self._target is not None:
            made.send(called.view, self._target, made.wants_answer)
        else:
            request_id = called.source.request_id
            step = self._step
            target: Target = (request_id,) if step is None else (request_id, step)  # type: ignore[assignment]
            made.send(called.view, target, True)
            if made.request_id is not None:
                outgoing, promises = self.calls.session.outgoing, self.calls.promises
                if outgoing.promised is None:
                    outgoing.promised = {}
                outgoing.promised[made.request_id] = called, step
                promises.sent[made.request_id] = self._on_the_way[made.request_id] = made
                promises.there += 1

    def came_home(self, made: WaitingCall) -> None:
        """Make a call here, which the peer has sent home."""
        if made.request_id is not None:
            del self._on_the_way[made.request_id]
            made.request_id = None
        if self._is_home:
            made.run(self._home, self._called.label)
            self.send_queue()
        else:
            self._arrived.append(made)

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """See :meth:`Line.left`."""
        super().left(made, is_cancelled)
        request_id = made.request_id
        if request_id is not None and self._on_the_way.pop(request_id, None) is not None:
            promises = self.calls.promises
            promises.sent.pop(request_id, None)
            promised = self.calls.session.outgoing.promised
            # An answer to a cancelled call still comes, and may be a Home.
            if promised is not None and not is_cancelled:
                promised.pop(request_id, None)
            if not self._called.is_settled:
                promises.left(1)
            self.send_queue()
        if is_cancelled:
            self._called.drop_if_unused()

    # The result.

    def fail_all(self, failure: Failure, is_lost: bool) -> None:
        """Fail the calls: the promise has failed, or its result is not a reference.

        Args:
            failure: of the calls.
            is_lost: whether the connection has ended. The calls that were sent then fail by that.
        """
        if not is_lost:
            for made in list(self._on_the_way.values()):
                made.fail(failure)
        for made in list(self.queue):
            made.fail(self.calls.closed_failure() if is_lost else failure)
        for made in self._arrived:
            made.fail(failure)

    def cancel_all(self) -> None:
        """Cancel the calls on it."""
        for made in (*self._on_the_way.values(), *self.queue, *self._arrived):
            made.deferred.cancel()

    def resolve(self, result: object) -> None:
        """Take the result, and send the calls that have waited for it."""
        called, step = self._called, self._step
        place = place_in(called.named, step)
        if isinstance(place, Home):
            self._is_home = True
            self._home = self._own(place, result)
            # Calls on the promise still come here.
            self.promise._canceller = self
            for made in self._arrived:
                made.run(self._home, called.label)
            self._arrived.clear()
        elif place is None:
            self.fail_all(Failure(BrokenPromise(not_a_reference(called.label))), False)
        else:
            self._target = place
            if self.is_blocked:
                # The calls to that object wait behind those of this queue.
                self._hold(place)
        self.send_queue()

    def _own(self, place: Home, result: object) -> object:
        if place.object_id is not None:
            entry = self.calls.session.translator.exports.get(place.object_id)
            return None if entry is None else entry.value
        step: Any = self._step
        if step is None:
            return result
        try:
            return result[step]  # type: ignore[index]
        except (IndexError, KeyError, TypeError):
            return None

    def _hold(self, target: int) -> None:
        held = HeldTarget.of(self.calls, self._called.view, target, False)
        for made in list(self.queue):
            self.dequeue(made)
            made.line = held
            held.enqueue(made)
        held.send_queue()


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
        self.label = getattr(promise, "label", "the call")
        self.view: object = None
        self._is_cancelled = False
        self._request_id: RequestId | None = None
        self.source = source
        self.calls = source.calls
        self._promise: Promise[Any] | None = promise
        self.arguments: list[tuple[Path, RequestId, Deferred[Any] | None]] = []
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
            promise.cancel()

    def deliver(self, result: object, loop: AbstractEventLoop | None = None) -> None:
        """Take the result, before other code does: what waits for it is sent."""
        calls, promises = self.calls, self.calls.promises
        self.is_settled = True
        self._forget_request()
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

    def _forget_request(self) -> None:
        followed = self.calls.session.outgoing.followed
        if followed is not None and self._request_id is not None:
            followed.pop(self._request_id, None)

    def _fail_arguments(self, failure: Failure | None) -> None:
        """Fail the calls that have the promise as an argument, if it is no object of the peer."""
        for path, request_id, deferred in self.arguments:
            fault = failure or path.not_passed()
            if fault is not None and deferred is not None and not deferred.called:
                self.calls.waiting.pop(request_id, None)
                self.calls.session.outgoing.open_calls.abandon(request_id)
                deferred.errback(fault)


def _directly(function: Callable[..., Any], *args: object) -> Any:
    return function(*args)


def _dropped(failure: Failure) -> None:
    """Drop the failure of a one-way call."""
