"""broker.login.results: a result is used at once, an awaitable when it has one."""

from __future__ import annotations

from typing import Any

import pytest
import twisted.internet.defer
import twisted.python.failure

from broker import defer
from broker.failure import Failure
from broker.login.results import is_result, then

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
    assert is_result(thing)
    assert then(thing, lambda value, more: (value, more), "more") == (thing, "more")


@pytest.mark.parametrize(
    "make",
    [
        lambda: defer.succeed("x"),
        lambda: twisted.internet.defer.succeed("x"),
        coroutine,
        lambda: defer.drive(coroutine()),
    ],
)
def test_awaitables(make: Any) -> None:
    """The function is called with what an awaitable yields."""
    thing = make()
    assert not is_result(thing)
    seen: list[Any] = []
    then(thing, lambda value, more: (value, more), "more").addCallback(seen.append)
    assert seen == [("x", "more")]


def test_other_awaitables() -> None:
    """An object with ``__await__`` is no result."""
    assert not is_result(Awaitable())


@pytest.mark.parametrize(
    "make", [lambda: Failure(ERROR), lambda: twisted.python.failure.Failure(ERROR)]
)
def test_failures(make: Any) -> None:
    """A Failure fails, and the function is not called."""
    thing, seen = make(), []
    assert not is_result(thing)
    then(thing, seen.append).addErrback(lambda failure: seen.append(failure.value))
    assert seen == [ERROR]


def test_an_error_of_the_function() -> None:
    """What the function raises is raised at once for a result, and fails a Deferred."""

    def fail(value: object) -> None:
        raise ERROR

    with pytest.raises(ValueError, match="no"):
        then(5, fail)
    seen: list[Any] = []
    then(defer.succeed(5), fail).addErrback(lambda failure: seen.append(failure.value))
    assert seen == [ERROR]
