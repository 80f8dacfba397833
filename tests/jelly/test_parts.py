"""Parts: whole again in order, at about their own size."""

from __future__ import annotations

import tracemalloc

import pytest

from jelly.parts import Parts


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_they_come_out_in_order(count: int) -> None:
    """However many there were; and then there are none."""
    parts = Parts()
    pieces = [number.to_bytes(2, "big") for number in range(count)]
    for piece in pieces:
        parts.add(piece)
    assert parts.size == 2 * count
    assert parts.take() == b"".join(pieces)
    assert (parts.size, parts.take()) == (0, b"")


def test_tiny_ones_cost_little() -> None:
    """Pieces of two bytes take a small part of the 41 that each would take by itself."""
    parts = Parts()
    tracemalloc.start()
    try:
        for number in range(50_000):
            parts.add(number.to_bytes(3, "big")[1:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 3 * parts.size
