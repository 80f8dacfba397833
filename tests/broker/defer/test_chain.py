"""Chain: callbacks, their order, and Deferreds that wait for each other."""

import weakref
from itertools import pairwise

import pytest

from broker.defer import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    fail,
    setDebugging,
    succeed,
)
from broker.failure import Failure


def boom(_):
    """Raise, as a callback."""
    raise ValueError("boom")


def test_callbacks_run_in_order():
    """Each callback gets what the one before returned, also if added late."""
    deferred = Deferred()
    deferred.addCallback(lambda n: n + 1).addCallback(lambda n, by, plus: n * by + plus, 3, plus=1)
    assert not deferred.called
    assert not hasattr(deferred, "result")
    deferred.callback(1)
    assert deferred.called
    assert deferred.result == 7
    deferred.addCallback(str)
    assert deferred.result == "7"


def test_add_callbacks():
    """addCallbacks passes each function its own arguments, and takes None for no function."""
    calls = []
    for start in (succeed("good"), fail(ValueError("bad"))):
        start.addCallbacks(
            lambda *args, **kw: calls.append((args, kw)),
            lambda failure, *args, **kw: calls.append((failure.getErrorMessage(), args, kw)),
            (1,),
            {"a": 2},
            (3,),
            {"b": 4},
        )
    assert calls == [(("good", 1), {"a": 2}), ("bad", (3,), {"b": 4})]
    assert succeed(1).addCallbacks(None, boom, None, None, None, None).result == 1


def test_errors_skip_callbacks():
    """A failure skips callbacks to the next errback, whose result is a result again."""
    seen = []
    deferred = succeed(1).addCallback(boom).addCallback(seen.append)
    deferred.addErrback(lambda failure, tail: failure.getErrorMessage() + tail, "!")
    assert seen == []
    assert deferred.result == "boom!"


def test_errbacks_skip_results():
    """A result skips errbacks."""
    assert succeed(1).addErrback(boom).result == 1


def test_add_both():
    """addBoth sees results and failures."""
    assert succeed(1).addBoth(str).result == "1"
    assert fail(ValueError()).addBoth(lambda failure: failure.type).result is ValueError


def test_a_failure_returned_is_a_failure():
    """A callback that returns a Failure fails."""
    deferred = succeed(1).addCallback(lambda _: Failure(KeyError("k")))
    assert deferred.addErrback(lambda failure: failure.type).result is KeyError


def test_failure_has_the_callback_traceback():
    """The traceback of a callback that raised begins in that callback."""
    failure = succeed(1).addCallback(boom).addErrback(lambda failure: [failure]).result[0]
    assert [frame[0] for frame in failure.frames] == ["boom"]


def test_errback_forms():
    """errback takes an exception, a Failure, or the exception being handled."""
    try:
        boom(None)
    except ValueError as exc:
        forms = [fail(exc), fail(Failure(exc)), fail()]
    for deferred in forms:
        assert deferred.addErrback(lambda failure: failure.getErrorMessage()).result == "boom"


def test_callback_with_failure():
    """callback with a Failure is errback."""
    deferred = Deferred()
    deferred.callback(Failure(ValueError()))
    assert deferred.addErrback(lambda failure: failure.type).result is ValueError


def test_second_firing():
    """A second result is refused."""
    deferred = succeed(1)
    with pytest.raises(AlreadyCalledError, match=r"fired already$"):
        deferred.callback(2)
    with pytest.raises(AlreadyCalledError, match=r"fired already$"):
        deferred.errback(ValueError())


def test_firing_with_a_deferred():
    """A Deferred is no result to fire with."""
    with pytest.raises(TypeError, match="not with a Deferred"):
        Deferred().callback(Deferred())


def test_waiting_for_an_inner_deferred():
    """A callback that returns a Deferred pauses the chain, and takes the result away from it."""
    inner, seen = Deferred(), []
    outer = succeed(1).addCallback(lambda _: inner).addCallback(seen.append)
    assert outer.paused == 1
    assert "waiting on Deferred" in repr(outer)
    inner.callback(5)
    assert seen == [5]
    assert outer.paused == 0
    assert inner.result is None


def test_inner_deferred_that_has_fired():
    """A result that is there already is taken at once, a failure with the duty to handle it."""
    inner = fail(ValueError("x"))
    outer = succeed(1).addCallback(lambda _: inner)
    assert inner.result is None
    assert outer.addErrback(lambda failure: failure.type).result is ValueError


def test_inner_goes_on_after_the_outer():
    """What is added to an inner Deferred after it was returned runs after the outer, with None."""
    inner, seen = Deferred(), []
    succeed(1).addCallback(lambda _: inner).addCallback(lambda r: seen.append(("outer", r)))
    inner.addCallback(lambda r: seen.append(("inner", r)))
    inner.callback(5)
    assert seen == [("outer", 5), ("inner", None)]


def test_paused_outer_does_not_stop_the_inner():
    """An outer Deferred that is paused by hand keeps the inner's own callbacks from nothing."""
    inner, seen = Deferred(), []
    outer = succeed(1).addCallback(lambda _: inner)
    outer.addCallback(lambda r: seen.append(("outer", r)))
    inner.addCallback(lambda r: seen.append(("inner", r)))
    outer.pause()
    inner.callback(5)
    assert seen == [("inner", None)]
    outer.unpause()
    assert seen[1:] == [("outer", 5)]


def test_returning_oneself():
    """A callback that returns its own Deferred fails, and waits for nothing."""
    deferred = Deferred()
    deferred.addCallback(lambda _: deferred)
    deferred.callback(1)
    assert deferred.addErrback(lambda failure: failure.type).result is RuntimeError


@pytest.mark.parametrize("is_forward", [True, False])
def test_long_chains_are_no_recursion(is_forward):
    """Ten thousand Deferreds that wait for each other end without recursion, in any order."""
    links = [Deferred() for _ in range(10_000)]
    for link, after in pairwise(links):
        link.addCallback(lambda _, after=after: after)
    order = links if is_forward else links[::-1]
    for link in order:
        link.callback("end")
    assert links[0].result == "end"


def test_many_immediate_inner_deferreds():
    """Ten thousand callbacks that return fired Deferreds run in a loop."""
    deferred = Deferred()
    for _ in range(10_000):
        deferred.addCallback(lambda n: succeed(n + 1))
    deferred.callback(0)
    assert deferred.result == 10_000


def test_adding_while_running():
    """A callback added by a running callback runs after those that are there, with their result."""
    deferred = Deferred()

    def add(result):
        deferred.addCallback(lambda result: [*result, "late"])
        return [*result, "first"]

    deferred.addCallback(add).addCallback(lambda result: [*result, "second"])
    deferred.callback([])
    assert deferred.result == ["first", "second", "late"]


def test_returning_a_deferred_that_is_running():
    """A callback that returns a Deferred in the middle of its own chain gets the end of that."""
    inner, outer = Deferred(), Deferred()
    outer.addCallback(lambda _: inner)
    inner.addCallback(lambda _: outer.callback("go") or "middle").addCallback(str.upper)
    inner.callback("start")
    assert outer.result == "MIDDLE"


def test_returning_a_deferred_that_is_paused():
    """A callback that returns a paused Deferred waits for it."""
    inner = succeed("inner")
    inner.pause()
    outer = succeed(1).addCallback(lambda _: inner)
    assert outer.paused
    inner.unpause()
    assert outer.result == "inner"


def test_the_canceller_is_released():
    """A Deferred that has its result keeps no canceller alive."""

    class Canceller:
        def __call__(self, deferred):
            pass

    canceller = Canceller()
    gone = weakref.ref(canceller)
    deferred = Deferred(canceller)
    del canceller
    deferred.callback(1)
    assert gone() is None


def test_pause():
    """Pauses are counted; the last unpause runs the chain."""
    deferred, seen = Deferred(), []
    deferred.addCallback(seen.append)
    deferred.pause()
    deferred.pause()
    deferred.callback(1)
    deferred.unpause()
    assert seen == []
    deferred.unpause()
    assert seen == [1]


def test_chain_deferred():
    """chainDeferred fires the other with the result or the failure."""
    for first, expected in ((succeed(1), 1), (fail(ValueError()), ValueError)):
        second = Deferred()
        first.chainDeferred(second)
        second.addErrback(lambda failure: failure.type)
        assert second.result == expected
        assert first.result is None


def test_cancel():
    """Cancelling fails with CancelledError, and one late result is dropped."""
    deferred = Deferred()
    deferred.cancel()
    assert deferred.addErrback(lambda failure: failure.type).result is CancelledError
    deferred.callback("late")
    with pytest.raises(AlreadyCalledError):
        deferred.callback("later")
    deferred.cancel()


def test_canceller():
    """The canceller gets the Deferred; it may fire it, and if not, CancelledError does."""
    idle, calls = [], []
    canceller_that_fires = Deferred(lambda deferred: deferred.callback("given up"))
    canceller_that_fires.cancel()
    assert canceller_that_fires.result == "given up"
    deferred = Deferred(calls.append)
    deferred.addErrback(lambda failure: idle.append(failure.type))
    deferred.cancel()
    assert calls == [deferred]
    assert idle == [CancelledError]
    with pytest.raises(AlreadyCalledError):
        deferred.callback(1)


def test_cancel_goes_to_the_inner():
    """Cancelling a Deferred that waits for another cancels that one."""
    inner = Deferred()
    outer = succeed(1).addCallback(lambda _: inner)
    outer.addErrback(lambda failure: failure.type)
    outer.cancel()
    assert inner.called
    assert outer.result is CancelledError


def test_debugging():
    """While debugging, AlreadyCalledError tells where the Deferred was made and fired."""
    older = Deferred()
    setDebugging(True)
    try:
        deferred = Deferred()
        deferred.callback(1)
        older.callback(1)
    finally:
        setDebugging(False)
    with pytest.raises(AlreadyCalledError) as caught:
        deferred.callback(2)
    text = str(caught.value)
    assert "deferred = Deferred()" in text
    assert "deferred.callback(1)" in text
    with pytest.raises(AlreadyCalledError, match=r"It was fired:[^$]*older.callback"):
        older.callback(2)


def test_repr():
    """The representation shows the state."""
    deferred = Deferred()
    assert repr(deferred).startswith("<Deferred at 0x")
    deferred.callback(12)
    assert repr(deferred).endswith("current result: 12>")
