"""The result of a call of a link as the target of calls, before it has come, over connections.

Theory of operation. On each connection on which the call is made, its result has a `Made`, as a
recipe has. So calls on the result are made at once where the dialect can, and wait for it
elsewhere. If the call is made again on another connection, so are those that depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from broker.connection.connection import Connection
from broker.defer.awaiting import Bridge
from broker.failure import Failure
from broker.flavors.promise import (
    Canceller,
    Element,
    Kind,
    Pending,
    Promise,
    PromisedTarget,
)
from broker.link.made import Made, lost
from jelly.errors import CannotJelly

if TYPE_CHECKING:
    from broker.link.recipes import Linking
    from jelly.atoms import Expression
    from jelly.jellier import Jellier

__all__ = ["Chain", "Chained", "Dependent", "is_awaited", "linked_promise"]


class Dependent(Protocol):
    """A call that depends on the result of another one.

    Attributes:
        place: the connection on which it is made, or None while it waits for one.
    """

    place: Connection | None

    @property
    def is_over(self) -> bool:
        """Whether the caller has its result, or wants none."""
        ...

    def refuse(self, failure: Failure, /) -> None:
        """Fail: the call has not run, and will not."""
        ...

    def cancel(self) -> None:
        """Cancel it."""
        ...


class Chained(Protocol):
    """A call of a link, as the target that its result is uses it.

    Attributes:
        promise: what the caller has.
        place: the connection on which it is made, or None while it waits for one.
        inner: its promise there, or None if it has not begun.
        label: the name of the method.
        chain: this target, with its elements.
    """

    promise: Promise[Any]
    place: Connection | None
    inner: Pending | None
    label: str
    chain: Chain | None

    @property
    def linking(self) -> Linking:
        """The link."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it has its result."""
        ...


class Chain(Canceller, PromisedTarget):
    """The result of a call of a link, or one element of it, as the target of calls.

    Args:
        call: the call.
        step: of the element, or None.
        promise: the promise of the element; that of the call if there is no step.

    Attributes:
        promise: as given.
        elements: the elements of the result, by step.
        was_called: whether a call on it was made, or one with it among its arguments.
    """

    __slots__ = (
        "_call",
        "_dependents",
        "_home",
        "_made",
        "_step",
        "elements",
        "promise",
        "was_called",
    )

    def __init__(self, call: Chained, step: int | str | None, promise: Promise[Any]):
        self._call = call
        self._step = step
        self.promise = promise
        self.elements: dict[int | str, Chain] = {}
        self._made: dict[Connection, Made] = {}
        self._dependents: dict[Dependent, None] = {}
        # The promise on a connection that has become an object of this end.
        self._home: Promise[Any] | None = None
        self.was_called = False

    def __repr__(self) -> str:
        return f"<the result of {self._call.label} of a link>"

    # As the canceller of its promise.

    def __call__(self, deferred: object) -> None:
        """Cancel the calls on an element, or the call itself."""
        if self._step is None:
            cast("Callable[[object], object]", self._call)(deferred)
            return
        for dependent in list(self._dependents):
            dependent.cancel()

    def target_of(self, promise: Promise[Any]) -> PromisedTarget:
        """Return this target."""
        return self

    # As the target of calls.

    def call(
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending | None:
        """Call a method of the result; see ``Promise.call_as``."""
        if self._home is not None:
            return self._home.call_as(kind, name, args, kw)
        self.was_called = True
        if kw.get("pbanswer", True):
            kw = {key: value for key, value in kw.items() if key != "pbanswer"}
            return self._call.linking.call(self, kind, name, args, kw)
        kw = {key: value for key, value in kw.items() if key != "pbanswer"}
        self._call.linking.send(self, name, args, kw)
        return None

    def is_result(self, value: object) -> bool:
        """Return whether a value is the object of this end that the result is."""
        target = None if self._home is None else self._home._target()
        return target is not None and target.is_result(value)

    def element(self, step: int | str) -> Element:
        """Return the promise of an element of the result."""
        found = self.elements.get(step)
        if found is None:
            element: Element = Element()
            element.label = self._call.label
            found = self.elements[step] = Chain(self._call, step, element)
            element._canceller = found
        return cast("Element", found.promise)

    def jelly(self, jellier: Jellier) -> Expression:
        """Return the expression of the promise on the connection that it is sent over.

        Raises:
            CannotJelly: the call is made on another connection.
            MustWait: the call was not made yet.
        """
        if self._home is not None:
            return self._home.jellyFor(jellier)
        self.was_called = True
        place = self._call.place
        if place is not None and place.broker is jellier.invoker:
            # The call with it may be one of a reference, which has not asked for it before.
            self.on(place)
        for connection, made in self._made.items():
            if connection.broker is jellier.invoker:
                return made.expression(jellier)
        raise CannotJelly(f"{self!r} can be sent by calls of its link only")

    # As a target over connections.

    is_numbered = True

    @property
    def linking(self) -> Linking:
        """The link."""
        return self._call.linking

    def where(self, now: Connection | None) -> Connection | None:
        """Return the connection for a new call: that of the call whose result it is."""
        return self._call.place or now

    def on(self, connection: Connection) -> Made:
        """Return what the result is on a connection."""
        made = self._made.get(connection)
        if made is None:
            call = self._call
            made = Made(connection, f"'{call.label}'")
            if call.is_over or connection.is_closed:
                made.fail(lost())
                return made
            self._made[connection] = made
            if call.place is connection and call.inner is not None:
                self._follow(made, call.inner)
        return made

    def note(self, dependent: Dependent) -> None:
        """Note a call on the result."""
        self._dependents[dependent] = None

    def left(self, dependent: Dependent) -> None:
        """Note that a call on the result has ended."""
        self._dependents.pop(dependent, None)

    @property
    def is_used(self) -> bool:
        """Whether calls use the result, or the promise of the element has an awaiter."""
        if self._dependents or any(each.is_used for each in self.elements.values()):
            return True
        return self._step is not None and is_awaited(self.promise)

    # What its call tells.

    def begin(self, connection: Connection, inner: Pending) -> None:
        """Note that the call was made on a connection."""
        for chain in (self, *self.elements.values()):
            made = chain._made.get(connection)
            if made is not None:
                turn = partial(chain._follow, made, inner)
                connection.broker.calls.promises.in_turn(turn)

    def _follow(self, made: Made, inner: Pending) -> None:
        if not isinstance(inner, Promise):
            return
        promise = inner
        if self._step is not None:
            promise = inner[self._step]
            # The program has an element of its own.
            target = promise._target()
            if target is not None:
                target.note_used()
            elif promise.called:
                promise.seen_result()
        made.follow(promise)

    def forget(self, connection: Connection, failure: Failure) -> None:
        """Note that the call ended on a connection, and will be made on another one."""
        for chain in (self, *self.elements.values()):
            made = chain._made.get(connection)
            if made is not None:
                # It stays, for calls with it that the connection keeps.
                made.fail(failure)

    def settle(self, result: object) -> None:
        """Take the result or the Failure of the call, before its caller gets it."""
        for chain in (self, *self.elements.values()):
            chain._settle(result)

    def _settle(self, result: object) -> None:
        outcome = result
        if self._step is not None and not isinstance(result, Failure):
            try:
                outcome = result[self._step]  # type: ignore[index]
            except (IndexError, KeyError, TypeError):
                outcome = Failure()
        for connection, made in list(self._made.items()):
            if connection is self._call.place or isinstance(outcome, Failure):
                target = made.target
                made.settle(outcome)
                if made.has_come and isinstance(target, Promise) and made.target is target:
                    self._home = target
            else:
                made.fail(lost())
        if isinstance(outcome, Failure):
            for dependent in list(self._dependents):
                if dependent.place is None:
                    dependent.refuse(outcome)

    def tell(self, result: object) -> None:
        """Fire the promises of the elements: the caller has the result or the Failure."""
        if self._home is not None:
            # Calls on the promise still come here.
            self.promise._canceller = self
        for step, chain in self.elements.items():
            element = cast("Element", chain.promise)
            if not element.called:
                element.take(result, step)
                if chain.was_called and not element._items:
                    # The failure is told by the calls on it.
                    element.seen_result()
            if chain._home is not None:
                element._canceller = chain


def is_awaited(promise: Promise[Any]) -> bool:
    """Return whether a task awaits a promise, or code has added a callback."""
    return any(not isinstance(item, Bridge) or not item.done() for item in promise._items or ())


def linked_promise(value: object) -> Chain | None:
    """Return the target that a promise of a link is, while it has no result; else None."""
    if not isinstance(value, Promise) or value.called:
        return None
    target = value._target()
    return target if isinstance(target, Chain) else None
