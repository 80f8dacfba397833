"""Attempts to connect: their delays, their addresses, and which errors end them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest

import broker
from broker import errors
from broker.login.client import LoginPutOff, LoginWhileDraining
from broker.retry import Attempts, Retry, given_addresses
from broker.stopping import Notice
from cred.error import LoginFailed, LoginUnavailable, UnauthorizedLogin

A, B, C = "pb://a:1", "pb://b:2", "pb://c:3"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def attempts(clock: Callable[[], float], *addresses: str, **settings: Any) -> Attempts:
    """The attempts of one client."""
    return Attempts(Retry(**settings), addresses or (A,), clock)


def delays_of(number: int, **settings: Any) -> list[float]:
    """A thousand delays of the attempt with that number."""
    found = []
    for _ in range(1000):
        made = attempts(Clock(), **settings)
        for _ in range(number):
            made.next()
            made.failed(A, errors.ConnectError())
        found.append(made.next().delay)
    return found


# Delays.


def test_the_first_attempt_is_made_at_once() -> None:
    """Attempt 0 has no delay, and no reason."""
    first = attempts(Clock()).next()
    assert (first.number, first.address, first.delay, first.reason) == (0, A, 0.0, None)


@pytest.mark.parametrize(
    ("number", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (7, 30.0), (20, 30.0)]
)
def test_delays_are_spread_evenly(number: int, longest: float) -> None:
    """The delay of attempt k is anywhere in 0 … min(most, first * factor ** (k - 1))."""
    delays = delays_of(number)
    assert min(delays) >= 0
    assert max(delays) <= longest
    # Each tenth of the range has about a hundred of the thousand.
    tenths = [sum(1 for each in delays if int(each / longest * 10) == k) for k in range(10)]
    assert all(50 < count < 160 for count in tenths)
    assert statistics.mean(delays) == pytest.approx(longest / 2, rel=0.1)


def test_delays_by_other_settings() -> None:
    """``first``, ``factor`` and ``most`` are those of the Retry."""
    assert 2.7 < max(delays_of(2, first=1.0, factor=3.0)) <= 3.0
    assert 3.6 < max(delays_of(9, first=1.0, factor=3.0, most=4.0)) <= 4.0


def test_k_starts_again_after_a_healthy_connection_only() -> None:
    """A login does not reset k: a server may log clients in and cut them off at once."""
    clock = Clock()
    made = attempts(clock, healthy_after=60.0)
    lasted = (0.1, 59.9, 60.0, 1.0)
    numbers = []
    for seconds in lasted:
        numbers.append(made.next().number)
        made.connected()
        clock.now += seconds
        made.ended(A, errors.ConnectionDone())
    numbers.append(made.next().number)
    assert numbers == [0, 1, 2, 1, 2]


def test_giving_up() -> None:
    """After ``give_up_after`` seconds without a healthy connection the last error is raised."""
    clock = Clock()
    made = attempts(clock, give_up_after=10.0, first=100.0, most=100.0, healthy_after=5.0)
    made.next()
    made.connected()
    clock.now += 1000.0
    made.ended(A, errors.ConnectionDone())
    # It was healthy: the ten seconds begin at its end.
    made.next()
    made.connected()
    clock.now += 4.0
    last = errors.PBConnectionLost("it did not last")
    made.ended(A, last)
    for _ in range(100):
        assert made.next().delay <= 6.0
    clock.now += 6.0
    with pytest.raises(errors.PBConnectionLost, match="it did not last"):
        made.check()
    with pytest.raises(errors.PBConnectionLost, match="it did not last"):
        made.next()


# Which errors end it: rule 4, row by row.

KICKED = errors.PBConnectionLost("x", goodbye="kicked")
REPLACED = errors.PBConnectionLost("x", goodbye="replaced")
LATE_HANDSHAKE = errors.TLSError("late")
LATE_HANDSHAKE.limit = "handshake_timeout"

TRANSIENT = [
    (errors.PBConnectionLost("x"), 0.0),
    (errors.DeadReferenceError("x"), 0.0),
    (errors.ConnectionRefusedError(), 0.0),
    (errors.DNSLookupError("x"), 0.0),
    (errors.ConnectionDone("x"), 0.0),
    (errors.ServerBusy("x", after=7.0), 7.0),
    (errors.ServerDraining("x", after=8.0), 8.0),
    (LoginWhileDraining("x", after=8.5), 8.5),
    (errors.LoginExpired("x"), 0.0),
    (errors.TooManyAttempts("x", after=9.0), 9.0),
    (LoginPutOff("x", after=9.5), 9.5),
    (LoginUnavailable("x"), 0.0),
    (LATE_HANDSHAKE, 0.0),
    (KICKED, 30.0),
]
FATAL = [
    LoginFailed("x"),
    UnauthorizedLogin("x"),
    errors.ConfigError("x"),
    errors.ProtocolError("does not speak Perspective Broker"),
    errors.TLSError("identity"),
    REPLACED,
    KeyError("x"),
    OSError("x"),
]


@pytest.mark.parametrize(("error", "least"), TRANSIENT, ids=lambda each: type(each).__name__)
def test_a_transient_error(error: Exception, least: float) -> None:
    """It is followed by an attempt, not before the time that it tells, and soon after that."""
    made = attempts(Clock())
    made.next()
    made.failed(A, error)
    following = made.next()
    assert least <= following.delay <= least + 0.5
    assert following.reason is error


@pytest.mark.parametrize("error", FATAL, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("how", ["failed", "ended"])
def test_a_fatal_error(error: Exception, how: str) -> None:
    """It is raised, by a failed attempt and by the end of a connection."""
    made = attempts(Clock())
    made.next()
    with pytest.raises(type(error)) as caught:
        getattr(made, how)(A, error)
    assert caught.value is error


def test_the_program_decides() -> None:
    """``is_fatal`` overrides the table in both directions; with None the table decides."""
    answers: dict[type[BaseException], bool | None] = {
        UnauthorizedLogin: False,
        errors.ConnectionRefusedError: True,
        KeyError: None,
        errors.DNSLookupError: None,
    }
    made = attempts(Clock(), is_fatal=lambda error: answers[type(error)])
    made.failed(A, UnauthorizedLogin("x"))
    made.failed(A, errors.DNSLookupError("x"))
    for fatal in (errors.ConnectionRefusedError(), KeyError("x")):
        with pytest.raises(type(fatal)):
            made.failed(A, fatal)


@pytest.mark.parametrize("error", [ConnectionError("x"), TimeoutError("x")])
def test_credentials_that_cannot_be_got(error: Exception) -> None:
    """The function for credentials may fail with these, unless the program says that it may not."""
    made = attempts(Clock())
    made.failed(A, error, is_of_credentials=True)
    with pytest.raises(type(error)):
        made.failed(A, error)
    with pytest.raises(type(error)):
        attempts(Clock(), is_fatal=lambda _: True).failed(A, error, is_of_credentials=True)


# Addresses.


def test_addresses_are_tried_in_order_from_a_random_start() -> None:
    """Each is the first one now and then; the others follow in their order."""
    orders = set()
    for _ in range(200):
        made = attempts(Clock(), A, B, C)
        order = []
        for _ in range(3):
            order.append(made.next().address)
            made.failed(order[-1], errors.ConnectError())
        orders.add(tuple(order))
    assert orders == {(A, B, C), (B, C, A), (C, A, B)}


def test_an_address_that_failed_goes_last() -> None:
    """The next attempt goes to another one, also after a connection that has ended."""
    made = attempts(Clock(), A, B)
    tried = []
    for _ in range(3):
        tried.append(made.next().address)
        made.connected()
        made.ended(tried[-1], errors.ConnectionDone())
    assert tried in ([A, B, A], [B, A, B])


def test_a_server_that_drains_is_left_alone() -> None:
    """Other addresses are tried at once; with one alone, it is tried again after its time."""
    clock = Clock()
    made = attempts(clock, A, B)
    first = made.next().address
    other = B if first == A else A
    made.ended(first, errors.ServerDraining("x"), Notice(100.0))
    for _ in range(4):
        each = made.next()
        assert (each.address, each.delay <= 30.0) == (other, True)
        made.failed(other, errors.ConnectError())
    clock.now += 100.0
    assert made.next().address == first


@pytest.mark.parametrize(
    ("elsewhere", "is_taken"),
    [
        ("pb://a:9", True),
        ("pb://A:9", True),
        ("pb://a", True),
        ("pb://stranger:1", False),
        ("pb://a.evil:1", False),
        ("pbs://a:1", False),
        ("pb+exec:touch /tmp/x", False),
        ("pb+unix:///tmp/x", False),
        ("pb://b:2@evil", False),
        ("nonsense", False),
        ("", False),
        ("pb://a:99999999", False),
    ],
)
@pytest.mark.parametrize("way", ["notice", "refusal"])
def test_elsewhere(elsewhere: str, is_taken: bool, way: str) -> None:
    """Only a host that the program gave is dialled, with the same scheme, on whichever port."""
    made = attempts(Clock(), A)
    made.next()
    refusal = errors.ServerDraining("x", after=50.0, elsewhere=(elsewhere,))
    if way == "notice":
        made.ended(A, errors.ConnectionDone(), Notice(50.0, (elsewhere,)))
    else:
        made.failed(A, refusal)
    assert made.next().address == (elsewhere if is_taken else A)


def test_elsewhere_without_tls() -> None:
    """A server cannot send credentials to a port without TLS."""
    made = attempts(Clock(), "pbs://a:1")
    made.ended("pbs://a:1", errors.ConnectionDone(), Notice(0.0, ("pb://a:1", "pbs://a:2")))
    assert made.next().address == "pbs://a:2"


def test_the_last_notice_counts() -> None:
    """Addresses of earlier notices are forgotten: a server cannot make the list long."""
    made = attempts(Clock(), A)
    for port in range(2, 200):
        made.ended(A, errors.ConnectionDone(), Notice(0.0, (f"pb://a:{port}",)))
    assert made._order == ["pb://a:199", A]


@pytest.mark.parametrize("elsewhere", [None, 3, ("pb://a:9", 3, None), ["x"] * 100])
def test_malformed_fields_of_a_refusal(elsewhere: Any) -> None:
    """A peer may send any value as a field; what is not an address is ignored."""
    error = errors.ServerDraining("x")
    error.elsewhere = elsewhere
    error.after = "soon"  # type: ignore[assignment]
    made = attempts(Clock(), A)
    made.failed(A, error)
    assert made.next().delay <= 0.5


@pytest.mark.parametrize(
    ("given", "found"),
    [(A, (A,)), ([A], (A,)), ((A, B), (A, B)), ([A, B, A], (A, B))],
)
def test_given_addresses(given: Any, found: tuple[str, ...]) -> None:
    """One address or a sequence."""
    assert given_addresses(given) == found


@pytest.mark.parametrize("given", [(), [], "x", ["pb://a", "x"], {A}, None, 3, b"pb://a", [b"x"]])
def test_wrong_addresses(given: Any) -> None:
    """Anything else is a ConfigError."""
    with pytest.raises(broker.ConfigError):
        given_addresses(given)


@pytest.mark.parametrize(
    "settings",
    [
        {"first": -1},
        {"most": "3"},
        {"factor": 0.5},
        {"factor": math.nan},
        {"healthy_after": None, "first": math.nan},
        {"give_up_after": -1},
        {"is_fatal": 3},
        {"first": True},
    ],
)
def test_wrong_settings(settings: Any) -> None:
    """Settings that cannot work are refused when the Retry is made."""
    with pytest.raises(broker.ConfigError, match="Retry"):
        Retry(**settings)
