"""Dialects are records: a name, a reader and a writer for one connection."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.dialects import DIALECTS, NONE, PB, PUBLISHED_DIALECTS, Dialect
from broker.core.messages import Decref
from jelly.errors import LimitExceeded, TooLarge
from jelly.limits import Limits

SMALL = Limits(max_string=5, max_list=3)


def test_the_offer() -> None:
    """Ours is offered first, then PB's two, the one with a vocabulary before the other."""
    assert [dialect.name for dialect in DIALECTS] == [b"msgpack/1", b"pb", b"none"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_reader_and_writer(dialect: Dialect) -> None:
    """What the writer of a dialect writes, its reader reads."""
    inbox: list[Any] = []
    dialect.reader(Limits()).receive(dialect.writer(Limits()).encode([b"decref", 7]), inbox)
    assert inbox == [Decref(7)]


@pytest.mark.parametrize("dialect", PUBLISHED_DIALECTS)
def test_the_limits_are_the_connections(dialect: Dialect) -> None:
    """Both ends of a dialect go by the limits that they were given."""
    for expression in ([b"123456"], [[1, 2, 3, 4]]):
        with pytest.raises(TooLarge):
            dialect.writer(SMALL).encode(expression)
        data = dialect.writer(Limits()).encode(expression)
        with pytest.raises(LimitExceeded):
            dialect.reader(SMALL).receive(data, [])


def test_the_two_differ() -> None:
    """Only ``pb`` has words."""
    assert len(PB.writer(Limits()).encode(b"message")) == 2
    assert len(NONE.writer(Limits()).encode(b"message")) == 9
