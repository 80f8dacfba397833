"""What the newest answers name, in little memory."""

from __future__ import annotations

import random
import sys

from broker.core.calls.promised import MOST_OPEN, Home
from broker.core.calls.remembered import Remembered
from broker.core.wire.msgpack.replies import KeptReply


def test_what_it_knows() -> None:
    """An object, an object of the caller, a call that came home, and elements by step."""
    remembered = Remembered()
    remembered.add(1, 5)
    remembered.add(2, Home(7))
    remembered.add(3, Home(None))
    remembered.add(4, {0: 8, "x": Home(b"root")})
    assert remembered.get(1) == 5
    assert isinstance(remembered.get(2), Home)
    assert remembered.get(2) != Home(None)
    assert remembered.get(3) == Home(None)
    assert remembered.get(4) == {0: 8, "x": Home(b"root")}
    assert remembered.get(5) is None


def test_the_newest() -> None:
    """As many answers are kept as a caller may have open calls, whatever the order of their ids."""
    ids = list(range(1, 3 * MOST_OPEN))
    random.Random(5).shuffle(ids)
    remembered = Remembered()
    for number in ids:
        remembered.add(number, number + 1 if number % 2 else {1: number})
    for number in ids[-MOST_OPEN:]:
        assert remembered.get(number) == (number + 1 if number % 2 else {1: number})
    assert not any(remembered.get(number) for number in ids[:-MOST_OPEN])


def test_a_request_again() -> None:
    """An id that a peer uses again stands for its newest answer."""
    remembered = Remembered()
    for number in (1, 2, 1):
        remembered.add(number, number + remembered.get(1) if remembered.get(1) else 9)  # type: ignore[operator]
    assert remembered.get(1) == 10


def test_its_memory() -> None:
    """Answers that are one reference take 16 bytes each."""
    remembered = Remembered()
    for number in range(10 * MOST_OPEN):
        remembered.add(number, 1 << 60)
    arrays = (remembered._requests, remembered._places)
    assert sum(map(sys.getsizeof, arrays)) < 20 * MOST_OPEN


def test_failures() -> None:
    """The newest errors are kept if they are short."""
    remembered = Remembered()
    for number in range(100):
        remembered.add_failure(number, KeptReply(b"h", b"%d" % number))
    remembered.add_failure(100, KeptReply(b"h", b"x" * 5000))
    assert remembered.failure(99) == KeptReply(b"h", b"99")
    assert remembered.failure(36) is not None
    assert remembered.failure(35) is None
    assert remembered.failure(100) is None
