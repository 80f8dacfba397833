"""Unhandled failures are logged when their Deferred is collected."""

import asyncio
import gc
import logging
import pickle

import pytest

from broker.defer import Deferred, fail, setDebugging, succeed
from broker.defer.unhandled import Together
from broker.failure import Failure


@pytest.fixture
def logged(caplog):
    """Collect garbage, and return what has been logged as unhandled."""

    def collect():
        gc.collect()
        return [
            record.getMessage()
            for record in caplog.records
            if (record.name, record.levelno) == ("broker.defer", logging.ERROR)
        ]

    return collect


def test_unhandled(logged):
    """A failure at the end of a chain is logged once, with its traceback."""
    fail(ValueError("forgotten"))
    succeed("x").addCallback(int)
    texts = logged()
    assert len(texts) == 2
    assert all(text.startswith("Unhandled error in Deferred\nTraceback") for text in texts)
    assert "builtins.ValueError: forgotten" in texts[0]


def failed_together(count, together):
    """Return Deferreds that failed for one cause."""
    deferreds = []
    for number in range(count):
        failure = Failure(ValueError(f"lost {number}"))
        failure.together = together
        deferreds.append(fail(failure))
    return deferreds


def test_one_cause(logged):
    """Failures of one cause make one record when told, and one more for those collected later."""
    together = Together("calls: lost")
    deferreds = failed_together(5, together)
    del deferreds[:2]
    assert logged() == []
    together.tell()
    assert logged() == ["2 calls: lost"]
    del deferreds[:2]
    together.tell()
    del together
    deferreds[0].addErrback(lambda _: None)
    assert logged() == ["2 calls: lost", "2 calls: lost"]
    del deferreds
    assert len(logged()) == 2


def test_one_cause_of_one_failure(logged):
    """A failure that is the only one of its cause is logged with its traceback."""
    failed_together(1, Together("calls: lost"))
    (text,) = logged()
    assert text.startswith("Unhandled error in Deferred\n")
    assert "lost 0" in text


def test_one_cause_in_a_pickle():
    """A failure that is pickled leaves behind what it shares with others."""
    failure = Failure(ValueError("lost"))
    failure.together = Together("calls: lost")
    assert pickle.loads(pickle.dumps(failure)).together is None


def test_handled_by_an_errback(logged):
    """A failure that an errback took is not logged, also if it did so late."""
    deferred = fail(ValueError())
    deferred.addErrback(lambda _: None)
    del deferred
    assert logged() == []


def test_passed_on(logged):
    """A failure passed on to another Deferred is logged for that one only."""
    inner = fail(ValueError("passed"))
    outer = succeed(1).addCallback(lambda _, inner=inner: inner)
    del inner
    assert logged() == []
    del outer
    assert len(logged()) == 1


async def test_handled_by_an_awaiter(logged):
    """A failure that an awaiter got is not logged, also if callbacks are added afterwards."""

    async def main(deferred):
        with pytest.raises(ValueError):
            await deferred

    early, late = Deferred(), fail(ValueError())
    late.addCallback(str)

    async def both(early, late):
        task = asyncio.create_task(main(early))
        await asyncio.sleep(0)
        early.errback(ValueError())
        await task
        await main(late)

    await both(early, late)
    early.addCallback(str)
    late.addCallback(str)
    del early, late
    assert logged() == []


async def test_new_failure_after_an_awaiter(logged):
    """A new failure, raised after an awaiter got the first, is logged."""

    def worse(_):
        raise KeyError("worse")

    deferred = fail(ValueError())
    with pytest.raises(ValueError):
        await deferred
    deferred.addErrback(worse)
    del deferred
    assert ["worse" in text for text in logged()] == [True]


def test_debugging(logged):
    """While debugging, the log tells where the Deferred was made and fired."""
    setDebugging(True)
    try:
        fail(ValueError())
    finally:
        setDebugging(False)
    assert "The Deferred was created:" in logged()[0]
    assert "It was fired:" in logged()[0]
