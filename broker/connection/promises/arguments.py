"""Promises among the arguments of a call that is made at this end, since its target came home."""

from __future__ import annotations

from typing import Any, TypeVar

from broker.core.calls.promised import MustWait
from broker.errors import BrokenPromise
from broker.failure import Failure
from broker.flavors.own_calls import is_own
from broker.flavors.promise import Promise, not_passed
from broker.flavors.reference import RemoteReference

__all__ = ["wait_for", "with_results"]

T = TypeVar("T")


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
    reference = getattr(result, "_broker_reference", result)
    if isinstance(reference, RemoteReference):
        return result
    raise BrokenPromise(not_passed(promise.method, is_own(result)))


_CONTAINERS = (list, tuple, dict)
