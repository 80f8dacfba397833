"""The budget: what the connections of a server hold together is bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.memory import ManualScheduler

from broker.connection.budget import SMALL, Budget, Share

MB = 1 << 20


class Crowd:
    """Connections of one server, and what became of them."""

    def __init__(self, most: int = 100 * MB, each: tuple[int, ...] = ()) -> None:
        self.scheduler = ManualScheduler()
        self.budget = Budget(most)
        self.holds: list[int] = []
        self.shares: list[Share] = []
        self.closed: list[int] = []
        self.texts: list[tuple[str, str]] = []
        for size in each:
            self.add(size)

    def add(self, size: int) -> None:
        """One more connection, which holds so much."""
        number = len(self.shares)
        share = Share(
            self.budget,
            self.scheduler,
            lambda: self.holds[number],
            lambda error: self.close(number, error),
        )
        self.holds.append(size)
        self.shares.append(share)
        share.report()

    def grow(self, number: int, size: int) -> None:
        """Hold so much now, and report it."""
        self.holds[number] = size
        self.shares[number].report()

    def close(self, number: int, error: Any) -> None:
        """What a connection does then: it lets go, and reports once more."""
        self.closed.append(number)
        self.texts.append((str(error), error.limit))
        self.holds[number] = 0
        self.shares[number].report()
        self.shares[number].end()

    @property
    def held_back(self) -> list[int]:
        """Those that may not be read."""
        return [number for number, share in enumerate(self.shares) if share.is_held_back]


def test_within_the_budget() -> None:
    """Nothing happens, and no timer runs."""
    crowd = Crowd(each=(50 * MB, 50 * MB))
    assert (crowd.held_back, crowd.closed, crowd.scheduler.waiting) == ([], [], 0)
    assert crowd.budget.total == 100 * MB


def test_the_small_do_not_count() -> None:
    """64 KiB each is nothing, however many they are."""
    crowd = Crowd(most=MB, each=(SMALL,) * 100)
    assert crowd.budget.total == 0
    crowd.grow(0, SMALL + 1)
    assert crowd.budget.total == SMALL + 1
    crowd.grow(0, SMALL)
    assert crowd.budget.total == 0


def test_the_largest_are_not_read() -> None:
    """So many that the others hold half of the budget at most; a second later it is checked."""
    crowd = Crowd(each=(40 * MB, 10 * MB, 30 * MB, 25 * MB))
    assert (crowd.held_back, crowd.closed) == ([0, 2], [])
    crowd.holds[2] = 0
    crowd.scheduler.advance(1)
    assert (crowd.held_back, crowd.closed, crowd.scheduler.waiting) == ([], [], 0)


def test_what_does_not_become_less_is_closed() -> None:
    """The largest first, and no more than are beyond the budget; the others are read again."""
    crowd = Crowd(each=(10 * MB, 45 * MB, 40 * MB, 8 * MB))
    crowd.scheduler.advance(0.9)
    assert crowd.closed == []
    crowd.scheduler.advance(0.2)
    assert (crowd.closed, crowd.held_back) == ([1], [1])
    text = f"connection holds {45 * MB} bytes of a full server (max_buffered)"
    assert crowd.texts == [(text, "max_buffered")]
    assert crowd.budget.total == 58 * MB


def test_far_beyond_the_budget() -> None:
    """Nobody waits for a second: what many reach at once is closed at once."""
    crowd = Crowd(each=(60 * MB, 40 * MB))
    crowd.add(30 * MB)
    assert crowd.closed == [0]
    assert crowd.held_back == []


def test_what_became_less_unnoticed() -> None:
    """All are measured before anything is done to one of them."""
    crowd = Crowd(each=(60 * MB, 40 * MB))
    crowd.holds[0] = 0
    crowd.grow(1, 90 * MB)
    assert (crowd.held_back, crowd.closed) == ([], [])
    assert crowd.budget.total == 90 * MB


def test_who_has_ended_holds_nothing() -> None:
    """The end of a connection makes room."""
    crowd = Crowd(each=(60 * MB, 30 * MB))
    crowd.shares[0].end()
    crowd.shares[0].end()
    assert crowd.budget.total == 30 * MB
    crowd.add(65 * MB)
    assert crowd.held_back == []


def test_it_begins_again() -> None:
    """After it was beyond the budget once, it is watched as before."""
    crowd = Crowd(each=(60 * MB, 45 * MB))
    crowd.holds[0] = 0
    crowd.scheduler.advance(1)
    crowd.grow(0, 58 * MB)
    assert crowd.held_back == [0]
    crowd.scheduler.advance(1)
    assert crowd.closed == [0]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 7), st.integers(0, 40)),
            st.just("a second"),
        ),
        max_size=60,
    )
)
def test_whatever_happens(steps: list[Any]) -> None:
    """The sum is never far beyond the budget, and no one stays held back when it is within."""
    crowd = Crowd(each=(0,) * 8)
    for step in steps:
        if step == "a second":
            crowd.scheduler.advance(1)
            assert sum(crowd.holds) <= 100 * MB
        elif step[0] not in crowd.closed:
            crowd.grow(step[0], step[1] * MB)
        assert sum(crowd.holds) <= 112.5 * MB
    for _ in range(2):
        crowd.scheduler.advance(1)
    assert [number for number in crowd.held_back if number not in crowd.closed] == []
    assert crowd.budget.total == sum(size for size in crowd.holds if size > SMALL)
