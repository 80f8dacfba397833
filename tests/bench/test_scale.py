"""The model of a large cluster: its page is what it computes, and its figures hang together."""

from __future__ import annotations

import msgspec
import pytest
from scale.model import PAGE, Cluster, Costs, blocks, death, measured_costs, with_blocks

SMALL = Costs(
    nats_in=10.0,
    nats_out=2.0,
    read=10.0,
    deliver=20.0,
    join=400.0,
    memory=20_000.0,
    lease=5.0,
    nats_replay=1000.0,
    nats_claim=200.0,
    nats_find=100.0,
    nats_renew=50.0,
)


def test_the_page() -> None:
    """The page has the tables of the model; ``make scale ARGS=--write`` renews them."""
    page = PAGE.read_text("utf-8")
    assert with_blocks(page, Cluster(measured_costs())) == page


def test_events() -> None:
    """With few nodes the nodes are the limit, with many the NATS server; by the costs alone."""
    few = Cluster(SMALL, nodes=2, subscribers=1000, nats=1)
    assert few.nats_event() == 14.0
    assert few.node_event(100) == 1010.0
    assert few.events(100) == (pytest.approx(1e6 / 1010), "the nodes")
    many = msgspec.structs.replace(few, nodes=1000)
    assert many.events(100) == (pytest.approx(1e6 / 2010), "the NATS server")
    # Each member is told of 0.3 times a second.
    assert many.members() == (pytest.approx(1e6 / 2010 / 0.3), "the NATS server")


def test_a_death() -> None:
    """All clients come back; no sooner than the replays take, and later with more of them."""
    cluster = Cluster(SMALL, nodes=100, subscribers=100_000, nats=1)
    found = death(cluster)
    assert 0 < found.half < found.most <= found.last
    # 1,000 replays of a millisecond by one processor; the clients come within half a second.
    assert 1.0 <= found.last < 1.6
    assert 400 < found.waiting < 1000
    assert death(cluster) == found
    assert death(msgspec.structs.replace(cluster, nats=8)).last < 0.6


def test_the_tables() -> None:
    """Each table has a head, and rows of the same length."""
    names = []
    for name, text in blocks(Cluster(SMALL)):
        names.append(name)
        rows = [line.count("|") for line in text.splitlines()]
        assert len(rows) > 3 and len(set(rows)) == 1, name
    assert names == ["costs", "events", "nodes", "joins", "death"]
