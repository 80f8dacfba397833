"""Counters of one connection."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.stats import Stats
from broker.flavors.rebuilt import rebuilt
from broker.limit_errors import limit_error
from jelly.errors import InsecureJelly, LimitExceeded, TooLarge
from jelly.limit_errors import limit_error as of_jelly


@pytest.mark.parametrize(
    ("make", "name"),
    [(of_jelly, "max_string"), (of_jelly, "max_decimal_exponent"), (limit_error, "max_refs")],
)
def test_limits_are_counted_by_name(make: Any, name: str) -> None:
    """An error of a limit is counted by the name of its setting, even if its text has changed."""
    stats = Stats()
    error = make(LimitExceeded, name, 10, 20)
    stats.count_limit(error)
    error.args = ("other words",)
    stats.count_limit(error)
    assert stats.limits == {name: 2}


class Mine(LimitExceeded):
    """An error of an application with a field that a peer can set."""

    limit: str


def test_texts_of_others_are_not_counted() -> None:
    """An error that came from another peer, with any text, makes no new counter."""
    stats = Stats()
    theirs = rebuilt(LimitExceeded, "more than 10 live references (max_refs)", {})
    assert theirs is not None
    assert (theirs.limit, theirs.most, theirs.got) == ("", None, None)
    mine = Mine("x")
    mine.limit = "max_refs"
    for error in (
        theirs,
        mine,
        LimitExceeded("more than 10 live references (max_refs)"),
        LimitExceeded(""),
        limit_error(TooLarge, "max_string", 10, 20),
        InsecureJelly("(max_refs)"),
    ):
        stats.count_limit(error)
    assert not stats.limits
