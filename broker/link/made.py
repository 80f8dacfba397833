"""A recipe on one connection: the reference that it has become, and what waits for it.

Theory of operation. On each connection each recipe is made once, which gives a `Made`. Calls on the
recipe go through the queue of its Made, in the order in which they were made. A call is made on the
promise of the reference, if the dialect can send it at once. Otherwise it waits for the reference,
and so do all behind it. The same holds for references among its arguments. The avatar is a recipe
that is made at once. A call of a link whose result is used before it has come has a Made too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from broker.core.calls.attached import ATTACHED
from broker.core.calls.deadline import DEADLINE
from broker.core.calls.promised import MustWait
from broker.defer import Deferred
from broker.errors import Disconnected, PBConnectionLost, ServerDraining
from broker.failure import Failure
from broker.flavors.cacheable import RemoteCache
from broker.flavors.contracts.pending import PendingReference
from broker.flavors.contracts.proxy import Proxy
from broker.flavors.own_calls import is_own
from broker.flavors.promise import Pending, Promise, when_settled
from broker.flavors.reference import RemoteReference

if TYPE_CHECKING:
    from broker.connection.connection import Connection
    from jelly.atoms import Expression
    from jelly.jellier import Jellier

__all__ = [
    "Coming",
    "Made",
    "Maker",
    "Need",
    "Numbered",
    "Queued",
    "Target",
    "lost",
    "observe",
    "without_own",
]

Target: TypeAlias = "RemoteReference | Promise[Any]"
"""What calls are made on: a reference, or the promise of one."""

Numbered: TypeAlias = Callable[..., Any]
"""Calls a function that makes a call with a number: ``numbered(function, *args)``."""


class Coming:
    """Something on one connection: it has come, or failed, or neither yet.

    Attributes:
        failure: why it has not come.
        has_come: whether it has.
    """

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.has_come = False
        self._listeners: dict[Callable[[], object], None] = {}

    @property
    def is_settled(self) -> bool:
        """Whether it has come or failed."""
        return self.has_come or self.failure is not None

    def can_go(self, *, is_direct: bool) -> bool:
        """Return whether a call that needs it can be made now.

        Args:
            is_direct: whether the call must not be made on promises.
        """
        return self.is_settled

    def can_be_passed(self) -> bool:
        """Return whether a call that uses promises can be made with it as an argument."""
        return self.is_settled

    def listen(self, listener: Callable[[], object]) -> None:
        """Call ``listener()`` once, when calls that need it may be made."""
        self._listeners[listener] = None

    def come(self) -> None:
        """Note that it has come."""
        if not self.is_settled:
            self.has_come = True
            self.tell()

    def fail(self, failure: Failure) -> None:
        """Note that it has failed on this connection."""
        if not self.is_settled:
            self.failure = failure
            self.tell()

    def tell(self) -> None:
        """Call the listeners."""
        listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            listener()


class Need(Protocol):
    """What a call needs, such as a reference of a link among its arguments."""

    def on(self, connection: Connection, /) -> Coming:
        """Return what it is on a connection."""
        ...


class Queued(Protocol):
    """What waits in a queue for the reference of a recipe."""

    @property
    def needs(self) -> Sequence[Need]:
        """What must have come besides, such as references among the arguments."""
        ...

    @property
    def is_direct(self) -> bool:
        """Whether it waits for the references, and does not use their promises."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it is not wanted any more."""
        ...

    def begin(self, target: Target, numbered: Numbered, /) -> None:
        """Make the call.

        Args:
            target: what it is made on.
            numbered: calls a function that makes the call, which has its place on the connection
                since it was put into the queue; see ``OutgoingPromises.numbered``.
        """
        ...

    def refuse(self, failure: Failure, /) -> None:
        """Note that the recipe, or that of an argument, failed on this connection."""
        ...

    def put_off(self, failure: Failure, /) -> None:
        """Note that the connection has ended, or takes no more calls, before it was begun."""
        ...


class Made(Coming):
    """A recipe on one connection: the reference, or the failure, or neither yet.

    Args:
        connection: the connection.
        name: of the recipe, for errors.
        take_cache: called with the result if it is a RemoteCache.

    Attributes:
        connection: as given.
        target: the reference or its promise; None before the call was made, and after a failure.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        take_cache: Callable[[RemoteCache], object] | None = None,
    ):
        super().__init__()
        self.connection = connection
        self._take_cache = take_cache
        self.target: Target | None = None
        self._name = name
        # Each with its number on the connection, and what it needs there.
        self._queue: deque[tuple[int, Queued, list[Coming]]] = deque()
        self._is_going = False

    def can_go(self, *, is_direct: bool) -> bool:
        """See :meth:`Coming.can_go`."""
        if self.is_settled:
            return True
        promise = self.target
        return (
            not is_direct
            and isinstance(promise, Promise)
            and self.connection.broker.calls.promises.can_send
            and promise._target() is not None
        )

    def can_be_passed(self) -> bool:
        """Return True: the connection keeps a call with it, and the later ones of its target.

        So the calls of that target start in the order in which they were made, also those that are
        made on the reference itself.
        """
        return True

    def expression(self, jellier: Jellier) -> Expression:
        """Return the expression of the reference, or of its promise, as an argument of a call.

        Raises:
            MustWait: it was not made yet.
        """
        if self.target is not None:
            return self.target.jellyFor(jellier)
        if self.failure is not None:
            # The connection has kept a call with it until now.
            self.failure.raiseException()
        promise: Promise[None] = Promise()
        self.listen(lambda: promise.callback(None))
        raise MustWait(promise)

    def begin(self, result: Pending) -> None:
        """Take the result of the call that makes the recipe: its promise now, itself later."""
        if isinstance(result, Promise):
            self.follow(result)
        observe(result, self.settle)

    def follow(self, promise: Promise[Any]) -> None:
        """Take the promise of the reference; :meth:`settle` is called with the result later."""
        if not self.is_settled:
            self.target = promise
            self.tell()

    def settle(self, result: object) -> None:
        """Take the result, or the Failure."""
        if self.is_settled:
            return
        if isinstance(result, Failure):
            self.fail(result)
            return
        if isinstance(result, Proxy):
            result = result._broker_reference
        if isinstance(result, PendingReference):
            result = result.reference
        if isinstance(result, RemoteReference):
            self.take(result)
        elif is_own(result) and isinstance(self.target, Promise):
            # The promise makes the calls here, in their order.
            self.come()
        else:
            if isinstance(result, RemoteCache) and self._take_cache is not None:
                self._take_cache(result)
            text = f"{self._name} returned {type(result).__name__}, not a reference"
            self.fail(Failure(TypeError(text)))

    def take(self, reference: Target) -> None:
        """Take the reference."""
        if not self.is_settled:
            self.target = reference
            self.come()

    def fail(self, failure: Failure) -> None:
        """Take the failure of the recipe on this connection."""
        if not self.is_settled:
            self.target = None
        super().fail(failure)

    def tell(self) -> None:
        """Begin what can be begun, and call the listeners."""
        self.go_on()
        super().tell()

    def put(self, queued: Queued) -> None:
        """Begin something on the reference as soon as possible, behind what was put before."""
        # A result among the arguments may come before this reference: it is kept from now on.
        needs = [need.on(self.connection) for need in queued.needs]
        number = self.connection.broker.calls.promises.reserve()
        self._queue.append((number, queued, needs))
        self.go_on()

    def go_on(self) -> None:
        """Begin what can be begun."""
        if self._is_going:
            return
        self._is_going = True
        try:
            while self._queue and self._step(*self._queue[0]):
                pass
        finally:
            self._is_going = False

    def _step(self, number: int, first: Queued, needs: list[Coming]) -> bool:
        """Begin the first of the queue, or remove it; return False if it must wait."""
        if first.is_over:
            self._queue.popleft()
            return True
        is_direct = first.is_direct
        if not self.can_go(is_direct=is_direct):
            return False
        if self.failure is None:
            for need in needs:
                if not need.can_go(is_direct=is_direct) and (is_direct or not need.can_be_passed()):
                    need.listen(self.go_on)
                    return False
        self._queue.popleft()
        failures = [self.failure, *(need.failure for need in needs)]
        failure = next((each for each in failures if each is not None), None)
        if failure is None:
            if self.target is not None:
                promises = self.connection.broker.calls.promises
                first.begin(self.target, partial(promises.numbered, number))
        elif failure.check(Disconnected, ServerDraining):
            # The recipe is made again on the next connection.
            first.put_off(failure)
        else:
            first.refuse(failure)
        return True


class Maker:
    """Makes a recipe on one connection: what the queue of its parent has.

    Args:
        made: what it becomes.
        needs: the references among the arguments of its call.
        make: ``make(reference of the parent)`` returns the Deferred of the result.
        is_direct: whether ``make`` needs the reference itself, not its promise.
    """

    is_over = False

    def __init__(
        self,
        made: Made,
        needs: Sequence[Need],
        make: Callable[[Any], Deferred[object]],
        *,
        is_direct: bool,
    ):
        self.needs = needs
        self.is_direct = is_direct
        self._made = made
        self._make = make

    def begin(self, target: Target, numbered: Numbered) -> None:
        """Make the call."""
        try:
            result = numbered(without_own, self._make, target)
        except Exception:  # noqa: BLE001 - such as DeadReferenceError: the failure of the recipe
            self._made.fail(Failure())
        else:
            self._made.begin(result)

    def refuse(self, failure: Failure) -> None:
        """Fail as the parent did."""
        self._made.fail(failure)

    def put_off(self, failure: Failure) -> None:
        """Fail as the parent did."""
        self._made.fail(failure)


def without_own(function: Callable[..., Any], *args: object) -> Any:
    """Call a function of the link without what the running code attaches to its own calls.

    The calls of a link for itself have no deadline, no metadata and no key of ``broker.once``.
    """
    attached, deadline = ATTACHED.set(None), DEADLINE.set(None)
    try:
        return function(*args)
    finally:
        DEADLINE.reset(deadline)
        ATTACHED.reset(attached)


def observe(result: Pending, then: Callable[[Any], object]) -> None:
    """Call ``then(result or Failure)`` when a call has ended; a failure counts as handled."""
    if isinstance(result, Promise):
        when_settled(result, then)
    else:
        result.addBoth(lambda outcome: then(outcome) and None)


def lost() -> Failure:
    """Return the failure of what was not made before its connection ended."""
    return Failure(PBConnectionLost("not run: the connection has ended", may_have_run=False))
