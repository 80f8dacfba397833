"""A recipe on one connection: the reference that it has become, and what waits for it.

Theory of operation. On each connection each recipe is made once, which gives a `Made`. Calls on the
recipe go through the queue of its Made, in the order in which they were made, so that they wait for
the reference, and for references among their arguments. The avatar is a recipe that is made at
once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from broker.defer import Deferred
from broker.errors import Disconnected, ServerDraining
from broker.failure import Failure
from broker.flavors.contracts.proxy import Proxy
from broker.flavors.reference import RemoteReference

if TYPE_CHECKING:
    from broker.connection.connection import Connection

__all__ = ["Made", "Maker", "Need", "Queued", "lost"]


class Need(Protocol):
    """A reference of a link, among the arguments of a call."""

    def on(self, connection: Connection, /) -> Made:
        """Return what it is on a connection."""
        ...


class Queued(Protocol):
    """What waits in a queue for the reference of a recipe."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """The references among the arguments, which must have come."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it is not wanted any more."""
        ...

    def begin(self, reference: RemoteReference, /) -> None:
        """Make the call."""
        ...

    def refuse(self, failure: Failure, /) -> None:
        """Note that the recipe, or that of an argument, failed on this connection."""
        ...

    def put_off(self, failure: Failure, /) -> None:
        """Note that the connection has ended, or takes no more calls, before it was begun."""
        ...


class Made:
    """A recipe on one connection: the reference, or the failure, or neither yet.

    Args:
        connection: the connection.
        name: of the recipe, for errors.
    """

    def __init__(self, connection: Connection, name: str):
        self.connection = connection
        self.reference: RemoteReference | None = None
        self.failure: Failure | None = None
        self._name = name
        self._queue: deque[Queued] = deque()
        self._listeners: list[Callable[[], object]] = []
        self._is_going = False

    @property
    def is_settled(self) -> bool:
        """Whether there is a reference or a failure."""
        return self.reference is not None or self.failure is not None

    def begin(self, result: Deferred[object]) -> None:
        """Take the result of the call that makes the recipe, now or when it comes.

        Promise pipelining needs one line here: the calls of the queue can be made on ``result``
        at once, in place of the reference that it becomes.
        """
        result.addCallback(self._reference_of).addCallbacks(self.take, self.fail)

    def take(self, reference: RemoteReference) -> None:
        """Take the reference."""
        if not self.is_settled:
            self.reference = reference
            self._settled()

    def fail(self, failure: Failure) -> None:
        """Take the failure of the recipe on this connection."""
        if not self.is_settled:
            self.failure = failure
            self._settled()

    def when_settled(self, listener: Callable[[], object]) -> None:
        """Call ``listener()`` once there is a reference or a failure."""
        self._listeners.append(listener)

    def put(self, queued: Queued) -> None:
        """Begin something on the reference as soon as it has come, behind what was put before."""
        self._queue.append(queued)
        self.go_on()

    def go_on(self) -> None:
        """Begin what can be begun."""
        if self._is_going:
            return
        self._is_going = True
        try:
            while self._queue and self._step(self._queue[0]):
                pass
        finally:
            self._is_going = False

    def _step(self, first: Queued) -> bool:
        """Begin the first of the queue, or remove it; return False if it must wait."""
        if not first.is_over:
            waits_for = self if not self.is_settled else _first_unsettled(first.needs, self)
            if waits_for is not None:
                if waits_for is not self:
                    waits_for.when_settled(self.go_on)
                return False
        self._queue.popleft()
        if not first.is_over:
            self._begin(first)
        return True

    def _begin(self, first: Queued) -> None:
        failures = [self.failure, *(need.on(self.connection).failure for need in first.needs)]
        failure = next((each for each in failures if each is not None), None)
        if failure is None:
            if self.reference is not None:
                first.begin(self.reference)
        elif failure.check(Disconnected, ServerDraining):
            # The recipe is made again on the next connection.
            first.put_off(failure)
        else:
            first.refuse(failure)

    def _settled(self) -> None:
        self.go_on()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def _reference_of(self, result: object) -> RemoteReference:
        if isinstance(result, Proxy):
            result = result._broker_reference
        if not isinstance(result, RemoteReference):
            raise TypeError(f"{self._name} returned {type(result).__name__}, not a reference")
        return result


def _first_unsettled(needs: tuple[Need, ...], own: Made) -> Made | None:
    for need in needs:
        made = need.on(own.connection)
        if not made.is_settled:
            return made
    return None


class Maker:
    """Makes a recipe on one connection: what the queue of its parent has.

    Args:
        made: what it becomes.
        needs: the references among the arguments of its call.
        make: ``make(reference of the parent)`` returns the Deferred of the result.
    """

    is_over = False

    def __init__(
        self,
        made: Made,
        needs: tuple[Need, ...],
        make: Callable[[RemoteReference], Deferred[object]],
    ):
        self.needs = needs
        self._made = made
        self._make = make

    def begin(self, reference: RemoteReference) -> None:
        """Make the call."""
        try:
            result = self._make(reference)
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


def lost() -> Failure:
    """Return the failure of what was not made before its connection ended."""
    return Failure(Disconnected("the connection has ended"))
