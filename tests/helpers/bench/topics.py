"""Topics by time: from publishing to hearing, and deliveries a second, beside nats-py alone.

``make topics`` runs this. Each node is a process, and so are the subscribers of each node, every
one on a connection of its own; all share one NATS server with JetStream. First messages are
published one by one, each after all have heard the one before; then many at once. nats-py alone has
core NATS, without history and positions, and all its subscriptions on one connection.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.folders import ROOT
from support.nats_server import NatsServer
from support.programs import command, environment

__all__ = ["ROWS", "Figures", "Part", "Row", "cpu_of", "heard", "main", "measured", "part"]


@dataclass(frozen=True)
class Row:
    """What is measured.

    Attributes:
        name: as it is printed.
        nodes: how many; 0 for nats-py alone.
        subscribers: of each node, or of nats-py.
        rounds: messages that are published one by one.
        load: messages that are published at once.
        is_memory: whether the engine is that of one process.
    """

    name: str
    nodes: int
    subscribers: int
    rounds: int
    load: int
    is_memory: bool = False


ROWS = (
    Row("memory, 1 node x 50", 1, 50, 300, 1000, is_memory=True),
    Row("NATS, 1 node x 50", 1, 50, 300, 1000),
    Row("NATS, 3 nodes x 50", 3, 50, 300, 1000),
    Row("nats-py alone, 150", 0, 150, 300, 1000),
    Row("NATS, 3 nodes x 2,000", 3, 2000, 20, 50),
    Row("nats-py alone, 6,000", 0, 6000, 20, 50),
)


@dataclass
class Figures:
    """What was measured.

    Attributes:
        p50, p99: milliseconds from publishing to hearing.
        rate: deliveries a second.
        single: microseconds of the processor of the nodes for a delivery, one by one; of the
            publisher with nats-py.
        many: the same while many are published.
        readers: the same of the subscribers, one by one.
    """

    p50: float
    p99: float
    rate: float
    single: float
    many: float
    readers: float


class Part:
    """A process of `bench.topics_part`."""

    def __init__(self, *arguments: str):
        self._process = subprocess.Popen(
            command("bench.topics_part", *arguments),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(PYTHONPATH=str(ROOT)),
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(self, number: int) -> None:
        """Write a number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Read a line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """Kill it: what it has measured is here."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def part(*arguments: str) -> Iterator[Part]:
    """Run a process while the block runs."""
    made = Part(*arguments)
    try:
        yield made
    finally:
        made.end()


def heard(publisher: Part, ears: list[Part], count: int) -> tuple[float, list[dict[str, Any]]]:
    """Publish messages; return when that began, and what each part has heard."""
    for each in ears:
        each.ask(count)
    publisher.ask(count)
    begin: float = publisher.answer()["begin"]
    return begin, [each.answer() for each in ears]


def measured(row: Row, url: str) -> Figures:
    """Measure a row, with the NATS server at a URL."""
    with ExitStack() as stack:
        if row.nodes:
            where = "memory" if row.is_memory else url
            nodes = [stack.enter_context(part("node", where)) for _ in range(row.nodes)]
            places = [("subscribers", node.answer()) for node in nodes]
        else:
            nodes = [stack.enter_context(part("nats-publisher", url))]
            nodes[0].answer()
            places = [("nats-subscribers", url)]
        ears = [stack.enter_context(part(*at, str(row.subscribers))) for at in places]
        for each in ears:
            each.answer()
        _, found = heard(nodes[0], ears, 1)
        hearers = row.subscribers * len(ears)
        times: list[float] = []
        before, readers = cpu_of(nodes), sum(one["cpu"] for one in found)
        for _ in range(row.rounds):
            _, found = heard(nodes[0], ears, 1)
            for one in found:
                times += one["times"]
        between = cpu_of(nodes)
        readers = (sum(one["cpu"] for one in found) - readers) / len(times)
        single = (between - before) / len(times)
        begin, found = heard(nodes[0], ears, row.load)
        total = row.load * hearers
        many = (cpu_of(nodes) - between) / total
    times.sort()
    p50, p99 = (times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
    rate = total / (max(one["end"] for one in found) - begin)
    return Figures(p50, p99, rate, single * 1e6, many * 1e6, readers * 1e6)


def cpu_of(nodes: list[Part]) -> float:
    """Return the processor seconds of nodes so far."""
    for node in nodes:
        node.ask(0)
    return sum(float(node.answer()["cpu"]) for node in nodes)


def main() -> None:
    """Measure each row, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="rows whose names have this text")
    only = parser.parse_args().only or ""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f} before the measurement")
    heads = ("p50", "p99", "deliveries/s", "node", "at once", "reader")
    print(f"{'':22} " + " ".join(f"{head:>12}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder))
        server.start()
        try:
            for row in ROWS:
                if only in row.name:
                    it = measured(row, server.url)
                    cells = [f"{it.p50:.2f} ms", f"{it.p99:.2f} ms", f"{it.rate:,.0f}"]
                    cells += [f"{each:.1f} µs" for each in (it.single, it.many, it.readers)]
                    print(f"{row.name:22} " + " ".join(f"{each:>12}" for each in cells), flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
