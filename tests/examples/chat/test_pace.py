"""How long a line has to wait."""

import pytest

from examples.chat.errors import TooMany
from examples.chat.pace import Pace, Rate


def test_some_at_once_and_then_the_rate():
    """So many lines do not wait; later ones wait for the rate, and a pause gives them back."""
    now = 100.0
    pace = Pace(Rate(4, 2.0), lambda: now)
    assert [pace.wait() for _ in range(6)] == [0, 0, 0, 0, 0.5, 1.0]
    now = 101.0
    assert pace.wait() == 0.5
    now = 1000.0
    assert [pace.wait() for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_the_longest_wait():
    """A line that would wait for longer is refused, and is not counted."""
    pace = Pace(Rate(1, 10.0), lambda: 0.0)
    assert (pace.wait(15.0), pace.wait(15.0)) == (0.0, 10.0)
    for _ in range(3):
        with pytest.raises(TooMany):
            pace.wait(15.0)
    assert pace.wait(20.0) == 20.0
