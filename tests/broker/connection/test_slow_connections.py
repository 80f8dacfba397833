"""Slow connections: what counts as slow."""

from __future__ import annotations

from support.memory import BrokerPair

from broker.core.policy import STRICT
from broker.flavors.referenceable import Root


def test_a_connection_that_takes_nothing() -> None:
    """It is slow once more than the high water mark is unsent, and no more when it has drained."""
    pair = BrokerPair(Root(), policy=STRICT.but(high_water=1000))
    transport = pair.transport(pair.server)
    assert not pair.server.pump.is_slow()
    transport.unsent = 1001
    pair.server.session.outbox.unsent.append(b"x" * 1001)
    # It is written here: what waits in the outbox is not seen as unsent.
    assert pair.server.pump.is_slow()
    assert transport.take() == b"x" * 1001
    told: list[int] = []
    pair.server.pump.when_drained(lambda: told.append(1))
    transport.unsent = 0
    pair.server.pump.drained()
    assert told == [1]
    assert not pair.server.pump.is_slow()
