"""The tables of the open streams: numbers, limits, credit, and what is held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.core.objects.streams import LARGE_WINDOW, Streams
from broker.core.objects.tables import Numbers
from broker.core.wire.messages import Items
from broker.core.wire.terms import BASELINE, Taken, Terms
from broker.errors import ServerBusy
from jelly.errors import LimitExceeded, MalformedJelly, ProtocolError


async def nothing() -> AsyncIterator[object]:
    """Make no items."""
    for item in ():
        yield item


def streams(terms: Terms = BASELINE, most: int = 64) -> Streams:
    """The streams of one end."""
    return Streams(Numbers().next, Taken(most, 256, 262_144, 64), terms)


def test_the_peer_takes_so_many() -> None:
    """The smaller of both limits counts, and an ended stream does not."""
    for terms, most, allowed in ((Terms(streams=3), 64, 3), (Terms(streams=64), 2, 2)):
        table = streams(terms, most)
        opened = [table.open(nothing(), None, "rows") for _ in range(allowed)]
        with pytest.raises(
            ServerBusy, match=rf"^{allowed} streams open \(max_streams\)$"
        ) as caught:
            table.open(nothing(), None, "rows")
        assert (caught.value.limit, caught.value.most) == ("max_streams", allowed)
        del table.outgoing[opened[0].number]
        assert table.open(nothing(), None, "rows").number == allowed + 1


def test_terms_that_come_late() -> None:
    """The difference to the baseline is added to the streams that were opened before."""
    table = streams()
    early = table.open(nothing(), None, "rows")
    early.credit.take(10, 1000)
    table.take_terms(Terms(items=256, window=262_144))
    assert (early.credit.items, early.credit.size) == (246, 261_144)
    assert table.open(nothing(), None, "rows").credit.items == 256


def test_a_producer_that_waits_for_late_terms() -> None:
    """It goes on when the terms come: the reader gives no credit before half of them is used."""
    table = streams(BASELINE)
    stream = table.open(nothing(), None, "rows")
    stream.credit.take(BASELINE.items, 0)
    seen: list[int] = []

    class Waiting:
        """A producer that waits for credit."""

        def credited(self) -> None:
            """Note how much there is."""
            seen.append(stream.credit.items)

        def stop(self) -> None:
            """End."""

    stream.producer = Waiting()
    table.take_terms(Terms(items=BASELINE.items + 10))
    assert seen == [10]


def test_a_caller_that_gives_less() -> None:
    """It lowers both numbers, and raises none."""
    table = streams()
    for first, expected in (((1, 1 << 30), (1, 65_536)), ((1 << 30, 5), (64, 5))):
        credit = table.open(nothing(), None, "rows", first).credit
        assert (credit.items, credit.size) == expected


def test_numbers_of_readers() -> None:
    """A message about an ended stream crosses its end; one about no stream ends the connection."""
    table = streams()
    with pytest.raises(ProtocolError, match=r"^stream 1 is not open$"):
        table.read_by_peer(1)
    stream = table.open(nothing(), None, "rows")
    assert table.read_by_peer(1) is stream
    del table.outgoing[1]
    assert table.read_by_peer(1) is None
    with pytest.raises(ProtocolError, match=r"^stream 2 is not open$"):
        table.read_by_peer(2)


def test_numbers_of_producers() -> None:
    """They are open until their end."""
    table = streams()
    with pytest.raises(ProtocolError, match=r"^stream 5 is not open$"):
        table.made_by_peer(5)
    stream = table.receive(5, None, None)
    assert table.made_by_peer(5) is stream
    with pytest.raises(MalformedJelly, match=r"^stream 5 is open already$"):
        table.receive(5, None, None)
    stream.is_ended = True
    with pytest.raises(ProtocolError, match=r"^stream 5 is not open$"):
        table.made_by_peer(5)


def test_too_many_of_the_peer() -> None:
    """One more is refused, and kept until the peer has ended it."""
    table = streams(most=2)
    for number in (1, 2):
        table.receive(number, None, None)
    with pytest.raises(LimitExceeded, match=r"^more than 2 streams \(max_streams\)$"):
        table.receive(3, None, None)
    assert table.incoming[3].is_stopped
    table.incoming[1].is_ended = table.incoming[3].is_ended = True
    assert not table.receive(4, None, None).is_stopped


def test_too_many_bytes_of_ended_streams() -> None:
    """Streams that have ended and were not taken count by their bytes."""
    table = streams(most=2)
    table.receive(1, None, None).is_ended = True
    table.held = table.most_held + 1
    with pytest.raises(LimitExceeded):
        table.receive(2, None, None)


@pytest.mark.parametrize(("most", "held"), [(2, 32 << 20), (64, 32 << 20), (128, 64 << 20)])
def test_most_held(most: int, held: int) -> None:
    """It is twice the first credit of all streams, and at least 32 MiB."""
    assert streams(most=most).most_held == held


@pytest.mark.parametrize("most", [2, 200])
def test_refusing_without_end(most: int) -> None:
    """Beyond twice the streams that any terms allow, the connection ends."""
    table = streams(most=most)
    allowed = 2 * max(most, BASELINE.streams)
    for number in range(1, allowed + 2):
        assert table.refuse(number)
    with pytest.raises(ProtocolError, match=rf"^more than {allowed} streams \(max_streams\)$"):
        table.refuse(allowed + 2)


def test_refusing() -> None:
    """A stream that is not read is in the table, once."""
    table = streams()
    assert table.refuse(5)
    assert table.incoming[5].is_stopped
    assert not table.refuse(5)


def test_forgetting() -> None:
    """What was not taken is dropped; the number is kept until the end has come."""
    table = streams()
    stream: Any = table.receive(5, None, None)
    stream.frames.append((Items, b"\x91\x01", 1, 5))
    stream.held = table.held = 5
    table.forget(stream)
    assert (table.held, stream.held, len(stream.frames), 5 in table.incoming) == (0, 0, 0, True)
    stream.is_ended = True
    table.forget(stream)
    assert table.incoming == {}


def test_streams_of_bytes() -> None:
    """They get more credit, as long as all together have no more than the usual credit of all."""
    table = streams(most=64)
    opened = [table.receive(number, None, None) for number in range(60)]
    extra = LARGE_WINDOW - 262_144
    assert table.raise_credit(opened[0]) == extra
    assert table.raise_credit(opened[1]) == 0
    for stream in opened[2:]:
        stream.is_ended = True
    assert [table.raise_credit(opened[1]), opened[1].is_large] == [extra, True]
    assert (
        Streams(Numbers().next, Taken(64, 256, LARGE_WINDOW, 64), BASELINE).raise_credit(opened[0])
        == 0
    )
