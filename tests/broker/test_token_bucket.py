"""broker.token_bucket: marks that expire."""

from __future__ import annotations

import pytest

from broker import token_bucket
from broker.token_bucket import Rate, TokenBuckets


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


def test_marks_fade_one_by_one(clock: Clock) -> None:
    """So many marks cost no wait; after these one more is free in each so many seconds."""
    marks = TokenBuckets(Rate(3, 10.0), clock)
    waits = []
    for _ in range(5):
        waits.append(marks.wait("key"))
        marks.mark("key")
    assert waits == [0.0, 0.0, 0.0, 10.0, 20.0]
    assert marks.wait("key") == 30.0
    clock.now += 29.0
    assert marks.wait("key") == 1.0
    clock.now += 1.0
    assert marks.wait("key") == 0.0
    marks.mark("key")
    assert marks.wait("key") == 10.0


def test_keys_are_apart(clock: Clock) -> None:
    """A mark is its key's alone, and goes when it is cleared."""
    marks = TokenBuckets(Rate(1, 10.0), clock)
    marks.mark("key")
    assert (marks.wait("key"), marks.wait("other")) == (10.0, 0.0)
    marks.clear("key")
    marks.clear("other")
    assert marks.wait("key") == 0.0


def test_what_has_faded_is_forgotten(clock: Clock) -> None:
    """A key without marks takes no room once it has been asked for."""
    marks = TokenBuckets(Rate(1, 10.0), clock)
    marks.mark("key")
    clock.now += 10.0
    assert marks.wait("key") == 0.0
    assert len(marks) == 0


def test_keys_have_an_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that was marked longest ago makes room for a new one."""
    monkeypatch.setattr(token_bucket, "MOST_KEYS", 3)
    marks = TokenBuckets(Rate(1, 10.0), clock)
    for key in ("first", "second", "third", "first", "fourth"):
        marks.mark(key)
    assert len(marks) == 3
    assert marks.wait("second") == 0.0
    assert marks.wait("first") == 20.0


@pytest.mark.parametrize(("burst", "per"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("nan"))])
def test_a_rate_allows_something(burst: int, per: float) -> None:
    """A rate that allows nothing, or everything, is a mistake."""
    with pytest.raises(
        ValueError, match=r"^a rate has a burst of at least 1, and one more per some"
    ):
        Rate(burst, per)
