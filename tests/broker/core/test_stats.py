"""Counters of one connection."""

from __future__ import annotations

import pytest

from broker.core.stats import Stats
from jelly.errors import InsecureJelly, LimitExceeded


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("string of 700000 bytes (max_string 655360)", "max_string"),
        ("more than 10 live references (max_refs)", "max_refs"),
        ("expression of more than 7 nodes (max_nodes)", "max_nodes"),
        ("decimal exponent out of range (max_decimal_exponent)", "max_decimal_exponent"),
    ],
)
def test_limits_are_counted_by_name(text: str, name: str) -> None:
    """An error of a limit counts under the name that its text ends with."""
    stats = Stats()
    stats.count_limit(LimitExceeded(text))
    stats.count_limit(LimitExceeded(text))
    assert stats.limits == {name: 2}


def test_texts_of_others_are_not_counted() -> None:
    """An error that came from another peer, with any text, makes no new counter."""
    stats = Stats()
    for number in range(100):
        stats.count_limit(LimitExceeded(f"whatever (max_{number})"))
    stats.count_limit(LimitExceeded(""))
    stats.count_limit(InsecureJelly("(max_refs)"))
    assert not stats.limits
