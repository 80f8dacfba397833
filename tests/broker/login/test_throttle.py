"""The throttle: failed logins of accounts, sources and connections, by a clock that stands."""

from __future__ import annotations

import pytest

from broker.errors import TooManyAttempts
from broker.login import throttle as throttle_module
from broker.login.throttle import LoginSource, LoginThrottle, account_of
from broker.token_bucket import Rate
from cred.octets import to_octets


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def wait_of(throttle: LoginThrottle, origin: LoginSource) -> str:
    """Return what somebody is told who would log in now; empty if they may."""
    try:
        throttle.check(origin)
    except TooManyAttempts as error:
        return str(error)
    return ""


HOME = LoginSource("c1", "198.51.100.7", b"alice")


@pytest.mark.row("C1")
def test_the_text(clock: Clock) -> None:
    """Who has failed too often is told in how many whole seconds to try again, never too few."""
    throttle = LoginThrottle(account=Rate(3, 17.0), clock=clock)
    for _ in range(3):
        assert wait_of(throttle, HOME) == ""
        throttle.failed(HOME)
    assert wait_of(throttle, HOME) == "try again in 17 s"
    clock.now += 3.5
    assert wait_of(throttle, HOME) == "try again in 14 s"
    clock.now += 13.5
    assert wait_of(throttle, HOME) == ""


@pytest.mark.parametrize(
    ("kind", "near", "far"),
    [
        (
            "account",
            LoginSource("c2", "203.0.113.9", b"alice"),
            LoginSource("c1", "198.51.100.7", b"bob"),
        ),
        (
            "source",
            LoginSource("c2", "198.51.100.7", b"bob"),
            LoginSource("c1", "203.0.113.9", b"alice"),
        ),
        (
            "connection",
            LoginSource("c1", "203.0.113.9", b"bob"),
            LoginSource("c2", "198.51.100.7", b"alice"),
        ),
    ],
)
def test_what_each_limit_binds(
    kind: str, near: LoginSource, far: LoginSource, clock: Clock
) -> None:
    """Each of the three limits binds all that have it in common, and nobody else."""
    limits: dict[str, Rate | None] = {"account": None, "source": None, "connection": None}
    limits[kind] = Rate(1, 17.0)
    throttle = LoginThrottle(clock=clock, **limits)
    throttle.failed(HOME)
    assert wait_of(throttle, near) == "try again in 17 s"
    assert wait_of(throttle, far) == ""


@pytest.mark.parametrize(
    ("origin", "most"),
    [
        (LoginSource("c1", "", None), 6),
        (LoginSource("c1", "", b"alice"), 6),
    ],
)
def test_the_usual_limits(origin: LoginSource, most: int, clock: Clock) -> None:
    """Six failures on one connection are free; ten for one account, thirty from one source."""
    throttle = LoginThrottle(clock=clock)
    for _ in range(most):
        assert wait_of(throttle, origin) == ""
        throttle.failed(origin)
    assert wait_of(throttle, origin) == "try again in 60 s"
    for number in range(30):
        throttle.failed(LoginSource(number, "198.51.100.7", str(number).encode()))
    assert wait_of(throttle, LoginSource("c", "198.51.100.7")) == "try again in 10 s"
    for number in range(10):
        throttle.failed(LoginSource(number, str(number), b"carol"))
    assert wait_of(throttle, LoginSource("c", "203.0.113.9", b"carol")) == "try again in 30 s"


def test_an_owner_is_let_in_from_home(clock: Clock) -> None:
    """Guesses from elsewhere shut an account to strangers, not to where it has been used."""
    throttle = LoginThrottle(account=Rate(2, 17.0), clock=clock)
    throttle.succeeded(HOME)
    for number in range(5):
        throttle.failed(LoginSource(number, f"203.0.113.{number}", b"alice"))
    assert wait_of(throttle, LoginSource("c9", "203.0.113.9", b"alice")) == "try again in 68 s"
    assert wait_of(throttle, HOME) == ""
    throttle.failed(HOME)
    throttle.failed(HOME)
    assert wait_of(throttle, HOME) == "try again in 17 s"


def test_a_success_forgives_its_own_alone(clock: Clock) -> None:
    """A login clears what failed for that account from there, never the source or connection."""
    throttle = LoginThrottle(
        account=Rate(2, 17.0), source=Rate(3, 5.0), connection=None, clock=clock
    )
    throttle.succeeded(HOME)
    throttle.failed(HOME)
    throttle.succeeded(HOME)
    throttle.failed(HOME)
    assert wait_of(throttle, HOME) == ""
    throttle.succeeded(HOME)
    throttle.failed(HOME)
    assert wait_of(throttle, HOME) == "try again in 5 s"


def test_the_longest_wait_counts(clock: Clock) -> None:
    """Of several limits that are reached, the one that takes longest is told."""
    throttle = LoginThrottle(account=Rate(1, 20.0), source=Rate(1, 40.0), clock=clock)
    throttle.failed(HOME)
    assert wait_of(throttle, HOME) == "try again in 40 s"


def test_a_token_has_no_account(clock: Clock) -> None:
    """What names no user is bound by the other limits, and makes no account known."""
    throttle = LoginThrottle(source=Rate(1, 17.0), clock=clock)
    token = LoginSource("c1", "198.51.100.7")
    throttle.succeeded(token)
    throttle.failed(token)
    assert wait_of(throttle, LoginSource("c2", "198.51.100.7")) == "try again in 17 s"


def test_known_places_have_an_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place that was used longest ago is forgotten for a new one."""
    monkeypatch.setattr(throttle_module, "MOST_KEYS", 2)
    throttle = LoginThrottle(account=Rate(1, 17.0), source=None, connection=None, clock=clock)
    places = [LoginSource("c", f"198.51.100.{number}", b"alice") for number in range(3)]
    for place in [places[0], places[1], places[0], places[2]]:
        throttle.succeeded(place)
    throttle.failed(LoginSource("c", "203.0.113.9", b"alice"))
    assert [bool(wait_of(throttle, place)) for place in places] == [False, True, False]


@pytest.mark.parametrize(
    ("username", "account"),
    [
        ("alice", b"alice"),
        (b"alice", b"alice"),
        ("\uff41lice", b"alice"),
        (b"\xff", b"\xff"),
        ("\x07", b"\x07"),
    ],
)
def test_an_account_has_one_name(username: object, account: bytes) -> None:
    """Whichever way a user name is written, its marks are the same; what is no name has its own."""
    assert account_of(to_octets(username)) == account
