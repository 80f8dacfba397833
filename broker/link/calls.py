"""The calls of a link: each is made on a connection, and again if it has surely not run."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Any, Protocol

from broker.connection.connection import Connection
from broker.core.calls.deadline import DEADLINE
from broker.defer import Deferred
from broker.defer.unhandled import Together
from broker.errors import DeadReferenceError, PBConnectionLost, ServerDraining
from broker.failure import Failure
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference
from broker.link.recipes import LinkedReference

__all__ = ["MOST_WAITING", "LinkedCall", "LinkedSend", "Waiting"]

_WITHOUT_HANDLER = "calls without a handler: not run, for want of a connection"

MOST_WAITING = 1_000
"""Calls of a link that may wait for a connection."""


class Again(Protocol):
    """A link, as a call uses it that is to be made on another connection."""

    def put_off(self, call: LinkedCall, failure: Failure) -> None:
        """Make the call on the next connection; ``failure`` is why it was not made on this one."""
        ...


class LinkedCall:
    """A call: what it needs to be made again on another connection.

    Args:
        link: makes it again.
        number: calls that wait are made in the order of their numbers.
        target: the reference.
        kind: the class of its Promise on a connection; it may check the result.
        name, args, kw: the method and its arguments.
        needs: the references among the arguments.

    Attributes:
        promise: what the caller has.
        ends: its deadline, by the clock of the loop, or None.
        tried: the connection on which it was made last, or None.
        number, target, needs: the arguments.
    """

    __slots__ = (
        "_args",
        "_context",
        "_inner",
        "_kind",
        "_kw",
        "_link",
        "_name",
        "ends",
        "needs",
        "number",
        "promise",
        "target",
        "tried",
    )

    def __init__(
        self,
        link: Again,
        number: int,
        target: LinkedReference,
        kind: type[Deferred[object]],
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        needs: tuple[LinkedReference, ...],
    ):
        self._link = link
        self.number = number
        self.target = target
        self._kind = kind
        self._name, self._args, self._kw = name, args, kw
        self.needs = needs
        # The deadline of the caller, and whatever else goes with its calls.
        self._context: Context = copy_context()
        self.ends = DEADLINE.get()
        self._inner: Deferred[object] | None = None
        self.tried: Connection | None = None
        self.promise: Promise[Any] = Promise(self._cancel)
        self.promise.label = name

    @property
    def is_over(self) -> bool:
        """Whether the caller has its result, or wants none."""
        return self.promise.called

    def begin(self, reference: RemoteReference) -> None:
        """Make the call on a connection."""
        try:
            self._inner = inner = self._context.run(
                reference.call_as, self._kind, self._name, self._args, dict(self._kw)
            )
        except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
            self._failed(Failure())
            return
        inner.addCallbacks(self._answered, self._failed)

    def refuse(self, failure: Failure) -> None:
        """Fail: the call has not run, and will not."""
        if not self.promise.called:
            self.promise.errback(failure)

    def put_off(self, failure: Failure) -> None:
        """Wait for the next connection."""
        if not self.promise.called:
            self._link.put_off(self, failure)

    def put(self, connection: Connection) -> None:
        """Make the call on a connection, behind those that were made before on its reference."""
        self.tried = connection
        self.target.on(connection).put(self)

    def is_repeated(self, failure: Failure) -> bool:
        """Return whether the call is made again on the next connection.

        It is if it has surely not run: it was never sent, or a server that drains refused it. This
        is the place for a call inside ``broker.once``, which may be made again although it may have
        run, if the server still knows its key.
        """
        error = failure.as_exception()
        if isinstance(error, PBConnectionLost):
            return not error.may_have_run
        return isinstance(error, DeadReferenceError | ServerDraining)

    def _answered(self, result: object) -> None:
        self._inner = None
        if not self.promise.called:
            self.promise.callback(result)

    def _failed(self, failure: Failure) -> None:
        self._inner = None
        if self.promise.called:
            return
        if self.is_repeated(failure):
            self.put_off(failure)
        else:
            self.promise.errback(failure)

    def _cancel(self, promise: Deferred[object]) -> None:
        inner = self._inner
        if inner is not None:
            inner.cancel()


class LinkedSend:
    """A call without an answer, which is dropped if its reference does not come.

    Args:
        name, args, kw: the method and its arguments.
        needs: the references among the arguments.
    """

    is_over = False
    __slots__ = ("_args", "_kw", "_name", "needs")

    def __init__(
        self,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        needs: tuple[LinkedReference, ...],
    ):
        self._name, self._args, self._kw = name, args, kw
        self.needs = needs

    def begin(self, reference: RemoteReference) -> None:
        """Send it."""
        reference.send(self._name, *self._args, **self._kw)

    def refuse(self, failure: Failure) -> None:
        """Drop it."""

    def put_off(self, failure: Failure) -> None:
        """Drop it."""


class Waiting:
    """The calls of a link that wait for a connection.

    Args:
        patience: the most seconds that each waits.
    """

    def __init__(self, patience: float):
        self._patience = patience
        self._calls: dict[int, tuple[LinkedCall, asyncio.TimerHandle]] = {}
        # One record in the log for all that are refused while there is no connection.
        self._together = Together(_WITHOUT_HANDLER)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: LinkedCall) -> None:
        """Let a call wait, or refuse it if too many wait, or its time is over."""
        if len(self._calls) >= MOST_WAITING:
            self._forget_ended()
        if len(self._calls) >= MOST_WAITING:
            self._refuse(call, f"{MOST_WAITING} calls wait for a connection")
            return
        loop = asyncio.get_running_loop()
        seconds = self._patience
        if call.ends is not None:
            seconds = max(0.0, min(seconds, call.ends - loop.time()))
        timer = loop.call_later(seconds, self._too_late, call, seconds)
        self._calls[call.number] = call, timer

    def take(self) -> list[LinkedCall]:
        """Return the calls in their order; they do not wait any more."""
        calls, self._calls = self._calls, {}
        self._together.tell()
        self._together = Together(_WITHOUT_HANDLER)
        for _, timer in calls.values():
            timer.cancel()
        return [call for number, (call, _) in sorted(calls.items())]

    def _forget_ended(self) -> None:
        for number, (call, timer) in list(self._calls.items()):
            if call.is_over:
                timer.cancel()
                del self._calls[number]

    def _too_late(self, call: LinkedCall, seconds: float) -> None:
        del self._calls[call.number]
        self._refuse(call, f"no connection in {seconds:g} s")

    def end(self, error: BaseException) -> None:
        """Refuse all calls that wait."""
        together = Together(_WITHOUT_HANDLER)
        for call in self.take():
            failure = Failure(error)
            failure.together = together
            call.refuse(failure)
            del failure, call
        together.tell()

    def _refuse(self, call: LinkedCall, why: str) -> None:
        failure = Failure(PBConnectionLost(f"not run: {why}", may_have_run=False))
        failure.together = self._together
        call.refuse(failure)
