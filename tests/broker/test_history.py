"""History: which entries are kept, and from where one can go on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import broker
from broker.history import History, Position, Recent


def recent(now: Any = lambda: 0.0, **limits: Any) -> Recent[str]:
    """Return a history of three entries, of 10 bytes each, with offsets from 1."""
    made: Recent[str] = Recent(History(**limits), now)
    for offset, item in enumerate("abc", 1):
        made.add(offset, item, 10)
    return made


def test_the_defaults() -> None:
    """1,000 entries of 16 MiB together, without a limit of age."""
    assert History() == broker.History(most=1000, seconds=None, size=16_777_216)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, "abc"),
        ({"most": 2}, "bc"),
        ({"most": 0}, ""),
        ({"size": 29}, "bc"),
        ({"size": 30}, "abc"),
        ({"size": 9}, ""),
    ],
)
def test_the_oldest_entry_goes(limits: dict[str, Any], kept: str) -> None:
    """By the number of entries, and by their bytes."""
    made = recent(**limits)
    assert len(made) == len(kept)
    assert made.size == 10 * len(kept)
    assert made.forgotten == 3 - len(kept)
    assert [made.get(offset) for offset in range(5)] == [
        None,
        *([None] * (3 - len(kept))),
        *kept,
        None,
    ]
    for offset in range(5):
        found = made.since(offset)
        if offset < 3 - len(kept):
            assert found is None
        else:
            assert found == [(each, "abc"[each - 1]) for each in range(offset + 1, 4)]


def test_entries_grow_old() -> None:
    """An entry is gone after its seconds, also where nothing is added."""
    clock = [0.0]
    made = recent(lambda: clock[0], seconds=5.0)
    clock[0] = 3.0
    made.add(4, "d", 10)
    clock[0] = 4.99
    assert made.get(1) == "a"
    clock[0] = 5.0
    assert (made.since(2), made.since(3)) == (None, [(4, "d")])
    assert made.get(3) is None
    assert len(made) == 1
    clock[0] = 100.0
    assert (made.forgotten, made.get(4), made.size) == (4, None, 0)


def test_offsets_with_holes() -> None:
    """Whoever has seen all entries up to the last one that is gone can go on."""
    made: Recent[str] = Recent(History(most=2))
    for offset in (3, 7, 20):
        made.add(offset, str(offset), 1)
    assert made.forgotten == 3
    assert made.since(2) is None
    assert made.since(3) == made.since(6) == [(7, "7"), (20, "20")]
    assert made.since(7) == [(20, "20")]
    assert made.since(30) == []


def test_clearing() -> None:
    """Nothing is left, and nobody can go on from before."""
    made = recent()
    made.clear()
    made.clear()
    assert (len(made), made.size, made.forgotten) == (0, 0, 3)
    assert (made.since(2), made.since(3)) == (None, [])


@pytest.mark.parametrize(
    ("limits", "kind", "text"),
    [
        ({"most": -1}, ValueError, "History.most is -1: it cannot be negative"),
        ({"size": -5}, ValueError, "History.size is -5: it cannot be negative"),
        ({"seconds": 0}, ValueError, "History.seconds is 0: it must be positive, or None"),
        ({"seconds": float("nan")}, ValueError, "History.seconds is nan: it must be positive"),
        ({"most": 1.5}, TypeError, "History.most is an int, not float"),
        ({"size": True}, TypeError, "History.size is an int, not bool"),
    ],
)
def test_limits_that_make_no_sense(limits: dict[str, Any], kind: Any, text: str) -> None:
    """They are refused with the name of the limit."""
    with pytest.raises(kind, match=text):
        History(**limits)


def test_a_position_and_its_text() -> None:
    """The text form can be read again; a position crosses as a list of two."""
    place = Position("a.b-_", 17)
    assert str(place) == "a.b-_.17"
    assert Position.read(str(place)) == place
    assert hash(place) == hash(Position("a.b-_", 17))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(place)) == ["a.b-_", 17]


@pytest.mark.parametrize(
    "text",
    ["", ".", "a", "a.", ".5", "a.-5", "a.5.", "a.٣", "a.1_0", "x" * 65 + ".1", "a." + "9" * 19],
)
def test_texts_that_are_no_position(text: str) -> None:
    """Are not read: they are a peer's."""
    assert Position.read(text) is None
