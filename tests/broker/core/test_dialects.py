"""Dialects are records: a name, a reader and a writer for one connection."""

from __future__ import annotations

import pytest

from broker.core.dialects import DIALECTS, NONE, PB, PUBLISHED_DIALECTS, Dialect
from jelly.errors import LimitExceeded, TooLarge
from jelly.limits import Limits

SMALL = Limits(max_string=5, max_list=3)


def test_the_offer() -> None:
    """Ours is offered first, then PB's two, the one with a vocabulary before the other."""
    assert [dialect.name for dialect in DIALECTS] == [b"msgpack/1", b"pb", b"none"]


@pytest.mark.parametrize("dialect", PUBLISHED_DIALECTS)
def test_reader_and_writer(dialect: Dialect) -> None:
    """What the writer of a dialect writes, its reader reads."""
    reader, writer = dialect.reader(Limits()), dialect.writer(Limits())
    reader.feed(writer.encode([b"message", 1, [b"None"]]))
    assert reader.read() == [[b"message", 1, [b"None"]]]


@pytest.mark.parametrize("dialect", PUBLISHED_DIALECTS)
def test_the_limits_are_the_connections(dialect: Dialect) -> None:
    """Both ends of a dialect go by the limits that they were given."""
    for expression in ([b"123456"], [[1, 2, 3, 4]]):
        with pytest.raises(TooLarge):
            dialect.writer(SMALL).encode(expression)
        reader = dialect.reader(SMALL)
        reader.feed(dialect.writer(Limits()).encode(expression))
        with pytest.raises(LimitExceeded):
            reader.read()


def test_the_two_differ() -> None:
    """Only ``pb`` has words."""
    assert len(PB.writer(Limits()).encode(b"message")) == 2
    assert len(NONE.writer(Limits()).encode(b"message")) == 9
