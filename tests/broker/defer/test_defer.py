"""The published module: its names and its functions."""

import asyncio
import logging
import subprocess
import sys

import pytest
from twisted.internet import defer as twisted_defer

import broker.defer
from broker.defer import (
    Deferred,
    NotACoroutineError,
    drive,
    ensureDeferred,
    execute,
    fail,
    getDebugging,
    logError,
    maybeDeferred,
    setDebugging,
    succeed,
)
from broker.failure import Failure, NoCurrentExceptionError


def failure_type(deferred):
    """Return the type of the failure, and handle it."""
    return deferred.addErrback(lambda failure: failure.type).result


def test_published_names():
    """Every published name is here, but those of files on disk."""
    files = {"DeferredFilesystemLock", "AlreadyTryingToLockError"}
    assert set(twisted_defer.__all__) - files <= set(broker.defer.__all__)
    assert all(hasattr(broker.defer, name) for name in broker.defer.__all__)


@pytest.mark.parametrize("name", [n for n in broker.defer.__all__ if n.endswith("Error")])
def test_errors_live_in_the_published_module(name):
    """The errors tell broker.defer as their module, so that their wire names are the published."""
    assert getattr(broker.defer, name).__module__ == "broker.defer"


def test_imports_nothing():
    """Importing the two modules imports no event loop, no socket and no Twisted."""
    code = (
        "import sys, broker.defer, broker.failure\n"
        "print([name for name in ('asyncio', 'socket', 'ssl', 'selectors', 'twisted')"
        " if name in sys.modules])\n"
        "async def wait(): return await broker.defer.succeed('end')\n"
        "print(broker.defer.drive(wait()).result)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "end"]


def test_succeed_and_fail():
    """succeed has a result; fail has a failure, by default of the exception being handled."""
    assert succeed(1).result == 1
    assert failure_type(fail(ValueError())) is ValueError
    try:
        raise KeyError
    except KeyError:
        assert failure_type(fail()) is KeyError
    with pytest.raises(NoCurrentExceptionError):
        fail()


def test_execute():
    """execute keeps what the function returns or raises, and runs no coroutine."""
    assert execute(int, "12", base=16).result == 18
    assert failure_type(execute(int, "x")) is ValueError


async def give(value):
    """Return `value`, as a coroutine."""
    return value


class Awaitable:
    """Can be awaited, and is nothing else."""

    def __await__(self):
        return give("awaited").__await__()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: 1, 1),
        (lambda: None, None),
        (lambda: succeed(2), 2),
        (lambda: twisted_defer.succeed(3), 3),
        (lambda: give(4), 4),
        (Awaitable, "awaited"),
        (lambda: Failure(KeyError()), KeyError),
        (lambda: int("x"), ValueError),
        (lambda: fail(KeyError()), KeyError),
    ],
)
def test_maybe_deferred(function, expected):
    """maybeDeferred understands every way of giving a result."""
    result = maybeDeferred(function)
    assert result.addErrback(lambda failure: failure.type).result == expected


def test_maybe_deferred_arguments():
    """maybeDeferred passes arguments on, and returns a Deferred of ours as it is."""
    same = Deferred()
    assert maybeDeferred(lambda deferred, *, by: (deferred, by)[0], same, by=1) is same
    assert maybeDeferred(give, 5).result == 5


def test_maybe_deferred_traceback():
    """The traceback of a function that raised begins in that function."""

    def broken():
        raise ValueError

    failure = maybeDeferred(broken).addErrback(lambda failure: [failure]).result[0]
    assert [frame[0] for frame in failure.frames] == ["broken"]


async def test_maybe_deferred_of_a_future():
    """A function may return an asyncio future."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await maybeDeferred(lambda: future) == 1


def test_ensure_deferred():
    """ensureDeferred takes a Deferred, a coroutine and a generator, and nothing else."""
    same = Deferred()
    assert ensureDeferred(same) is same
    assert ensureDeferred(give(1)).result == 1
    assert ensureDeferred(yielded for yielded in [succeed(2)]).result is None
    with pytest.raises(NotACoroutineError, match="int is not a coroutine"):
        ensureDeferred(1)
    with pytest.raises(NotACoroutineError):
        drive(give)


def test_from_coroutine_keeps_the_class():
    """fromCoroutine and fromFuture of a subclass make one of that subclass."""

    class Special(Deferred):
        pass

    assert type(Special.fromCoroutine(give(1))) is Special


def test_log_error(caplog):
    """logError logs a failure and passes it on."""
    assert failure_type(fail(ValueError("odd")).addErrback(logError)) is ValueError
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "builtins.ValueError: odd" in caplog.text


def test_debugging():
    """setDebugging is what getDebugging tells."""
    assert not getDebugging()
    setDebugging(True)
    try:
        assert getDebugging()
    finally:
        setDebugging(False)
