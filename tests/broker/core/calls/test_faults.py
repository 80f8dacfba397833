"""The fault counter: a few faults fail calls, many end the connection."""

from __future__ import annotations

import pytest

from broker.core.calls.faults import FaultCounter
from broker.core.policy import STRICT
from broker.core.stats import Stats
from broker.errors import NoSuchObject
from broker.limit_errors import limit_error
from jelly.errors import LimitExceeded, ProtocolError

UNKNOWN = NoSuchObject("object 5 is not exported to this connection")
TOO_MANY = limit_error(LimitExceeded, "max_refs", 10_000)


@pytest.mark.parametrize(
    ("error", "most", "limit"), [(UNKNOWN, 100, "max_unknown"), (TOO_MANY, 3, "max_strikes")]
)
def test_the_last_one_ends_it(error: Exception, most: int, limit: str) -> None:
    """The faults before it are only counted."""
    stats = Stats()
    strikes = FaultCounter(STRICT, stats)
    for _ in range(most - 1):
        strikes.count(error)
    assert not stats.limits
    with pytest.raises(ProtocolError) as caught:
        strikes.count(error)
    assert (str(caught.value), caught.value.limit) == (str(error), limit)
    assert stats.limits == {limit: 1}


def test_each_has_its_own_count() -> None:
    """Faults of one kind do not count as those of the other, and other faults not at all."""
    strikes = FaultCounter(STRICT.but(max_unknown=2, max_strikes=2), Stats())
    for error in (UNKNOWN, TOO_MANY):
        strikes.count(error)
    for error in (
        limit_error(LimitExceeded, "max_key_nodes", 10_000),
        LimitExceeded(str(TOO_MANY)),
        KeyError("x"),
        type("Mine", (NoSuchObject,), {})("x"),
    ) * 5:
        strikes.count(error)
    with pytest.raises(ProtocolError):
        strikes.count(UNKNOWN)
