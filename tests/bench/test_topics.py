"""The measurement of topics over nodes: it runs, and measures what it says."""

from __future__ import annotations

from pathlib import Path

from bench.topics import ROWS, Row, measured
from support.nats_server import NatsServer


def test_a_row_of_each_kind(tmp_path: Path) -> None:
    """Nodes in memory and on NATS, and nats-py alone: all that is published is heard, in time."""
    server = NatsServer(tmp_path)
    server.start()
    try:
        for row in (
            Row("memory", 1, 3, 5, 20, is_memory=True),
            Row("NATS", 3, 2, 5, 20),
            Row("nats-py alone", 0, 6, 5, 20),
        ):
            found = measured(row, server.url)
            assert 0 < found.p50 <= found.p99, row
            assert found.rate > 0 and min(found.single, found.many, found.readers) >= 0, row
    finally:
        server.kill()


def test_what_is_compared() -> None:
    """One node, three nodes and nats-py alone are measured; three also with 2,000 each."""
    assert {row.nodes for row in ROWS} == {0, 1, 3}
    assert (3, 2000) in {(row.nodes, row.subscribers) for row in ROWS}
