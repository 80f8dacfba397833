"""Which errors are worth another try: the table of the page, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from broker import errors
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure
from broker.login.client import LoginPutOff, LoginWhileBusy, LoginWhileDraining
from broker.transient import is_transient
from cred import error as cred_error

SLOW_HANDSHAKE = errors.TLSError("late")
SLOW_HANDSHAKE.limit = "handshake_timeout"

TRANSIENT = [
    errors.Disconnected("x"),
    errors.DeadReferenceError("x"),
    errors.PBConnectionLost("x"),
    errors.PBConnectionLost("x", goodbye="kicked"),
    errors.ConnectError(),
    errors.ConnectionRefusedError(),
    errors.TimeoutError(),
    errors.UserError(),
    errors.DNSLookupError("x"),
    errors.ConnectionLost("x"),
    errors.ConnectionDone("x"),
    errors.ServerBusy("x"),
    errors.ServerDraining("x"),
    errors.LoginExpired("x"),
    errors.TooManyAttempts("x"),
    cred_error.LoginUnavailable("x"),
    LoginPutOff("x"),
    LoginWhileBusy("x"),
    LoginWhileDraining("x"),
    SLOW_HANDSHAKE,
]
FATAL = [
    errors.PBConnectionLost("x", goodbye="replaced"),
    errors.TLSError("x"),
    errors.ConfigError("x"),
    errors.ProtocolError("x"),
    errors.LimitExceeded("x"),
    errors.RemoteError("broker.errors.ServerBusy", "x"),
    errors.RemoteError("twisted.spread.pb.PBConnectionLost", "x"),
    errors.Error("x"),
    errors.NoSuchObject("x"),
    errors.CallTimeout("x"),
    cred_error.LoginFailed("x"),
    cred_error.LoginDenied("x"),
    cred_error.UnauthorizedLogin("x"),
    cred_error.UnhandledCredentials("x"),
    cred_error.Unauthorized("x"),
    KeyError("x"),
    KeyboardInterrupt(),
]


def name(error: Any) -> str:
    """Return what a case is called."""
    return type(error).__name__


@pytest.mark.parametrize("error", TRANSIENT, ids=name)
def test_transient(error: Any) -> None:
    """Ends and failed attempts are worth another try, as are servers without room."""
    assert is_transient(error) is True
    assert is_transient(Failure(error)) is True


@pytest.mark.parametrize("error", FATAL, ids=name)
def test_fatal(error: Any) -> None:
    """Everything else is not."""
    assert is_transient(error) is False
    assert is_transient(Failure(error)) is False


def copied(**state: Any) -> CopiedFailure:
    """Return a failure of a peer's."""
    failure = CopiedFailure.__new__(CopiedFailure)
    failure.setCopyableState(state)
    return failure


def test_failures_of_a_peer() -> None:
    """What the peer says of the call counts; what its method raised is about another connection."""
    assert is_transient(copied(type=b"broker.errors.ServerBusy"))
    assert not is_transient(copied(type=b"broker.errors.ServerBusy", raised=True))
    assert not is_transient(copied(type=b"twisted.spread.pb.PBConnectionLost"))
    assert not is_transient(copied(type=b"builtins.KeyError"))


def test_what_is_no_error() -> None:
    """Something else is worth no try."""
    assert not is_transient(None)
    assert not is_transient("text")


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ConnectError, ConnectionError),
        (errors.NoRouteError, OSError),
        (errors.ConnectionRefusedError, ConnectionRefusedError),
        (errors.TimeoutError, TimeoutError),
        (errors.TCPTimedOutError, TimeoutError),
        (errors.DNSLookupError, OSError),
        (errors.PBConnectionLost, ConnectionError),
        (errors.DeadReferenceError, errors.ProtocolError),
    ],
)
def test_natural_bases(cls: Any, builtin: Any) -> None:
    """Each end and failed attempt is Disconnected, and what Python or PB would call it."""
    assert issubclass(cls, errors.Disconnected)
    assert issubclass(cls, builtin)


def test_the_number_of_the_system() -> None:
    """A ConnectError has the number and the text under the names of OSError too."""
    error = errors.ConnectionRefusedError(111, "refused")
    assert (error.osError, error.errno, error.strerror, str(error)) == (
        111,
        111,
        "refused",
        "refused",
    )
    assert errors.ConnectError().errno is None
