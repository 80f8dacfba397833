"""`from broker import reactor`: the module that is a reactor."""

from __future__ import annotations

import importlib

import pytest

import broker.reactor
from broker import reactor


def test_functions() -> None:
    """Each published function of the module is that of its one reactor, and documented there."""
    for name in reactor.__all__:
        if name not in ("Reactor", "default", "running"):
            assert getattr(reactor, name) == getattr(reactor.default, name)
            assert getattr(reactor.Reactor, name).__doc__


def test_running() -> None:
    """The module's running is the current value of the reactor."""
    assert reactor.running is False
    assert isinstance(reactor.default, reactor.Reactor)


def test_modules() -> None:
    """The published modules can be imported as in a program."""
    for name in ("protocol", "error", "ssl", "task", "threads", "endpoints", "interfaces"):
        module = importlib.import_module(f"broker.reactor.{name}")
        assert getattr(broker.reactor, name) is module
        assert all(hasattr(module, public) for public in module.__all__)


def test_unknown_name() -> None:
    """An absent name raises AttributeError as in any module."""
    with pytest.raises(AttributeError, match=r"'broker\.reactor' has no attribute 'listenUDP'"):
        reactor.listenUDP  # noqa: B018
