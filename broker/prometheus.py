"""Metrics of a server in the text format of Prometheus, with labels that a peer cannot choose.

Theory of operation. `Metrics` is an observer: it counts calls and logins when they end. All other
numbers are read from the connections when a text is made. So a server without this observer counts
nothing for it, and a text costs as much as there are open connections.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from broker.call_times import BUCKETS, CallTimes
from broker.connection.connection import Connection
from broker.connection.peer import Call
from broker.core.tracer import ANSWERED, Outcome
from broker.flavors.contracts.servant import Servant
from broker.flavors.subscribers import Delivery, deliveries_to, delivery_to
from broker.observers import Observer, OfConnection

if TYPE_CHECKING:
    from broker.connection.broker import Broker
    from broker.core.calls.dispatch import Method
    from broker.core.tracer import Timer
    from broker.inspection.inspector import Inspector
    from broker.pb import PBServerFactory
    from broker.running_server import Server

__all__ = ["BUCKETS", "CONTENT_TYPE", "Metrics", "collector", "text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of `text`, for an HTTP answer."""

OTHER = "other"
"""The label of a method that the class of the object does not have, and of an unknown class."""

_PREFIXES = ("remote_", "perspective_", "view_")
_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[str, _Labels, float]


class Metrics(Observer):
    """Counts the calls and logins of a server, for `text`.

    ::

        server = await broker.serve(root, …, observers=[broker.prometheus.Metrics()])
        broker.prometheus.text(server)

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Any = time.perf_counter) -> None:
        self._clock = clock
        self._calls: dict[tuple[str, str, str], CallTimes] = {}
        # Of known methods, by class and name: those that have answered.
        self._answered: dict[tuple[type | None, str], CallTimes] = {}
        # Methods of the quick path as they are in a table of a class, by its id; and with times.
        self._timed: dict[int, tuple[Mapping[str, Method], Mapping[str, Method]]] = {}
        self._made: Counter[str] = Counter()
        self._logins: Counter[tuple[str, str]] = Counter()
        self._bytes = [0, 0]
        self._events = Delivery()

    def call_started(self, call: Call) -> float:
        """Take the time."""
        seconds: float = self._clock()
        return seconds

    def call_ended(self, token: float, call: Call, outcome: Outcome, error: object) -> None:
        """Count it."""
        if call.is_incoming:
            self._count(call.target, call.name, outcome, self._clock() - token)
        else:
            self._made[outcome.value] += 1

    def login(self, connection: Connection, mechanism: str, outcome: Outcome, reason: str) -> None:
        """Count it."""
        self._logins[mechanism, outcome.value] += 1

    def connection_closed(self, connection: Connection, reason: Exception | None) -> None:
        """Keep the counts of a connection that has ended."""
        stats = connection.stats
        self._bytes[0] += stats.bytes_received
        self._bytes[1] += stats.bytes_sent
        events = delivery_to(connection.broker)
        # Those that wait for a connection that has ended are lost.
        self._events.add(
            Delivery(dropped=events.dropped + events.waiting, conflated=events.conflated)
        )

    def samples(self) -> Iterator[_Sample]:
        """Yield what was counted: the name, the labels and the value of each sample."""
        # The method of a class has times before its first call.
        counted = [(key, calls, calls.below) for key, calls in sorted(self._calls.items())]
        counted = [each for each in counted if each[2][-1]]
        for (target, method, outcome), _, below in counted:
            labels = (("target", target), ("method", method), ("outcome", outcome))
            yield "pb_calls_total", labels, below[-1]
        for (target, method, outcome), calls, below in counted:
            labels = (("target", target), ("method", method), ("outcome", outcome))
            for bound, count in zip(BUCKETS, below, strict=False):
                yield "pb_call_seconds_bucket", (*labels, ("le", f"{bound:g}")), count
            yield "pb_call_seconds_bucket", (*labels, ("le", "+Inf")), below[-1]
            yield "pb_call_seconds_sum", labels, calls.seconds
            yield "pb_call_seconds_count", labels, below[-1]
        for outcome, count in sorted(self._made.items()):
            yield "pb_calls_made_total", (("outcome", outcome),), count
        for (mechanism, outcome), count in sorted(self._logins.items()):
            yield "pb_logins_total", (("mechanism", mechanism), ("outcome", outcome)), count

    @property
    def closed_bytes(self) -> tuple[int, int]:
        """The bytes received and sent on connections that have ended."""
        return self._bytes[0], self._bytes[1]

    @property
    def closed_events(self) -> Delivery:
        """The events for subscribers on connections that have ended."""
        return self._events

    def _tracer_of(self, broker: Broker) -> OfConnection:
        """Return a tracer that counts without a record for each call."""
        kind = type(self)
        if (kind.call_started, kind.call_ended) != (Metrics.call_started, Metrics.call_ended):
            return super()._tracer_of(broker)
        return _Counting(self, broker)

    def _timed_of(self, target: type, methods: Mapping[str, Method]) -> Mapping[str, Method]:
        """Return methods of a class with their times; the same ones for the same methods."""
        _, timed = self._timed.get(id(methods), (methods, None))
        if timed is None:
            timed = {
                name: replace(method, times=self._calls_of(target, name, ANSWERED))
                for name, method in methods.items()
            }
            self._timed[id(methods)] = methods, timed
        return timed

    def _count(self, target: type | None, name: str, outcome: Outcome, seconds: float) -> None:
        calls = self._answered.get((target, name)) if outcome is ANSWERED else None
        if calls is None:
            calls = self._calls_of(target, name, outcome)
        calls.add(seconds)

    def _calls_of(self, target: type | None, name: str, outcome: Outcome) -> CallTimes:
        """Return the counts to which a call belongs."""
        labels = self._labels_of(target, name)
        calls = self._calls.setdefault((*labels, outcome.value), CallTimes(self._clock))
        if outcome is ANSWERED and target is not None and labels[1] == name:
            self._answered[target, name] = calls
        return calls

    def _labels_of(self, target: type | None, name: str) -> tuple[str, str]:
        if target is None:
            return OTHER, OTHER
        # Of a servant it is the name of the contract.
        title = target._contract.title if issubclass(target, Servant) else target.__name__
        is_known = any(callable(getattr(target, f"{prefix}{name}", None)) for prefix in _PREFIXES)
        # Other names are text of the peer.
        return title, name if is_known else OTHER


class _Counting(OfConnection):
    """The tracer of one connection: counts a call at the least cost.

    Args:
        metrics: has the counts.
        broker: of the connection.
    """

    def __init__(self, metrics: Metrics, broker: Broker):
        super().__init__(metrics, broker)
        self._metrics = metrics

    @property
    def needs_records(self) -> bool:
        """False."""
        return False

    @property
    def timer(self) -> Timer:
        """It only takes times."""
        return self

    def timed(self, target: type, methods: Mapping[str, Method]) -> Mapping[str, Method]:
        """Return the methods of a class, which count their calls."""
        return self._metrics._timed_of(target, methods)

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        """Take the time."""
        return (target, name, self._metrics._clock()) if is_incoming else None

    def call_ended(self, token: object, outcome: Outcome, error: object) -> None:
        """Count it."""
        if token is None:
            self._metrics._made[outcome.value] += 1
            return
        known: tuple[type | None, str, float] = token  # type: ignore[assignment]
        target, name, began = known
        metrics = self._metrics
        metrics._count(target, name, outcome, metrics._clock() - began)


# The name of each metric, its type and its help.
_METRICS = {
    "pb_connections": ("gauge", "Open connections."),
    "pb_connections_slow": ("gauge", "Connections with more unsent bytes than high_water."),
    "pb_connections_accepted_total": ("counter", "Connections that were accepted."),
    "pb_connections_closed_total": ("counter", "Connections that have ended, by their error."),
    "pb_calls_total": ("counter", "Calls of clients that have ended."),
    "pb_call_seconds": ("histogram", "The time of calls of clients."),
    "pb_calls_running": ("gauge", "Calls of clients that have not ended."),
    "pb_calls_made_total": ("counter", "Calls of the server that have ended."),
    "pb_logins_total": ("counter", "Logins."),
    "pb_received_bytes_total": ("counter", "Bytes received, without TLS."),
    "pb_sent_bytes_total": ("counter", "Bytes sent, without TLS."),
    "pb_unsent_bytes": ("gauge", "Bytes that are not sent yet."),
    "pb_references": ("gauge", "References, by direction: out is held by clients."),
    "pb_caches": ("gauge", "Caches, by direction: out is held by clients."),
    "pb_streams": ("gauge", "Open streams, by direction: out is made by the server."),
    "pb_subscriptions": ("gauge", "Subscribers of events."),
    "pb_events_dropped_total": ("counter", "Events that slow subscribers have lost."),
    "pb_events_conflated_total": ("counter", "Events that were replaced by newer ones."),
    "pb_limits_total": ("counter", "Refusals by each limit."),
    "pb_loop_lag_seconds": ("gauge", "The most by which the event loop was late in a second."),
    "pb_replies": ("gauge", "Replies that are kept for calls that run at most once."),
    "pb_topics_waiting": ("gauge", "Messages of this process that wait for an engine of topics."),
}


class Measured(Protocol):
    """What the metrics need of a server."""

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers of its connections."""

    @property
    def accepted(self) -> Mapping[Broker, Any]:
        """The open connections."""

    @property
    def counts(self) -> tuple[int, int]:
        """The connections that were accepted, and those that have ended."""

    @property
    def closed_by(self) -> Mapping[str, int]:
        """How many connections have ended, by the class of the error that ended them."""

    @property
    def limits(self) -> Mapping[str, int]:
        """How often each limit has refused something."""

    @property
    def replies_kept(self) -> int | None:
        """How many replies are kept, or None."""

    @property
    def inspector(self) -> Inspector | None:
        """What samples the server, or None."""


def text(server: Server | PBServerFactory) -> str:
    """Return the metrics of a server in Prometheus's text format, version 0.0.4.

    Calls, logins, bytes and lost events are there if the server has the observer `Metrics`, and the
    delay of the event loop if it has an HTTP port or an inspector. Of a factory of the published
    API the connections count that come after the first call of this function.

    Args:
        server: the server, or the factory.
    """
    measured: Any = server
    source: Measured = measured if hasattr(server, "accepted") else measured.inspected
    found = [each for each in source.observers if isinstance(each, Metrics)]
    samples: dict[str, list[_Sample]] = {}
    for sample in (*_of_server(source, found), *(each for one in found for each in one.samples())):
        name = sample[0]
        family = name if name in _METRICS else name.rpartition("_")[0]
        samples.setdefault(family, []).append(sample)
    lines: list[str] = []
    for family, (kind, help_text) in _METRICS.items():
        if family in samples:
            lines += [f"# HELP {family} {help_text}", f"# TYPE {family} {kind}"]
            lines += [_line(*sample) for sample in samples[family]]
    return "\n".join(lines) + "\n"


class collector:
    """A collector for ``prometheus_client``: ``REGISTRY.register(collector(server))``.

    Needs the package prometheus_client: the extra ``metrics``.

    Args:
        server: the server, or the factory; see `text`.
    """

    def __init__(self, server: Server | PBServerFactory):
        self._server = server

    def collect(self) -> Iterable[Any]:
        """Return the families of metrics as they are now."""
        from prometheus_client.parser import text_string_to_metric_families

        return text_string_to_metric_families(text(self._server))


def _of_server(server: Measured, found: list[Metrics]) -> Iterator[_Sample]:
    yield "pb_connections", (), len(server.accepted)
    yield "pb_connections_accepted_total", (), server.counts[0]
    for reason, count in sorted(server.closed_by.items()):
        yield "pb_connections_closed_total", (("reason", reason),), count
    totals, events = _totals(server)
    yield "pb_connections_slow", (), totals["slow"]
    yield "pb_calls_running", (), totals["running"]
    yield "pb_unsent_bytes", (), totals["unsent"]
    yield "pb_subscriptions", (), totals["subscriptions"]
    if found:
        # Without the observer those of closed connections are not known, and a counter that falls
        # is worse than none.
        received, sent = found[0].closed_bytes
        yield "pb_received_bytes_total", (), received + totals["received"]
        yield "pb_sent_bytes_total", (), sent + totals["sent"]
        events.add(found[0].closed_events)
        yield "pb_events_dropped_total", (), events.dropped
        yield "pb_events_conflated_total", (), events.conflated
    for name in ("references", "caches", "streams"):
        for direction in ("in", "out"):
            yield f"pb_{name}", (("direction", direction),), totals[f"{name} {direction}"]
    for limit, count in sorted(server.limits.items()):
        yield "pb_limits_total", (("limit", limit),), count
    yield from _of_process(server)


def _totals(server: Measured) -> tuple[Counter[str], Delivery]:
    """Return sums over all open connections, and those of their events."""
    totals: Counter[str] = Counter()
    events = Delivery()
    for broker in list(server.accepted):
        session = broker.session
        stats, translator = session.stats, session.translator
        streams = translator.used_streams
        unsent = 0 if broker.transport is None else broker.port.unsent
        totals["received"] += stats.bytes_received
        totals["sent"] += stats.bytes_sent
        totals["unsent"] += unsent
        totals["slow"] += unsent > broker.policy.high_water
        totals["running"] += len(session.incoming.running)
        totals["references out"] += len(translator.exports)
        totals["references in"] += len(translator.imports)
        totals["caches out"] += len(translator.used_cacheables or ())
        totals["caches in"] += len(translator.used_remote_caches or ())
        totals["streams out"] += 0 if streams is None else len(streams.outgoing)
        totals["streams in"] += 0 if streams is None else len(streams.incoming)
        totals["subscriptions"] += len(deliveries_to(broker))
        events.add(delivery_to(broker))
    return totals, events


def _of_process(server: Measured) -> Iterator[_Sample]:
    if server.inspector is not None:
        yield "pb_loop_lag_seconds", (), server.inspector.lag
    if server.replies_kept is not None:
        yield "pb_replies", (), server.replies_kept
    # Only a program that has topics has loaded them.
    topics: Any = sys.modules.get("broker.topics.hub")
    if topics is not None:
        yield "pb_topics_waiting", (), topics.waiting_messages()


def _line(name: str, labels: _Labels, value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels)
    number = f"{value}" if isinstance(value, int) else f"{value:.9g}"
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
