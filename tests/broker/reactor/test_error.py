"""The published error names."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import twisted.internet.error

import broker
import broker.errors
from broker.failure import Failure
from broker.reactor import error

CLASSES = [name for name in error.__all__ if isinstance(getattr(error, name), type)]


def test_names() -> None:
    """Every name here is one that Twisted publishes; some may be absent."""
    assert set(error.__all__) <= set(dir(twisted.internet.error))


def test_same_classes() -> None:
    """A transport error has one class under both names, so that either catches it."""
    for name in error.__all__:
        if hasattr(broker.errors, name):
            assert getattr(error, name) is getattr(broker.errors, name)
    assert error.ConnectionLost is broker.errors.ConnectionLost


def test_bases() -> None:
    """An error of the reactor is the builtin that Twisted's is."""
    builtins = (ValueError, RuntimeError)
    for name in CLASSES:
        ours, published = getattr(error, name), getattr(twisted.internet.error, name)
        for builtin in builtins:
            assert issubclass(ours, builtin) == issubclass(published, builtin), name


def test_texts() -> None:
    """An error raised without a text still has one."""
    for cls in (
        error.AlreadyCalled,
        error.AlreadyCancelled,
        error.UserError,
        error.CertificateError,
    ):
        assert str(cls()).endswith(".")
    assert str(error.AlreadyCalled("too", "late")) == "too late"
    assert str(error.AlreadyCancelled("before")) == "before"
    assert str(error.UserError(None, "no patience")) == "no patience"


def test_tree() -> None:
    """The class hierarchy of the transport errors is as published."""
    for name in CLASSES:
        ours, published = getattr(error, name), getattr(twisted.internet.error, name)
        for other in CLASSES:
            expected = issubclass(published, getattr(twisted.internet.error, other))
            assert issubclass(ours, getattr(error, other)) == expected, (name, other)


def test_processes() -> None:
    """The end of a process has its exit code or its signal, as attributes and as text."""
    done = error.ProcessDone(0)
    assert (done.exitCode, done.signal, done.status) == (0, None, 0)
    assert str(error.ProcessTerminated(3, None, 768)).endswith("exit code 3")
    killed = error.ProcessTerminated(None, 15, 15)
    assert (killed.exitCode, killed.signal, killed.status) == (None, 15, 15)
    assert str(killed).endswith("SIGTERM")
    assert str(error.ProcessTerminated(signal=99)).endswith("signal 99")


CONNECT_ERRORS = ["ConnectBindError", "NoRouteError", "SSLError", "TCPTimedOutError"]
CONNECT_ERRORS += ["UnknownHostError"]


@pytest.mark.parametrize("name", [*CONNECT_ERRORS, "NoProtocol"])
def test_trapped_under_both_names(name: str) -> None:
    """``trap`` finds an error by our class and by Twisted's."""
    ours, published = getattr(error, name), getattr(twisted.internet.error, name)
    failure = Failure(ours())
    for asked in (ours, published, f"twisted.internet.error.{name}"):
        assert failure.trap(KeyError, asked) is asked
    assert Failure(published()).check(ours) is ours


@pytest.mark.parametrize("name", CONNECT_ERRORS)
def test_connect_errors(name: str) -> None:
    """A connect error keeps the number of the operating system, and has a text of its own."""
    cls = getattr(broker.errors, name)
    assert getattr(broker, name) is cls
    assert issubclass(cls, broker.errors.ConnectError)
    assert str(cls()).endswith(".")
    assert cls(5, "why").osError == 5
    assert str(cls(5, "why")) == "why"


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ECONNREFUSED, "refused"),
        OSError(errno.ENETUNREACH, "no network"),
        OSError(errno.ETIMEDOUT, "no answer"),
        OSError(errno.EIO, "broken"),
        socket.gaierror(-2, "no such name"),
        (errno.ECONNREFUSED, "refused"),
        Exception("one"),
        "a text",
    ],
)
def test_get_connect_error(raised: Any) -> None:
    """An error of a socket becomes the same error as in Twisted, with the same number."""
    ours = error.getConnectError(raised)
    published = twisted.internet.error.getConnectError(raised)
    assert (type(ours).__name__, ours.osError) == (type(published).__name__, published.osError)
    assert ours.string == str(published.args[0])
    numbers = {number: cls.__name__ for number, cls in error.errnoMapping.items()}
    theirs = twisted.internet.error.errnoMapping.items()
    assert numbers == {number: cls.__name__ for number, cls in theirs}
