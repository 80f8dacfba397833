"""The result of a promise, or one element of it, as the target of calls."""

from __future__ import annotations

from asyncio import _get_running_loop
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.connection.promises.lines import HeldTarget, Line
from broker.connection.promises.waiting_call import WaitingCall
from broker.core.calls.promised import MOST_STEPS, Home, MustWait, place_in
from broker.core.objects.unread import PROMISED
from broker.core.wire.commands import Feature
from broker.core.wire.messages import RequestId, Target
from broker.errors import BrokenPromise, CannotJelly
from broker.failure import Failure
from broker.flavors.own_calls import is_own
from broker.flavors.posted import do_in_loop, is_posted, post
from broker.flavors.promise import (
    Element,
    Kind,
    Pending,
    Promise,
    PromisedTarget,
    failed,
    not_a_reference,
    not_passed,
)
from broker.flavors.reference import RemoteReference, unwrapped
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.connection.promises.called import CalledPromise
    from jelly.jellier import Jellier

__all__ = ["Path"]


class Path(Line, PromisedTarget):
    """One target of calls on a promise: its result, or one element of it.

    Args:
        called: the promise.
        step: of the element, or None.

    Attributes:
        promise: the promise of the element; the called one if there is no step.
        was_called: whether a call on it was made, or one with it among its arguments.
    """

    __slots__ = (
        "_arrived",
        "_called",
        "_context",
        "_home",
        "_is_home",
        "_on_the_way",
        "_step",
        "_target",
        "promise",
        "was_called",
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
        # That of the calls of the peer to that object.
        self._context = self.calls.session.incoming.context
        # Calls that came home before that object is known.
        self._arrived: deque[WaitingCall] = deque()
        self.was_called = False

    def __call__(self, deferred: object) -> None:
        """Cancel the promise, as its canceller."""
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
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending | None:
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
            refusal = calls.draining_failure()
            if refusal is not None:
                return failed(kind, name, refusal) if wants_answer else None
        self.was_called = True
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
            reference = unwrapped(self._home)
            if isinstance(reference, RemoteReference):
                return reference.jellyFor(jellier)
            raise BrokenPromise(not_passed(called.label, True))
        request_id = called.source.request_id
        if request_id is None or called.is_settled or not calls.promises.can_send:
            raise MustWait(self.promise)
        if any(request_id in each.requests for each in transaction.all_open()):
            raise CannotJelly("a promise of a call that is sent behind this one")
        transaction.promised.append(self)
        promise: list[Expression] = [PROMISED, request_id]
        if self._step is not None:
            promise.append(self._step.encode() if isinstance(self._step, str) else self._step)
        return promise

    def note_used(self) -> None:
        """See :meth:`PromisedTarget.note_used`."""
        self.was_called = True

    def pass_to(self, request_id: RequestId, deferred: Pending | None) -> None:
        """Note that the promise was sent as an argument of a call."""
        self.was_called = True
        self._called.arguments.append((self, request_id, deferred))
        self.calls.promises.there += 1

    def not_passed(self) -> Failure | None:
        """Return the failure of a call with it as an argument; None for an object of the peer."""
        if self._target is not None:
            return None
        return Failure(BrokenPromise(not_passed(self._called.label, self._is_home)))

    # Its calls.

    def can_go(self) -> bool:
        """Return whether the first call may be sent now, or made here."""
        if self._is_home:
            return not self._on_the_way and not self._arrived
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

    def keep(self) -> None:
        """Have later calls on the promise, which has fired, come here if it is an own object."""
        if self._is_home:
            self.promise._canceller = self

    def go_on(self) -> None:
        """Send what waits: fewer calls wait at the peer."""
        self.send_queue()
        self.calls.flush()

    def send(self, made: WaitingCall) -> None:
        """Send a call, or make it here."""
        called = self._called
        if self._is_home:
            made.wait_for_arguments()
            self.dequeue(made)
            self._run(made)
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
            if not self._called.is_settled:
                self.calls.promises.left(1)
        self._arrived.append(made)
        self._go_home()

    def _go_home(self) -> None:
        """Make the calls that came home, and then those that wait here, in their order."""
        while self._is_home and self._arrived and not self.is_blocked:
            made = self._arrived[0]
            if not made.deferred.called:
                try:
                    made.wait_for_arguments()
                except MustWait as wait:
                    self.block(wait.promise)
                    return
            self._arrived.popleft()
            self._run(made)
        self.send_queue()

    def _run(self, made: WaitingCall) -> None:
        label = self._called.label
        self.calls.promises.in_turn(partial(made.run, self._home, label, self._context))

    def block(self, promise: object) -> None:
        """See :meth:`Line.block`."""
        if self._target is not None:
            # The calls to that object wait behind those of this queue.
            self._hold(self._target)
        else:
            super().block(promise)

    def unblock(self, bridge: object = None) -> None:
        """Go on: the promise among the arguments of the first call has its result."""
        self.is_blocked = False
        self._go_home()
        self.calls.flush()

    def left(self, made: WaitingCall, is_cancelled: bool = False) -> None:
        """See :meth:`Line.left`."""
        if self._arrived and made is self._arrived[0]:
            self.is_blocked = False
        super().left(made, is_cancelled)
        request_id = made.request_id
        if request_id is not None and self._on_the_way.pop(request_id, None) is not None:
            promises = self.calls.promises
            promises.sent.pop(request_id, None)
            outgoing = self.calls.session.outgoing
            # An answer to a call that is not waited for still comes, and may be a Home.
            if outgoing.promised is not None and not outgoing.open_calls.is_pending(request_id):
                outgoing.promised.pop(request_id, None)
            if not self._called.is_settled:
                promises.left(1)
        if self._is_home:
            self._go_home()
        else:
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
        failed = list(self._arrived)
        if not is_lost:
            failed += self._on_the_way.values()
        failed += self.queue
        self._arrived.clear()
        for made in failed:
            reason = self.calls.closed_failure() if is_lost else failure
            self.calls.promises.in_turn(partial(made.fail, reason))

    def cancel_all(self) -> None:
        """Cancel the calls on it."""
        for made in (*self._on_the_way.values(), *self.queue, *self._arrived):
            self.calls.promises.in_turn(made.deferred.cancel)

    def resolve(self, result: object) -> None:
        """Take the result, and send the calls that have waited for it."""
        called, step = self._called, self._step
        place = place_in(called.named, step)
        if isinstance(place, Home):
            self._home = self._own(place, result)
            self._is_home = _can_be_called(self._home)
        if self._is_home:
            self.keep()
            self._go_home()
            return
        if not isinstance(place, int):
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
            if entry is None:
                return None
            if entry.principal is not None:
                self._context = entry.principal.context
            return entry.value
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
            held.take_over(made)
        held.send_queue()


def _can_be_called(value: object) -> bool:
    """Return whether calls on a promise can be made on its result: an own object or a reference."""
    reference = unwrapped(value)
    return isinstance(reference, RemoteReference | Promise) or is_own(value)
