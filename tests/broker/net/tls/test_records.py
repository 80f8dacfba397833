"""Counting TLS records: the number of complete ones, for any split of the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.net.tls.records import RecordCounter


def record(size: int) -> bytes:
    """A record of application data of TLS 1.2 or later."""
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + b"\x16" * size


@given(
    st.lists(st.integers(0, 600).map(record), max_size=8),
    st.lists(st.integers(1, 900), max_size=40),
    st.integers(0, 600),
)
def test_any_pieces(records: list[bytes], sizes: list[int], more: int) -> None:
    """After each piece, as many records have ended as are complete in the bytes so far."""
    data, counter = b"".join(records) + record(more)[: more // 2], RecordCounter()
    ends = [sum(map(len, records[: number + 1])) for number in range(len(records))]
    come = counted = 0
    for size in [*sizes, len(data)]:
        counted += counter.feed(memoryview(data)[come : come + size])
        come = min(come + size, len(data))
        assert counted == sum(end <= come for end in ends)


@pytest.mark.parametrize("at", range(1, 12))
def test_cut_in_two(at: int) -> None:
    """A split in a header, between header and body, or in the body, ends no record early."""
    counter, data = RecordCounter(), record(6)
    assert [counter.feed(data[:at]), counter.feed(data[at:])] == [int(at == 11), int(at < 11)]


def test_nothing() -> None:
    """No bytes end no record, also in the middle of one."""
    counter = RecordCounter()
    assert counter.feed(b"") == 0
    assert counter.feed(record(5)[:7]) == 0
    assert counter.feed(b"") == 0
    assert counter.feed(record(5)[7:]) == 1


def test_the_longest() -> None:
    """The length has two bytes."""
    data = record(0xFFFF)
    counter = RecordCounter()
    assert counter.feed(data[:-1]) == 0
    assert counter.feed(data[-1:] + data) == 2
