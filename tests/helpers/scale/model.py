"""The model of a cluster with many nodes: what an event, a join and the death of a node cost.

``make scale`` prints its tables; ``--write`` puts them into ``docs/explanation/scale.md``, and
``--measure`` takes the costs anew on this machine first. The model adds up processor time, so its
figures are the most that is possible: a real cluster has less, since nothing waits in it.
"""

from __future__ import annotations

import argparse
import heapq
import random
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from support.folders import DOCS

from broker.retry import Retry

__all__ = ["PAGE", "Cluster", "Costs", "blocks", "death", "main", "with_blocks"]

PAGE = DOCS / "explanation" / "scale.md"
COSTS = Path(__file__).with_name("costs.json")


class Costs(msgspec.Struct, frozen=True):
    """Microseconds of one processor for each operation, and bytes.

    Attributes:
        nats_in: the NATS server takes and stores a message.
        nats_out: the NATS server sends a message to one node.
        read: a node takes a message, also one without a subscriber there.
        deliver: a node sends a message to one subscriber.
        join: a node takes a connection with one subscription, without a login and TLS.
        memory: the memory of such a connection at the node.
        lease: a node takes the lease of a member of another node.
        nats_replay: the NATS server replays 100 messages to a subscriber who comes back.
        nats_claim: the NATS server lets a node claim a name.
        nats_find: the NATS server tells a node who holds a name.
        nats_renew: the NATS server renews the lease of a node.
    """

    nats_in: float
    nats_out: float
    read: float
    deliver: float
    join: float
    memory: float
    lease: float
    nats_replay: float
    nats_claim: float
    nats_find: float
    nats_renew: float


class Cluster(msgspec.Struct, frozen=True):
    """What is modelled.

    Attributes:
        costs: of the operations.
        nodes: processes with one processor each.
        subscribers: of all nodes together, spread evenly.
        nats: processors of the NATS server that leads the stream.
        lease: seconds of a lease; it is renewed three times in it.
    """

    costs: Costs
    nodes: int = 1000
    subscribers: int = 10_000_000
    nats: int = 8
    lease: float = 10.0

    @property
    def each(self) -> float:
        """The subscribers of one node."""
        return self.subscribers / self.nodes

    def nats_event(self) -> float:
        """Return the microseconds of the NATS server for an event."""
        return self.costs.nats_in + self.nodes * self.costs.nats_out

    def node_event(self, hearers: float) -> float:
        """Return the microseconds of each node for an event with so many hearers, spread evenly."""
        return self.costs.read + hearers / self.nodes * self.costs.deliver

    def events(self, hearers: float) -> tuple[float, str]:
        """Return how many events a second are possible, and what has no time for more."""
        nats = self.nats * 1e6 / self.nats_event()
        node = 1e6 / self.node_event(hearers)
        return min((nats, "the NATS server"), (node, "the nodes"))

    def members(self) -> tuple[float, str]:
        """Return how many members can be present, if nothing else happens, and what limits it."""
        renewals = 3 / self.lease
        nats = self.nats * 1e6 / self.nats_event() / renewals
        node = 1e6 / self.costs.lease / renewals
        return min((nats, "the NATS server"), (node, "the nodes"))


class Death(msgspec.Struct):
    """How the clients of a node come back after its death.

    Attributes:
        half, most, last: seconds after which half, 99 % and all of them hear again.
        waiting: how many waited for their replay at the worst moment.
    """

    half: float
    most: float
    last: float
    waiting: int


def death(cluster: Cluster, seed: int = 1) -> Death:
    """Simulate the death of a node whose clients know addresses of other nodes.

    Each client waits for the first delay of `broker.Retry`, and tries another node. That takes one
    client after the other; then the NATS server replays what the client has missed.
    """
    dice, retry, costs = random.Random(seed), Retry(), cluster.costs
    arrivals = [
        (dice.uniform(0, retry.first), dice.randrange(cluster.nodes - 1))
        for _ in range(round(cluster.each))
    ]
    free = [0.0] * (cluster.nodes - 1)
    joined: list[float] = []
    for now, node in sorted(arrivals):
        free[node] = max(now, free[node]) + costs.join / 1e6
        joined.append(free[node])
    servers = [0.0] * cluster.nats
    ends: list[float] = []
    waiting: list[float] = []
    most = 0
    for now in sorted(joined):
        end = max(now, heapq.heappop(servers)) + costs.nats_replay / 1e6
        heapq.heappush(servers, end)
        ends.append(end)
        while waiting and waiting[0] <= now:
            heapq.heappop(waiting)
        heapq.heappush(waiting, end)
        most = max(most, len(waiting))
    ends.sort()
    half, nearly = (ends[int(len(ends) * part)] for part in (0.5, 0.99))
    return Death(half, nearly, ends[-1], most)


def short(number: float) -> str:
    """Return a number with two or three digits that count."""
    if number >= 100:
        digits = 10 ** (len(str(int(number))) - 2)
        return f"{round(number / digits) * digits:,}"
    return f"{number:.3g}" if number < 10 else f"{number:.0f}"


def seconds(microseconds: float) -> str:
    """Return a time with its unit."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{short(microseconds / size)} {unit}"
    return f"{short(microseconds)} µs"


def table(*rows: tuple[str, ...]) -> str:
    """Return a table of Markdown; the first row is the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)


def _costs(costs: Costs) -> str:
    texts = re.split(r"\n {8}(?=\w+: )", (Costs.__doc__ or "").partition("Attributes:")[2])
    rows = [("operation", "cost")]
    for text in texts[1:]:
        name, _, what = text.strip().partition(": ")
        value = getattr(costs, name)
        shown = f"{value / 1000:.0f} KB" if name == "memory" else seconds(value)
        rows.append((" ".join(what.split()).rstrip("."), shown))
    return table(*rows)


def _events(cluster: Cluster) -> str:
    rows = [("heard by", "NATS server", "each node", "all nodes", "events a second", "limited by")]
    for hearers in (100, 10_000, 1_000_000, cluster.subscribers):
        most, limit = cluster.events(hearers)
        node = cluster.node_event(hearers)
        rows.append(
            (
                f"{hearers:,}",
                seconds(cluster.nats_event()),
                seconds(node),
                seconds(node * cluster.nodes),
                short(most),
                limit,
            )
        )
    return table(*rows)


def _nodes(cluster: Cluster) -> str:
    rows = [("nodes", "events a second, each heard by 100", "limited by", "members present")]
    for nodes in (1, 3, 10, 30, 100, 300, 1000):
        smaller = msgspec.structs.replace(cluster, nodes=nodes)
        most, limit = smaller.events(100)
        rows.append((f"{nodes:,}", short(most), limit, short(smaller.members()[0])))
    return table(*rows)


def _joins(cluster: Cluster) -> str:
    costs = cluster.costs
    renewals = 3 / cluster.lease
    return table(
        ("a join", "cost"),
        ("at its node, once", seconds(costs.join)),
        ("memory of its node", f"{costs.memory / 1000:.0f} KB"),
        ("10,000 at one node: its processor", seconds(cluster.each * costs.join)),
        ("10,000 at one node: its memory", f"{cluster.each * costs.memory / 1e6:.0f} MB"),
        ("with presence: NATS server, each second", seconds(renewals * cluster.nats_event())),
        (
            "with presence: all nodes, each second",
            seconds(renewals * cluster.nodes * costs.lease),
        ),
        ("most members that can be present", short(cluster.members()[0])),
    )


def _death(cluster: Cluster) -> str:
    costs, found = cluster.costs, death(cluster)
    names = 10_000
    return table(
        ("the death of a node", "figure"),
        ("clients that come back", short(cluster.each)),
        ("at each other node", seconds(cluster.each / (cluster.nodes - 1) * costs.join)),
        ("replays, NATS server", seconds(cluster.each * costs.nats_replay / cluster.nats)),
        ("half of the clients hear again after", f"{found.half:.1f} s"),
        ("99 % after", f"{found.most:.1f} s"),
        ("the last one after", f"{found.last:.1f} s"),
        ("most that wait for a replay", short(found.waiting)),
        ("its names are free after", f"{cluster.lease:g} s"),
        (
            f"{names:,} names claimed by others, NATS server",
            seconds(names * costs.nats_claim / cluster.nats),
        ),
        (
            "leases of all nodes, NATS server, each second",
            seconds(cluster.nodes * 3 / cluster.lease * costs.nats_renew),
        ),
    )


def blocks(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each table."""
    yield "costs", _costs(cluster.costs)
    yield "events", _events(cluster)
    yield "nodes", _nodes(cluster)
    yield "joins", _joins(cluster)
    yield "death", _death(cluster)


def with_blocks(page: str, cluster: Cluster) -> str:
    """Return the page with the tables between the comments of their names."""
    for name, text in blocks(cluster):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = page.partition(begin)
        assert found, name
        page = before + begin + "\n" + text + "\n\n" + end + rest.partition(end)[2]
    return page


def measured_costs() -> Costs:
    """Return the costs that were measured last."""
    return msgspec.json.decode(COSTS.read_bytes(), type=Costs)


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs first")
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    chosen = parser.parse_args()
    if chosen.measure:
        from scale.measure import measure

        made = msgspec.json.format(msgspec.json.encode(measure()), indent=2)
        COSTS.write_bytes(made + b"\n")
    cluster = Cluster(measured_costs())
    if chosen.write:
        PAGE.write_text(with_blocks(PAGE.read_text("utf-8"), cluster), "utf-8")
    for _, text in blocks(cluster):
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
