"""broker.login.results: a result is used at once, an awaitable when it has one."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.internet.defer
import twisted.python.failure

from broker import defer
from broker.failure import Failure
from broker.login.results import TO_COME, result_of, then

ERROR = ValueError("no")


async def coroutine() -> str:
    """Return a result that must be awaited."""
    return "x"


class Awaitable:
    """An awaitable of no known class."""

    def __await__(self) -> Any:
        """Return a result."""
        return iter(())


@pytest.mark.parametrize("thing", [None, 5, "x", (1, 2), object(), ERROR, ValueError])
def test_results(thing: object) -> None:
    """Any plain object is a result, an exception too."""
    assert result_of(thing) is thing
    assert then(thing, lambda value, more: (value, more), "more") == (thing, "more")


@pytest.mark.parametrize("value", [None, "x", (1, 2), ValueError])
def test_deferreds_that_have_their_result(value: object) -> None:
    """The result of a Deferred that waits for nothing is used at once."""
    outer: defer.Deferred[Any] = defer.succeed(None)
    outer.addCallback(lambda _: defer.succeed(value))
    for deferred in (defer.succeed(value), outer):
        assert result_of(deferred) is value
        assert then(deferred, lambda given, more: (given, more), "more") == (value, "more")


def test_deferreds_that_wait() -> None:
    """A Deferred that has not fired, waits for another, is paused or runs has no result yet."""
    paused: defer.Deferred[Any] = defer.succeed("x")
    paused.pause()
    waiting: defer.Deferred[Any] = defer.succeed(None)
    waiting.addCallback(lambda _: defer.Deferred())
    for deferred in (defer.Deferred(), paused, waiting):
        assert result_of(deferred) is TO_COME
    running: defer.Deferred[Any] = defer.succeed("x")
    seen: list[Any] = []
    running.addCallback(lambda value: seen.append(result_of(running)))
    assert seen == [TO_COME]


def test_deferreds_that_have_failed() -> None:
    """A failed Deferred has no result, and its failure is passed on."""
    failed: defer.Deferred[Any] = defer.fail(ERROR)
    assert result_of(failed) is TO_COME
    seen: list[Any] = []
    then(failed, seen.append).addErrback(lambda failure: seen.append(failure.value))
    assert seen == [ERROR]


@pytest.mark.parametrize(
    "make",
    [
        lambda: twisted.internet.defer.succeed("x"),
        coroutine,
    ],
)
def test_awaitables(make: Any) -> None:
    """The function is called with what an awaitable yields."""
    thing = make()
    assert result_of(thing) is TO_COME
    seen: list[Any] = []
    then(thing, lambda value, more: (value, more), "more").addCallback(seen.append)
    assert seen == [("x", "more")]


def test_other_awaitables() -> None:
    """An object with ``__await__`` is no result."""
    assert result_of(Awaitable()) is TO_COME


@pytest.mark.parametrize(
    "make", [lambda: Failure(ERROR), lambda: twisted.python.failure.Failure(ERROR)]
)
def test_failures(make: Any) -> None:
    """A Failure fails, and the function is not called."""
    thing, seen = make(), []
    assert result_of(thing) is TO_COME
    then(thing, seen.append).addErrback(lambda failure: seen.append(failure.value))
    assert seen == [ERROR]


def test_an_error_of_the_function() -> None:
    """What the function raises is raised at once for a result, and fails a Deferred."""

    def fail(value: object) -> None:
        raise ERROR

    for thing in (5, defer.succeed(5)):
        with pytest.raises(ValueError, match="no"):
            then(thing, fail)
    seen: list[Any] = []
    then(coroutine(), fail).addErrback(lambda failure: seen.append(failure.value))
    assert seen == [ERROR]
