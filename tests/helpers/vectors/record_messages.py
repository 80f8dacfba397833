"""Record messages.json: what two brokers of Twisted say in each scenario."""

from __future__ import annotations

import re
from typing import Any

from twisted.cred import checkers, credentials, portal
from twisted.internet import defer
from twisted.logger import globalLogBeginner
from twisted.spread import pb, util

from vectors import (
    scenarios,
    scenarios_login,
    scenarios_objects,  # noqa: F401 enters its scenarios
)
from vectors.conversation import Implementation, Link
from vectors.notation import to_json
from vectors.recording import encode, endpoint


def twisted() -> Implementation:
    """The installed Twisted."""

    def set_dialects(broker: Any, dialects: list[bytes]) -> None:
        broker.knownDialects = dialects

    return Implementation(pb, util, portal, checkers, credentials, defer, set_dialects)


def read(data: bytes) -> Any:
    """The one expression of these bytes."""
    protocol, received = endpoint("pb"), []
    protocol.expressionReceived = received.append
    protocol.dataReceived(data)
    (expression,) = received
    return expression


def volatile(expression: Any, path: tuple[int, ...] = ()) -> list[list[int]]:
    """Paths of what differs between runs, or Pythons: counters, tracebacks, Python's own texts."""
    if isinstance(expression, bytes) and re.search(rb"File \"|takes \d+ pos", expression):
        return [list(path)]
    if not isinstance(expression, list):
        return []
    if expression[:1] == [[b"unicode", b"count"]]:
        return [[*path, 1]]
    found = [volatile(item, (*path, n)) for n, item in enumerate(expression)]
    return [path for paths in found for path in paths]


def blank(expression: Any, path: list[int]) -> None:
    """Put nothing in the place of what is volatile."""
    for step in path[:-1]:
        expression = expression[step]
    expression[path[-1]] = type(expression[path[-1]])()


def transcript(link: Link) -> list[dict[str, Any]]:
    """The messages and steps of a conversation, in order."""
    entries = []
    for entry in link.entries:
        case: dict[str, Any] = {"from": entry.side}
        if entry.step:
            entries.append(case | {"step": entry.step})
            continue
        expression = read(entry.data)
        if paths := volatile(expression):
            case["volatile"] = paths
            for path in paths:
                blank(expression, path)
        # Words of the vocabulary are seen by whether they are spelled out.
        dialect = next(d for d in ("pb", "none") if paths or encode(expression, d) == entry.data)
        case |= {"dialect": dialect, "hex": encode(expression, dialect).hex()}
        entries.append(case | {"expression": to_json(expression)})
    return entries


def record_messages() -> list[dict[str, Any]]:
    """All conversations."""
    globalLogBeginner.beginLoggingTo(
        [lambda event: None], redirectStandardIO=False, discardBuffer=True
    )
    pb.challenge = lambda: scenarios_login.CHALLENGE
    vectors = []
    for name, function in scenarios.SCENARIOS.items():
        link = Link(twisted())
        link.play(function)
        about = (function.__doc__ or "").split("\n")[0]
        vectors.append({"name": name, "about": about, "messages": transcript(link)})
    return vectors
