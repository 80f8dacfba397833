"""Metrics of a server in the text format of Prometheus, with labels that a peer cannot choose.

Theory of operation. `Metrics` is an observer: it counts calls and logins when they end. All other
numbers are read from the connections when a text is made. So a server without this observer counts
nothing for it, and a text costs as much as there are open connections.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from broker.connection.connection import Connection
from broker.connection.peer import Call
from broker.core.tracer import Outcome
from broker.observers import Observer

if TYPE_CHECKING:
    from broker.server import Server

__all__ = ["BUCKETS", "CONTENT_TYPE", "Metrics", "collector", "text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of `text`, for an HTTP answer."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histogram of ``pb_call_seconds``, in seconds."""

OTHER = "other"
"""The label of a method that the class of the object does not have, and of an unknown class."""

_PREFIXES = ("remote_", "perspective_", "view_")
_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[str, _Labels, float]


class _Calls:
    """The calls with one set of labels."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.count = 0
        self.seconds = 0.0


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
        self._calls: dict[tuple[str, str, str], _Calls] = {}
        self._made: Counter[str] = Counter()
        self._logins: Counter[tuple[str, str]] = Counter()
        self._bytes = [0, 0]
        self._names: dict[tuple[type, str], tuple[str, str]] = {}

    def call_started(self, call: Call) -> float:
        """Take the time."""
        seconds: float = self._clock()
        return seconds

    def call_ended(self, token: float, call: Call, outcome: Outcome, error: object) -> None:
        """Count it."""
        if not call.is_incoming:
            self._made[outcome.value] += 1
            return
        key = (*self._labels_of(call), outcome.value)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = _Calls()
        seconds = self._clock() - token
        calls.count += 1
        calls.seconds += seconds
        calls.buckets[bisect_left(BUCKETS, seconds)] += 1

    def login(self, connection: Connection, mechanism: str, outcome: Outcome, reason: str) -> None:
        """Count it."""
        self._logins[mechanism, outcome.value] += 1

    def connection_closed(self, connection: Connection, reason: Exception | None) -> None:
        """Keep the bytes of a connection that has ended."""
        stats = connection.stats
        self._bytes[0] += stats.bytes_received
        self._bytes[1] += stats.bytes_sent

    def samples(self) -> Iterator[_Sample]:
        """Yield what was counted: the name, the labels and the value of each sample."""
        for (target, method, outcome), calls in sorted(self._calls.items()):
            labels = (("target", target), ("method", method), ("outcome", outcome))
            yield "pb_calls_total", labels, calls.count
        for (target, method, outcome), calls in sorted(self._calls.items()):
            labels = (("target", target), ("method", method), ("outcome", outcome))
            below = 0
            for bound, count in zip(BUCKETS, calls.buckets, strict=False):
                below += count
                yield "pb_call_seconds_bucket", (*labels, ("le", f"{bound:g}")), below
            yield "pb_call_seconds_bucket", (*labels, ("le", "+Inf")), calls.count
            yield "pb_call_seconds_sum", labels, calls.seconds
            yield "pb_call_seconds_count", labels, calls.count
        for outcome, count in sorted(self._made.items()):
            yield "pb_calls_made_total", (("outcome", outcome),), count
        for (mechanism, outcome), count in sorted(self._logins.items()):
            yield "pb_logins_total", (("mechanism", mechanism), ("outcome", outcome)), count

    @property
    def closed_bytes(self) -> tuple[int, int]:
        """The bytes received and sent on connections that have ended."""
        return self._bytes[0], self._bytes[1]

    def _labels_of(self, call: Call) -> tuple[str, str]:
        target, name = call.target, call.name
        if target is None:
            return OTHER, OTHER
        found = self._names.get((target, name))
        if found is not None:
            return found
        if not any(callable(getattr(target, f"{prefix}{name}", None)) for prefix in _PREFIXES):
            # The name is text of the peer.
            return target.__name__, OTHER
        found = self._names[target, name] = target.__name__, name
        return found


# The name of each metric, its type and its help.
_METRICS = {
    "pb_connections": ("gauge", "Open connections."),
    "pb_connections_slow": ("gauge", "Connections with more unsent bytes than high_water."),
    "pb_connections_accepted_total": ("counter", "Connections that were accepted."),
    "pb_connections_closed_total": ("counter", "Connections that have ended."),
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
    "pb_limits_total": ("counter", "Refusals by each limit."),
}


def text(server: Server) -> str:
    """Return the metrics of a server in Prometheus's text format, version 0.0.4.

    Calls and logins are there if the server has the observer `Metrics`.
    """
    found = [each for each in server.observers if isinstance(each, Metrics)]
    samples: dict[str, list[_Sample]] = {}
    for sample in (*_of_server(server, found), *(each for one in found for each in one.samples())):
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
        server: the server.
    """

    def __init__(self, server: Server):
        self._server = server

    def collect(self) -> Iterable[Any]:
        """Return the families of metrics as they are now."""
        from prometheus_client.parser import text_string_to_metric_families

        return text_string_to_metric_families(text(self._server))


def _of_server(server: Server, found: list[Metrics]) -> Iterator[_Sample]:
    accepted, closed = server.counts
    yield "pb_connections", (), len(server.accepted)
    yield "pb_connections_accepted_total", (), accepted
    yield "pb_connections_closed_total", (), closed
    totals: Counter[str] = Counter()
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
    yield "pb_connections_slow", (), totals["slow"]
    yield "pb_calls_running", (), totals["running"]
    yield "pb_unsent_bytes", (), totals["unsent"]
    if found:
        # Without the observer the bytes of closed connections are not known, and a counter that
        # falls is worse than none.
        received, sent = found[0].closed_bytes
        yield "pb_received_bytes_total", (), received + totals["received"]
        yield "pb_sent_bytes_total", (), sent + totals["sent"]
    for name in ("references", "caches", "streams"):
        for direction in ("in", "out"):
            yield f"pb_{name}", (("direction", direction),), totals[f"{name} {direction}"]
    limits: Mapping[str, int] = server.limits
    for limit, count in sorted(limits.items()):
        yield "pb_limits_total", (("limit", limit),), count


def _line(name: str, labels: _Labels, value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels)
    number = f"{value}" if isinstance(value, int) else f"{value:.9g}"
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
