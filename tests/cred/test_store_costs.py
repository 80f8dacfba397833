"""cred.store_costs: when the users of a store are listed, and what is known meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cred.passwords import Profile, ScramShape, Work, shape_of, spend, work_of
from cred.scram_verifier import ScramVerifier
from cred.store_costs import Costs
from cred.users import User

USUAL = Profile(64, 1, 1)
SECRET = b"s" * 16


def scram(iterations: int) -> str:
    """Make a verifier that no password fits."""
    return str(ScramVerifier(iterations, b"s" * 16, b"k" * 32, b"k" * 32))


class Slow:
    """A store that takes its time to list its users, and counts how often it does.

    Attributes:
        users_of: the users.
        seconds: that a list takes.
        now: the time.
        mark: its stamp.
    """

    def __init__(self, seconds: float, *verifiers: str):
        self.users_of = [User(f"user{n}", verifier) for n, verifier in enumerate(verifiers)]
        self.seconds = seconds
        self.now = 0.0
        self.listed = 0
        self.mark: object = None

    def users(self) -> Iterator[User]:
        """List them."""
        self.listed += 1
        self.now += self.seconds
        return iter(list(self.users_of))

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def costs(self) -> Costs:
        """Return its costs."""
        return Costs(self, USUAL, self.clock)  # type: ignore[arg-type]


class Stamped(Slow):
    """One that knows whether it has changed."""

    def stamp(self) -> object:
        """Return the stamp."""
        return self.mark


def test_a_large_store_is_not_listed_at_each_login() -> None:
    """A list takes at most a hundredth of the time."""
    store = Slow(0.5, scram(5000))
    costs = store.costs()
    for _ in range(1000):
        costs.now()
    assert store.listed == 1
    store.now += 49.9
    costs.now()
    assert store.listed == 1
    store.now += 0.2
    costs.now()
    assert store.listed == 2


def test_a_small_store_is_listed_when_it_has_changed() -> None:
    """A list that takes no time is made again at once; where there is a stamp, after a change."""
    store, stamped = Slow(0.001, scram(5000)), Stamped(0.001, scram(5000))
    stamped.mark = 1
    costs = store.costs(), stamped.costs()
    for each in costs * 10:
        each.now()
    assert (store.listed, stamped.listed) == (10, 1)
    stamped.users_of.append(User("late", scram(7000)))
    stamped.mark = 2
    assert ScramShape(7000, 16) in costs[1].now().models
    assert stamped.listed == 2


def test_a_stamp_does_not_hurry_a_large_store() -> None:
    """However often a large store changes, it is not listed more often."""
    store = Stamped(0.5, scram(5000))
    costs = store.costs()
    for number in range(100):
        store.mark = number
        costs.now()
    assert store.listed == 1


def test_who_logs_in_counts_at_once() -> None:
    """A cost that is not in the list yet counts from its first login on, for everybody."""
    store = Slow(0.5, scram(5000))
    costs = store.costs()
    before = costs.now()
    assert ScramShape(9000, 16) not in before.models
    assert ScramShape(9000, 16) in costs.now(scram(9000)).models
    assert ScramShape(9000, 16) in costs.now().models
    assert ScramShape(9000, 16) not in before.models
    assert store.listed == 1
    assert costs.now("damaged").models == costs.now().models


def test_no_users() -> None:
    """Where there are none, an unknown user costs what a new one would."""
    listing = Slow(0.0).costs().now()
    assert listing.decoy(SECRET, b"eve").startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert listing.scram_shape(SECRET, b"eve") == ScramShape(600_000, 16)


def test_decoys_are_as_frequent_as_the_verifiers() -> None:
    """The name chooses the decoy, the same each time; all costs are among those chosen."""
    listing = Slow(0.0, scram(5000), scram(5000), scram(6000)).costs().now()
    names = [f"eve{number}".encode() for number in range(300)]
    decoys = [listing.decoy(SECRET, name) for name in names]
    assert decoys == [listing.decoy(SECRET, name) for name in names]
    assert len(set(decoys)) == 2
    assert 60 < sum(decoy.startswith("SCRAM-SHA-256$6000:") for decoy in decoys) < 140


@pytest.mark.parametrize(
    ("memory", "at_once", "runs"),
    [
        (0, 64, []),
        (-5, 64, []),
        (7, 64, []),
        (8, 64, [(8, 1)]),
        (64, 64, [(64, 1)]),
        (128, 64, [(64, 2)]),
        (150, 64, [(64, 2), (22, 1)]),
        (131, 64, [(64, 1), (67, 1)]),
        (66, 64, [(66, 1)]),
    ],
)
def test_work_for_nothing(
    memory: int, at_once: int, runs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is divided into runs that take no more memory than is said, and all of it is done."""
    made: list[tuple[int, int]] = []

    class Argon2id:
        """Notes what it is to do."""

        def __init__(self, *, iterations: int, memory_cost: int, **rest: object) -> None:
            made.append((memory_cost, iterations))

        def derive(self, password: bytes) -> bytes:
            return b""

    monkeypatch.setattr("cred.passwords.Argon2id", Argon2id)
    spend(Work(memory), at_once)
    assert made == runs


def test_shapes() -> None:
    """A verifier's shape is what it costs, and what SCRAM shows of it."""
    assert shape_of(scram(5000)) == ScramShape(5000, 16)
    assert work_of(ScramShape(5000, 16)) == Work(0, 5000)
    assert work_of(Profile(64, 3, 2)) == Work(192, 0)
    with pytest.raises(ValueError, match="not a SCRAM verifier"):
        shape_of("SCRAM-SHA-256$x")
