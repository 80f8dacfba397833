"""A call on a promise, or with a promise among its arguments, from its making to its outcome."""

from __future__ import annotations

import contextvars
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.core.calls.promised import Home, MustWait
from broker.core.objects.tables import directly
from broker.core.wire.messages import RequestId, Target
from broker.defer.awaiting import Watcher
from broker.failure import Failure
from broker.flavors.home_calls import wait_for, with_results
from broker.flavors.own_calls import is_own
from broker.flavors.promise import (
    Canceller,
    Kind,
    Pending,
    Promise,
    PromisedTarget,
    call_result,
)

if TYPE_CHECKING:
    from broker.connection.promises.called import CalledPromise
    from broker.connection.promises.lines import Line

__all__ = ["WaitingCall"]


class WaitingCall(Canceller, Watcher):
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
        number: its place among all calls that wait here: those of a target wait in this order.
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
        "number",
        "request_id",
        "wants_answer",
    )

    def __init__(
        self,
        line: Line,
        kind: Kind,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        wants_answer: bool,
        meta: Mapping[str, str] | None = None,
    ):
        self.calls = line.calls
        self.number = line.calls.promises.next_number()
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
        self._own: Pending | None = None
        self.called: CalledPromise | None = None
        self.deferred: Pending = kind(self)
        self.deferred.label = name
        self.deferred._items = [self]
        if not wants_answer:
            self.deferred.addErrback(_dropped)

    def __call__(self, deferred: object) -> None:
        """Cancel the call, as the canceller of its Promise."""
        if self._own is not None:
            self._own.cancel()
        elif self.request_id is not None:
            self.calls.abandon(self.request_id)
        self.line.left(self, is_cancelled=True)

    def target_of(self, promise: Promise[Any]) -> PromisedTarget:
        """Return the result of the promise as a target."""
        return self.calls.promises.follow(self, promise)

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
        run = self._context.run if self._context is not None else directly
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
                self.kind,
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
                calls.promises.in_turn(path.send_queue)

    def wait_for_arguments(self) -> None:
        """Raise MustWait if a promise among the arguments has no result."""
        wait_for((self.args, self.kw))

    def run(self, result: object, label: str, context: contextvars.Context) -> None:
        """Make the call here; the promises among its arguments have their results.

        Args:
            result: what is called.
            label: the method that returned it.
            context: that of the calls of the peer to an object of this end.
        """
        if self.deferred.called:
            return
        if self.called is not None:
            self.called.named = Home(None)
        try:
            self.args, self.kw = with_results(self.args), with_results(self.kw)
        except Exception:  # noqa: BLE001 - BrokenPromise, or the failure of the promise
            self.deferred.errback()
            return
        own = context.copy() if is_own(result) else self._context
        run = directly if own is None else own.run
        kw = self.kw if self.wants_answer else {**self.kw, "pbanswer": False}
        made = run(call_result, result, label, self.kind, self.name, self.args, kw)
        if made is None:
            self.deferred.callback(None)
        else:
            self._own = made
            made.addCallbacks(self.deferred.callback, self.deferred.errback)

    def fail(self, failure: Failure) -> None:
        """Fail the call, which has not run; an answer that still comes is dropped."""
        if self.request_id is not None:
            self.calls.waiting.pop(self.request_id, None)
            self.calls.session.outgoing.open_calls.abandon(self.request_id)
        if not self.deferred.called:
            self.deferred.errback(failure)


def _dropped(failure: Failure) -> None:
    """Drop the failure of a one-way call."""
