"""Counts what one connection has: objects by class, streams, subscriptions, and running calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from broker.connection.broker import Broker
from broker.core.objects.streams import OutgoingStream, Streams
from broker.core.snapshot import RunningCall as Running
from broker.flavors.avatar import AsReferenceable
from broker.flavors.subscribers import deliveries_to
from broker.inspection.contract import RunningCall, StreamSnapshot, SubscriptionSnapshot
from broker.printable import printable

__all__ = ["OLDEST", "Types", "oldest_calls", "streams_of", "subscriptions_of", "types_of"]

OLDEST = 20
"""The most running calls that are shown of a connection."""

_MOST_TYPES = 100
_LONGEST_NAME = 100

Types = dict[str, int]


def types_of(broker: Broker) -> tuple[Types, Types, Types, Types]:
    """Return the exported, imported, sent and received caches of a connection, by class."""
    translator = broker.session.translator
    # A named object has two entries; neither counts as a reference that the peer holds.
    held = (each.value for each in translator.exports.by_id.values() if each.count)
    exports = (each.object if isinstance(each, AsReferenceable) else each for each in held)
    imports = len(translator.imports)
    cacheables, remote_caches = translator.used_cacheables, translator.used_remote_caches
    return (
        _counted(exports),
        {"RemoteReference": imports} if imports else {},
        {} if cacheables is None else _counted(each.value for each in cacheables.by_id.values()),
        {} if remote_caches is None else _counted(remote_caches.open_caches()),
    )


def streams_of(broker: Broker) -> list[StreamSnapshot]:
    """Return the open streams of a connection."""
    streams: Streams | None = broker.session.translator.used_streams
    found: list[StreamSnapshot] = []
    for each in () if streams is None else streams:
        if isinstance(each, OutgoingStream):
            credit = each.credit
            shown = (True, printable(each.name, _LONGEST_NAME), credit.items, credit.size, 0)
        else:
            allowance = each.allowance
            shown = (False, "", allowance.items, allowance.size, each.held)
        found.append(StreamSnapshot(each.number, *shown))
    return found


def subscriptions_of(broker: Broker) -> list[SubscriptionSnapshot]:
    """Return the subscriptions of a client, over all `Subscribers` of the process."""
    return [
        SubscriptionSnapshot(
            slow.name, counts.sent, counts.waiting, counts.dropped, counts.conflated
        )
        for slow, counts in deliveries_to(broker)
    ]


def oldest_calls(running: Sequence[Running], now: float) -> list[RunningCall]:
    """Return the oldest of some running calls.

    Args:
        running: the calls, oldest first.
        now: the time by the clock of the connection.
    """
    return [
        RunningCall(
            printable(each.name, _LONGEST_NAME), max(0.0, now - each.since), each.wants_answer
        )
        for each in running[:OLDEST]
    ]


def _counted(values: Iterable[object]) -> Types:
    """Count values by the names of their classes; rare classes beyond a limit are together."""
    counts = Counter(type(each).__qualname__ for each in values)
    shown = dict(counts.most_common(_MOST_TYPES))
    rest = counts.total() - sum(shown.values())
    return {**shown, "…": rest} if rest else shown
