"""Local objects behind the face of remote ones."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import Interface, implementer

from broker.flavors.local import LocalAsRemote, LocalAsyncForwarder


class IDoor(Interface):
    """Something that can be opened."""

    def open(key: Any) -> Any:
        """Open it."""


@implementer(IDoor)
class Door:
    """Can be opened, and more that is not in the interface."""

    def open(self, key: Any) -> Any:
        """Open with the right key."""
        if key != "right":
            raise ValueError("wrong key")
        return "open"

    def burn(self) -> None:
        """Be no part of the interface."""


class Local(LocalAsRemote):
    """Has methods of both kinds."""

    reportAllTracebacks = 0

    def sync_add(self, a: int, b: int = 1) -> int:
        """Return at once."""
        return a + b

    def async_add_later(self, a: int, b: int = 1) -> int:
        """Return by a Deferred."""
        return a + b

    def async_fail(self) -> None:
        """Raise."""
        raise KeyError("inside")


def outcome(deferred: Any) -> Any:
    """What a Deferred has come to."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0]


def test_sync_methods_return_and_raise() -> None:
    """A ``sync_`` method is called as it is."""
    assert Local().callRemote("add", 1, b=2) == 3
    with pytest.raises(TypeError):
        Local().callRemote("add")


def test_async_methods_come_by_a_deferred() -> None:
    """Results and exceptions of ``async_`` methods come by a Deferred, so does their absence."""
    local = Local()
    assert outcome(local.callRemote("add_later", 1, b=2)) == 3
    assert outcome(local.callRemote("fail")).check(KeyError)
    assert outcome(local.callRemote("nothing")).check(AttributeError)


def test_remote_method() -> None:
    """A method can be kept and called."""
    assert Local().remoteMethod("add")(1, b=4) == 5


def test_tracebacks_are_printed_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """What an ``async_`` method raises is printed, unless that is switched off."""
    outcome(Local().callRemote("fail"))
    assert capsys.readouterr().err == ""
    local = Local()
    local.reportAllTracebacks = 1
    outcome(local.callRemote("fail"))
    assert "KeyError" in capsys.readouterr().err


def test_forwarding_an_interface() -> None:
    """Methods of the interface are forwarded, and no others."""
    door = LocalAsyncForwarder(Door(), IDoor)
    assert outcome(door.callRemote("open", "right")) == "open"
    assert outcome(door.callRemote("open", "other")).check(ValueError)
    assert outcome(door.callRemote("burn")) is None
    strict = LocalAsyncForwarder(Door(), IDoor, failWhenNotImplemented=1)
    assert outcome(strict.callRemote("burn")).check(NotImplementedError)


def test_an_object_without_the_interface() -> None:
    """It cannot be forwarded to."""
    with pytest.raises(TypeError, match="does not provide"):
        LocalAsyncForwarder(object(), IDoor)
