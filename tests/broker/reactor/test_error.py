"""The published error names."""

from __future__ import annotations

import twisted.internet.error

import broker.errors
from broker.reactor import error


def test_names() -> None:
    """Every name here is one that Twisted publishes, except that it may lack some."""
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
    for name in error.__all__:
        ours, published = getattr(error, name), getattr(twisted.internet.error, name)
        for builtin in builtins:
            assert issubclass(ours, builtin) == issubclass(published, builtin), name


def test_texts() -> None:
    """An error raised without words still says what happened."""
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
    """What is an instance of what, among the transport errors, is as published."""
    for name in error.__all__:
        ours, published = getattr(error, name), getattr(twisted.internet.error, name)
        for other in error.__all__:
            expected = issubclass(published, getattr(twisted.internet.error, other))
            assert issubclass(ours, getattr(error, other)) == expected, (name, other)


def test_processes() -> None:
    """The end of a process tells its exit code or its signal, as attributes and as text."""
    done = error.ProcessDone(0)
    assert (done.exitCode, done.signal, done.status) == (0, None, 0)
    assert str(error.ProcessTerminated(3, None, 768)).endswith("exit code 3")
    killed = error.ProcessTerminated(None, 15, 15)
    assert (killed.exitCode, killed.signal, killed.status) == (None, 15, 15)
    assert str(killed).endswith("SIGTERM")
    assert str(error.ProcessTerminated(signal=99)).endswith("signal 99")
