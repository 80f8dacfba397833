"""Credit: what a producer may send, what a reader gives back, and its text in metadata."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.objects.credit import Allowance, Credit, credit_in, credit_text
from jelly.errors import ProtocolError


def test_a_frame_may_use_more_bytes_than_are_left() -> None:
    """The bytes can fall below 0 by one frame; then nothing may be sent."""
    credit = Credit(10, 5)
    credit.take(2, 100)
    assert (credit.items, credit.size, credit.is_spent) == (8, -95, True)
    credit.add(0, 95)
    assert credit.is_spent
    credit.add(0, 1)
    assert not credit.is_spent
    credit.take(8, 0)
    assert credit.is_spent


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([(4, 1)], "stream 7: 1 items beyond its credit"),
        ([(3, 1), (300, 1)], "stream 7: 300 items beyond its credit"),
        ([(1, 10), (1, 1)], "stream 7: a frame beyond its credit of bytes"),
    ],
)
def test_beyond(frames: list[tuple[int, int]], text: str) -> None:
    """The first frame beyond the credit ends the connection."""
    allowance = Allowance(3, 10)
    for frame in frames[:-1]:
        allowance.charge(7, *frame)
    with pytest.raises(ProtocolError) as caught:
        allowance.charge(7, *frames[-1])
    assert str(caught.value) == text


def test_giving_back() -> None:
    """Credit goes back when half of the items, or of the bytes, is used; none is lost."""
    allowance = Allowance(8, 100)
    assert allowance.give_back(3, 10) is None
    assert allowance.give_back(1, 10) == (4, 20)
    assert allowance.give_back(1, 49) is None
    assert allowance.give_back(1, 1) == (2, 50)
    allowance.raise_by(100)
    assert allowance.give_back(1, 99) is None
    assert allowance.give_back(0, 1) == (1, 100)


@given(st.integers(1, 300), st.integers(1, 3000), st.lists(st.integers(0, 400)), st.data())
def test_both_ends_count_the_same(items: int, size: int, sizes: list[int], data: Any) -> None:
    """A producer that keeps to its credit is never refused, and never without credit for ever."""
    credit, allowance, waiting = Credit(items, size), Allowance(items, size), []
    sent = taken = 0
    while taken < len(sizes):
        if sent < len(sizes) and not credit.is_spent and (not waiting or data.draw(st.booleans())):
            count = min(data.draw(st.integers(1, 5)), credit.items, len(sizes) - sent)
            frame = count, sum(sizes[sent : sent + count])
            credit.take(*frame)
            allowance.charge(1, *frame)
            waiting.append(frame)
            sent += count
        else:
            frame = waiting.pop(0)
            taken += frame[0]
            given = allowance.give_back(*frame)
            if given is not None:
                credit.add(*given)
    assert sent == len(sizes)


@pytest.mark.parametrize(
    ("text", "credit"),
    [
        ("1,1", (1, 1)),
        ("0,0", (1, 1)),
        ("300,65536", (300, 65536)),
        ("", None),
        ("1", None),
        ("1,", None),
        ("-1,5", None),
        ("1,5,6", None),
        ("1 ,5", None),
        ("\u0661,5", None),
        ("1" * 400 + ",5", None),
    ],
)
def test_in_metadata(text: str, credit: tuple[int, int] | None) -> None:
    """Only two numbers count; a peer may send any text."""
    assert credit_in({"credit": text}) == credit
    if credit is not None:
        assert credit_in({"credit": credit_text(credit)}) == credit


def test_no_metadata() -> None:
    """Without the key there is no credit."""
    assert credit_in(None) is None
    assert credit_in({"x-other": "1,1"}) is None
