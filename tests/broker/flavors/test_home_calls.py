"""Calls of a promise that is an own object, with promises among their arguments."""

from __future__ import annotations

from typing import Any

import pytest

from broker import pb
from broker.core.calls.promised import MustWait
from broker.errors import BrokenPromise, Error
from broker.flavors.home_calls import OwnTarget, wait_for, with_results
from broker.flavors.promise import Promise
from broker.flavors.reference import RemoteReference


class Mine(pb.Referenceable):
    """Notes what it takes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def remote_take(self, value: Any) -> None:
        """Note it."""
        self.taken.append(value)


def fired(result: Any) -> Promise[Any]:
    """Return a promise with a result."""
    promise: Promise[Any] = Promise()
    promise.label = "get"
    promise.callback(result)
    return promise


def reference() -> RemoteReference:
    """Return one of no connection."""
    return RemoteReference.__new__(RemoteReference)


def test_what_must_wait() -> None:
    """A promise without a result, at any depth; cycles are no problem."""
    pending: Promise[Any] = Promise()
    for values in (pending, [1, (pending,)], {"a": {"b": [pending]}}):
        with pytest.raises(MustWait) as caught:
            wait_for(values)
        assert caught.value.promise is pending
    cycle: list[Any] = [1]
    cycle.append(cycle)
    wait_for((cycle, {"a": fired(1)}, {1, 2}))
    assert with_results(cycle) is cycle


def test_results_take_the_place_of_promises() -> None:
    """Other values are the same objects."""
    got = reference()
    kept, changed = [1, 2], [fired(got), (3, fired(got))]
    args = with_results((kept, changed, {"x": fired(got)}))
    assert args[0] is kept
    assert args[1] == [got, (3, got)]
    assert args[2] == {"x": got}
    assert isinstance(changed[0], Promise)
    for wrong, text in ((5, "not a reference"), (Mine(), "an object of the caller")):
        with pytest.raises(BrokenPromise, match=f"'get' returned .*{text}"):
            with_results([fired(wrong)])
    failed: Promise[Any] = Promise()
    failed.errback(Error("no"))
    with pytest.raises(Error, match="no"):
        with_results([failed])


def test_calls_wait_in_their_order() -> None:
    """A call behind one that waits for its arguments waits too."""
    mine, got = Mine(), reference()
    pending: Promise[Any] = Promise()
    target = OwnTarget(mine, "get")
    assert target.is_result(mine)
    target.call(Promise, "take", (1,), {})
    target.call(Promise, "take", ([pending],), {})
    assert target.call(Promise, "take", (2,), {"pbanswer": False}) is None
    assert mine.taken == [1]
    pending.callback(got)
    assert mine.taken == [1, [got], 2]
    with pytest.raises(TypeError, match="returned no list"):
        target.element(1)
