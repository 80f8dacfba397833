"""Terms: what the sender of a version takes from its peer, as numbers by name.

The receiver of a version must not send more than its terms. Until they have come, and for each name
that is missing, the baseline holds. Unknown names are ignored, so that later versions can add some.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from jelly.limits import Limits

__all__ = [
    "BASELINE",
    "LEAST_FRAME",
    "LEAST_NODES",
    "NOT_SERVING",
    "Serving",
    "Taken",
    "Terms",
    "read_terms",
    "terms_of",
]

LEAST_FRAME, LEAST_NODES = 65_536, 2_000
"""Smaller terms count as these: a login must fit."""


class Terms(Struct, frozen=True):
    """The terms of one end.

    Attributes:
        frame: bytes of one frame.
        nodes: elements of one frame.
        streams: streams of the peer that may be open to it.
        items, window: credit of a new stream to it, in items and in bytes.
        promised: calls of the peer that may wait for a promise.
        once: seconds for which it keeps the reply of a call with ``once``; 0 for none.
        instance: a number of this run of a server, or None.
    """

    frame: int = 16_777_216
    nodes: int = 1_000_000
    streams: int = 8
    items: int = 64
    window: int = 65_536
    promised: int = 16
    once: int = 0
    instance: int | None = None


BASELINE = Terms()


def read_terms(sent: Mapping[str, int] | None) -> Terms:
    """Return the terms of a version message."""
    return _terms(tuple(sent.items())) if sent else BASELINE


@lru_cache(16)
def _terms(sent: tuple[tuple[str, int], ...]) -> Terms:
    known = {name: number for name, number in sent if name in Terms.__struct_fields__}
    if "frame" in known:
        known["frame"] = max(known["frame"], LEAST_FRAME)
    if "nodes" in known:
        known["nodes"] = max(known["nodes"], LEAST_NODES)
    return Terms(**known)


class Taken(NamedTuple):
    """What an end takes of the streams and the calls of its peer; see `Terms`."""

    streams: int
    items: int
    window: int
    promised: int


class Serving(NamedTuple):
    """What only a server tells; see `Terms`."""

    once: int = 0
    instance: int | None = None


NOT_SERVING = Serving()
"""Of a client."""


def terms_of(limits: Limits, taken: Taken, serving: Serving = NOT_SERVING) -> dict[str, int] | None:
    """Return the terms to send: those that differ from the baseline; None if none do."""
    mine = Terms(
        frame=max(limits.max_expression, LEAST_FRAME),
        nodes=max(limits.max_nodes, LEAST_NODES),
        streams=taken.streams,
        items=taken.items,
        window=taken.window,
        promised=taken.promised,
        once=serving.once,
        instance=serving.instance,
    )
    sent: dict[str, int] = {}
    for name in Terms.__struct_fields__:
        number, baseline = getattr(mine, name), getattr(BASELINE, name)
        if number != baseline:
            sent[name] = number
    return sent or None
