"""Deferreds and Failures of Twisted's, in both directions."""

import sys

import pytest
from twisted.internet import defer as twisted_defer
from twisted.internet import error
from twisted.python import failure as twisted_failure

from broker.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    ensureDeferred,
    fail,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    succeed,
)
from broker.defer.foreign import is_twisted_deferred, is_twisted_failure
from broker.errors import ConnectionLost
from broker.failure import Failure


def outcome(deferred):
    """Return the result, or the type of the failure."""
    seen = []
    deferred.addCallbacks(seen.append, lambda failure: seen.append(failure.type))
    return seen[0]


def test_recognised():
    """Deferreds of Twisted's are told from ours; Failures, which ours are, from other things."""
    for deferred in (twisted_defer.Deferred(), twisted_defer.DeferredList([])):
        assert is_twisted_deferred(deferred)
        assert not is_twisted_failure(deferred)
    for failure in (twisted_failure.Failure(ValueError()), Failure(ValueError())):
        assert is_twisted_failure(failure)
        assert not is_twisted_deferred(failure)
    for other in (Deferred(), ValueError(), 1):
        assert not is_twisted_deferred(other)
        assert not is_twisted_failure(other)


def test_not_imported(monkeypatch):
    """Where Twisted has not been imported, nothing is of Twisted's."""
    deferred, failure = twisted_defer.Deferred(), twisted_failure.Failure(ValueError())
    monkeypatch.delitem(sys.modules, "twisted.internet.defer")
    monkeypatch.delitem(sys.modules, "twisted.python.failure")
    assert not is_twisted_deferred(deferred)
    assert not is_twisted_failure(failure)


def test_callback_returns_a_twisted_deferred():
    """A chain waits for a Deferred of Twisted's, and cancels it."""
    theirs = [twisted_defer.Deferred() for _ in range(3)]
    ours = [succeed(1).addCallback(lambda _, each=each: each) for each in theirs]
    theirs[0].callback("result")
    theirs[1].errback(KeyError())
    ours[2].cancel()
    assert outcome(ours[0]) == "result"
    assert outcome(ours[1]) is KeyError
    assert outcome(ours[2]) is CancelledError
    assert theirs[2].called


def test_cancelled_by_twisted():
    """The CancelledError of Twisted's is trapped as ours, and caught as ours."""
    theirs = [twisted_defer.Deferred() for _ in range(2)]
    ours = maybeDeferred(lambda: theirs[0])
    ours.cancel()
    assert ours.addErrback(lambda failure: failure.check(CancelledError)).result is CancelledError

    @inlineCallbacks
    def wait():
        try:
            yield theirs[1]
        except CancelledError as error:
            return error.args

    waiting = wait()
    theirs[1].errback(twisted_defer.CancelledError("enough"))
    assert waiting.result == ("enough",)


def test_not_fired_with_a_deferred():
    """A Deferred of Twisted's is no result to fire ours with."""
    with pytest.raises(TypeError, match="not with a Deferred"):
        Deferred().callback(twisted_defer.Deferred())


def test_ensured():
    """ensureDeferred takes a Deferred of Twisted's, and gives one of ours."""
    theirs = twisted_defer.Deferred()
    ours = ensureDeferred(theirs)
    assert isinstance(ours, Deferred)
    theirs.callback(1)
    assert outcome(ours) == 1


@pytest.mark.parametrize(
    "start",
    [
        lambda failure: succeed(1).addCallback(lambda _: failure),
        fail,
        succeed,
        lambda failure: maybeDeferred(lambda: failure),
    ],
)
def test_twisted_failures(start):
    """A Failure of Twisted's, wherever it comes in, is a failure and becomes one of ours."""
    deferred = start(twisted_failure.Failure(KeyError()))
    assert deferred.addErrback(type).result is Failure


def test_as_twisted():
    """asTwisted fires with the result, and leaves it here."""
    ours = Deferred()
    theirs = ours.asTwisted()
    assert isinstance(theirs, twisted_defer.Deferred)
    ours.callback(1)
    assert outcome(theirs) == 1
    assert ours.result == 1


def test_as_twisted_failure(caplog):
    """asTwisted fails with a Failure of Twisted's, trapped by Twisted's names, logged nowhere."""
    ours = fail(ConnectionLost())
    seen = []
    theirs = ours.asTwisted().addErrback(seen.append)
    assert isinstance(seen[0], twisted_failure.Failure)
    assert type(theirs) is twisted_defer.Deferred
    assert seen[0].check("twisted.internet.error.ConnectionLost")
    assert seen[0].value is ours.result.value
    del ours
    assert caplog.records == []


def test_cancel_of_as_twisted():
    """Cancelling the Deferred of Twisted's cancels ours; it ends with Twisted's error."""
    calls = []
    ours = Deferred(calls.append)
    theirs = ours.asTwisted()
    theirs.cancel()
    assert calls == [ours]
    assert issubclass(outcome(theirs), twisted_defer.CancelledError)


def test_as_twisted_is_trapped_by_classes_of_both():
    """Twisted's Failure is trapped by the published class, by ours, and by either name."""
    theirs = fail(ConnectionLost("gone")).asTwisted()
    seen = []
    kinds = (
        error.ConnectionLost,
        ConnectionLost,
        "twisted.internet.error.ConnectionLost",
        "broker.errors.ConnectionLost",
    )
    theirs.addErrback(lambda failure: seen.extend(failure.trap(kind) for kind in kinds))
    assert tuple(seen) == kinds
    cancelled = Deferred().asTwisted()
    cancelled.cancel()
    kinds = (CancelledError, twisted_defer.CancelledError)
    seen.clear()
    cancelled.addErrback(lambda failure: seen.extend(failure.trap(kind) for kind in kinds))
    assert tuple(seen) == kinds


def test_as_twisted_fired_by_its_owner():
    """A Deferred of Twisted's that has been fired over there is left alone."""
    ours = Deferred()
    theirs = ours.asTwisted()
    theirs.callback("over there")
    ours.callback("here")
    assert outcome(theirs) == "over there"


def test_adopted_and_cancelled_here():
    """A result of Twisted's that comes after our cancellation is dropped."""
    theirs = twisted_defer.Deferred(lambda _: None)
    ours = maybeDeferred(lambda: theirs)
    ours.callback("fired here")
    theirs.callback("late")
    assert ours.result == "fired here"


def by_generator(theirs):
    """Yield it in a generator of ours."""

    @inlineCallbacks
    def run():
        return (yield theirs)

    return run()


WAYS = {
    "DeferredList": lambda theirs: DeferredList([theirs], consumeErrors=True).addCallback(
        lambda pairs: pairs[0][1]
    ),
    "gatherResults": lambda theirs: gatherResults([theirs], consumeErrors=True).addCallbacks(
        lambda results: results[0], lambda failure: failure.value.subFailure
    ),
    "race": lambda theirs: race([theirs]).addCallbacks(
        lambda pair: pair[1], lambda failure: failure.value.failures[0]
    ),
    "lock": lambda theirs: DeferredLock().run(lambda: theirs),
    "generator": by_generator,
    "maybeDeferred": lambda theirs: maybeDeferred(lambda: theirs),
    "callback": lambda theirs: succeed(None).addCallback(lambda _: theirs),
    "errback": lambda theirs: fail(KeyError()).addErrback(lambda _: theirs),
}


@pytest.mark.parametrize("is_fired", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_twisted_deferreds_in_our_functions(way, is_fired):
    """A Deferred of Twisted's does in each of our functions what one of ours does."""
    theirs, failing = twisted_defer.Deferred(), twisted_defer.Deferred()

    def fire():
        theirs.callback("result")
        failing.errback(KeyError("fault"))

    if is_fired:
        fire()
    ours = [WAYS[way](each) for each in (theirs, failing)]
    if not is_fired:
        assert not any(each.called and not each.paused for each in ours)
        fire()
    assert [outcome(each) for each in ours] == ["result", KeyError]
