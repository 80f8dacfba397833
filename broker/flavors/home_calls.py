"""Calls on a promise that has become an object of this end, with promises among their arguments."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from broker.core.calls.promised import MustWait
from broker.errors import BrokenPromise
from broker.failure import Failure
from broker.flavors.own_calls import call_own, is_own
from broker.flavors.promise import (
    Element,
    Kind,
    Pending,
    Promise,
    PromisedTarget,
    not_passed,
    when_settled,
)
from broker.flavors.reference import RemoteReference, unwrapped

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["OwnTarget", "wait_for", "with_results"]

T = TypeVar("T")


class OwnTarget(PromisedTarget):
    """An object of this end that a promise has become, before a call on the promise was made.

    Args:
        value: the object.
        label: the method that returned it.
    """

    __slots__ = ("_is_blocked", "_label", "_queue", "_value")

    def __init__(self, value: object, label: str):
        self._value = value
        self._label = label
        # The calls, in their order; the first waits for a promise among its arguments.
        self._queue: deque[tuple[Pending, str, tuple[object, ...], dict[str, object]]] = deque()
        self._is_blocked = False

    def call(
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending | None:
        """Call a method, when the calls before it were made; see ``Promise.call_as``."""
        deferred: Pending = kind()
        deferred.label = name
        own_kw = {key: value for key, value in kw.items() if key != "pbanswer"}
        self._queue.append((deferred, name, args, own_kw))
        self._go_on()
        return deferred if kw.get("pbanswer", True) else None

    def _go_on(self, result: object = None) -> None:
        while self._queue and not self._is_blocked:
            deferred, name, args, kw = self._queue[0]
            if not deferred.called:
                try:
                    wait_for((args, kw))
                except MustWait as wait:
                    self._is_blocked = True
                    deferred._canceller = when_settled(wait.promise, self._unblock)  # type: ignore[arg-type]
                    return
            self._queue.popleft()
            if not deferred.called:
                make_own(deferred, self._value, name, args, kw)

    def _unblock(self, result: object) -> None:
        self._is_blocked = False
        self._go_on()

    def is_result(self, value: object) -> bool:
        """Return whether it is this object."""
        return value is self._value

    def element(self, step: int | str) -> Element:
        """Refuse: an object has no elements."""
        raise TypeError(f"'{self._label}' returned no list, tuple or dict")

    def jelly(self, jellier: Jellier) -> NoReturn:
        """Refuse: the peer may not have the reference any more."""
        raise BrokenPromise(not_passed(self._label, True))


def make_own(
    deferred: Pending, value: object, name: str, args: tuple[object, ...], kw: dict[str, object]
) -> None:
    """Call a method of an object of this end; the Deferred gets the result."""
    try:
        args, kw = with_results(args), with_results(kw)
    except Exception:  # noqa: BLE001 - BrokenPromise, or the failure of the promise
        deferred.errback()
        return
    own = call_own(value, type(deferred), name, args, kw)
    deferred._canceller = lambda _: own.cancel()
    own.addCallbacks(deferred.callback, deferred.errback)


def wait_for(values: object) -> None:
    """Raise MustWait if there is a promise without a result in nested lists, tuples and dicts."""
    stack, seen = [values], set[int]()
    while stack:
        value: Any = stack.pop()
        if isinstance(value, Promise):
            if not value._has_result():
                raise MustWait(value)
        elif type(value) in _CONTAINERS and id(value) not in seen:
            seen.add(id(value))
            stack += value.values() if type(value) is dict else value


def with_results(value: T) -> T:
    """Return a value with the references that promises in it have become in their place.

    Raises:
        BrokenPromise: a promise is not a reference. The exception of its failure is raised.
    """
    return _replaced(value, set())  # type: ignore[no-any-return]


def _replaced(value: Any, above: set[int]) -> Any:
    if isinstance(value, Promise):
        return _reference_of(value)
    if type(value) not in _CONTAINERS or id(value) in above:
        return value
    above.add(id(value))
    parts = value.values() if type(value) is dict else value
    replaced = [_replaced(part, above) for part in parts]
    above.discard(id(value))
    if all(map(_is_same, parts, replaced)):
        return value
    if type(value) is dict:
        return dict(zip(value, replaced, strict=True))
    return type(value)(replaced)


def _is_same(one: object, other: object) -> bool:
    return one is other


def _reference_of(promise: Promise[Any]) -> object:
    result = promise.seen_result()
    if isinstance(result, Failure):
        result.raiseException()
    reference = unwrapped(result)
    if isinstance(reference, RemoteReference):
        return result
    raise BrokenPromise(not_passed(promise.method, is_own(result)))


_CONTAINERS = (list, tuple, dict)
