"""DeferredList, gatherResults and race."""

import pytest

from broker.defer import (
    FAILURE,
    SUCCESS,
    CancelledError,
    Deferred,
    DeferredList,
    FailureGroup,
    FirstError,
    fail,
    gatherResults,
    race,
    succeed,
)


def failure_of(deferred):
    """Return the failure, and handle it."""
    return deferred.addErrback(lambda failure: [failure]).result[0]


def test_all_results():
    """The list has a pair for each Deferred, in order, once all have a result."""
    parts = [Deferred() for _ in range(3)]
    together = DeferredList(parts)
    parts[2].callback("c")
    parts[0].callback("a")
    assert not together.called
    assert together.resultList == [(SUCCESS, "a"), None, (SUCCESS, "c")]
    parts[1].errback(KeyError())
    assert together.result[::2] == [(True, "a"), (True, "c")]
    assert together.result[1][0] is FAILURE
    assert failure_of(parts[1]) is together.result[1][1]
    assert parts[0].result == "a"


def test_empty_list():
    """An empty list has its result at once, but none to fire on."""
    assert DeferredList([]).result == []
    assert not DeferredList([], fireOnOneCallback=True).called


def test_fire_on_one_callback():
    """The first result fires, with its index."""
    parts = [Deferred() for _ in range(2)]
    first = DeferredList(parts, fireOnOneCallback=True)
    parts[1].callback("b")
    parts[0].callback("a")
    assert first.result == ("b", 1)


def test_fire_on_one_errback():
    """The first failure fails the list with a FirstError, which tells which and why."""
    parts = [Deferred(), fail(KeyError("k"))]
    error = failure_of(DeferredList(parts, fireOnOneErrback=True, consumeErrors=True)).value
    assert isinstance(error, FirstError)
    assert error.index == 1
    assert error.subFailure.check(KeyError)
    assert repr(error) == "FirstError[#1, KeyError('k')]"
    assert str(error).startswith("FirstError[#1, [Failure instance:")


def test_consume_errors():
    """With consumeErrors the Deferreds that failed go on with None."""
    part = fail(KeyError())
    DeferredList([part], consumeErrors=True)
    assert part.result is None


def test_gather_results():
    """gatherResults has the list of results, or the first failure."""
    assert gatherResults([succeed(1), succeed(2)]).result == [1, 2]
    failed = gatherResults([succeed(1), fail(KeyError())], consumeErrors=True)
    assert failure_of(failed).value.subFailure.check(KeyError)


def test_cancel(caplog):
    """Cancelling the list cancels all, also after a canceller that raises, and only once."""
    cancelled = []

    def broken(_):
        raise ValueError

    parts = [Deferred(broken), Deferred(cancelled.append)]
    together = DeferredList(parts, consumeErrors=True)
    together.cancel()
    assert cancelled == [parts[1]]
    assert [record.getMessage() for record in caplog.records] == ["a canceller raised"]
    parts[0].callback(None)
    assert together.called
    together.cancel()


def test_race():
    """The first to succeed wins, and the others are cancelled."""
    parts = [Deferred() for _ in range(3)]
    first = race(parts)
    parts[0].errback(KeyError())
    parts[1].callback("b")
    assert first.result == (1, "b")
    assert parts[2].called


def test_race_with_a_canceller_that_answers():
    """A loser whose canceller gives a result changes nothing."""
    loser = Deferred(lambda deferred: deferred.callback("loser"))
    winner = Deferred()
    first = race([loser, winner])
    winner.callback("winner")
    assert first.result == (1, "winner")


def test_race_that_all_lose():
    """If all fail, the failures come in the order of the Deferreds."""
    parts = [Deferred() for _ in range(2)]
    first = race(parts)
    parts[1].errback(KeyError("b"))
    parts[0].errback(ValueError("a"))
    error = failure_of(first).value
    assert isinstance(error, FailureGroup)
    assert [failure.type for failure in error.failures] == [ValueError, KeyError]
    assert str(error) == "ValueError('a'); KeyError('b')"


@pytest.mark.parametrize("answer", [None, "late"])
def test_race_cancelled(answer):
    """Cancelling a race cancels all."""

    def canceller(deferred):
        if answer is not None:
            deferred.callback(answer)

    parts = [Deferred(canceller) for _ in range(2)]
    first = race(parts)
    first.cancel()
    assert all(part.called for part in parts)
    if answer is None:
        failures = failure_of(first).value.failures
        assert [each.type for each in failures] == [CancelledError, CancelledError]
    else:
        assert first.result == (0, "late")
