"""Errors of transports: their published module, and the texts of a port that cannot be opened."""

from __future__ import annotations

import errno
import pickle

import pytest

from broker import errors, transport_errors
from broker.failure import wire_name


@pytest.mark.parametrize("name", transport_errors.__all__)
def test_their_module(name: str) -> None:
    """Each is published by ``broker.errors``, which is also its module on the wire."""
    cls = getattr(transport_errors, name)
    assert getattr(errors, name) is cls
    assert cls.__module__ == "broker.errors"
    assert name in errors.__all__


def test_a_name_on_the_wire_and_a_pickle() -> None:
    """A peer gets the name of Twisted, and a pickle finds the class."""
    assert wire_name(errors.ConnectionAborted) == "twisted.internet.error.ConnectionAborted"
    again = pickle.loads(pickle.dumps(errors.ConnectionLost("cable cut")))
    assert type(again) is errors.ConnectionLost
    assert str(again) == "cable cut"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "port 80 is in use; stop what uses it"),
        (OSError(errno.EACCES, "denied"), "no permission to open port 80; choose a port above"),
        (OSError(errno.EADDRNOTAVAIL, "none"), "10.0.0.1 is not an address of this machine"),
        (OSError(errno.EMFILE, "Too many open files"), "10.0.0.1:80: Too many open files."),
        (OSError("only a text"), "10.0.0.1:80: only a text."),
        ("a text in place of an error", "10.0.0.1:80: a text in place of an error."),
    ],
)
def test_a_port_that_cannot_be_opened(error: object, text: str) -> None:
    """The text names the address, and the reason or the fix."""
    assert text in str(errors.CannotListenError("10.0.0.1", 80, error))
