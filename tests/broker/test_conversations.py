"""The recorded conversations, held by two brokers of ours."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import pytest
from vectors import conversation, notation, scenarios
from vectors.scenarios_login import CHALLENGE

from broker import defer, pb
from broker.core.wire.dialects import DIALECTS
from broker.core.wire.handshake import Handshake
from broker.login.mechanisms import challenge
from cred import checkers, credentials, portal
from jelly.codec import Reader
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VOCABULARY = {b"pb": PB_VOCABULARY, b"none": NONE_VOCABULARY}
RELEASES = (b"decref", b"decache", b"uncache")
"""Written when Python lets go of something, which need not be at the same moment."""


DIFFERS = {
    "call_not_ascii": "names of methods are ASCII here",
    "message_unknown": "ours answers didNotUnderstand, where Twisted breaks",
}
"""What ours does in another way, and why; each must differ."""


def ours() -> Any:
    """This library, by its published names."""

    def set_dialects(broker: Any, dialects: list[bytes]) -> None:
        offered = [dialect for dialect in DIALECTS if dialect.name in dialects]
        broker.session._greeting = Handshake(bool(broker.isClient), offered)

    return conversation.Implementation(pb, pb, portal, checkers, credentials, defer, set_dialects)


def recorded(name: str) -> dict[str, list[Any]]:
    """What each side said to the other, according to Twisted."""
    said: dict[str, list[Any]] = {"client": [], "server": []}
    (scenario,) = (case for case in notation.load("messages") if case["name"] == name)
    for entry in scenario["messages"]:
        if "expression" in entry:
            said[entry["from"]].append(notation.from_json(entry["expression"]))
    return said


def spoken(link: Any) -> dict[str, list[Any]]:
    """What each side said to the other: the handshake in none, the rest in what was chosen."""
    streams = {"client": b"", "server": b""}
    for entry in link.entries:
        streams[entry.side] += entry.data
    said = {}
    chosen = b"none"
    for side, stream in streams.items():
        reader = Reader(Limits(), NONE_VOCABULARY)
        reader.feed(stream)
        said[side] = reader.read(1)
        if side == "client" and said[side] and said[side][0] in VOCABULARY:
            chosen = said[side][0]
        rest = Reader(Limits(), VOCABULARY[chosen])
        rest.feed(reader.take_rest())
        said[side] += rest.read()
    return said


def kind(failure: Any) -> Any:
    """What of an error is the same everywhere: its tag and type; texts and bases are our own."""
    if failure[0] != b"twisted.spread.pb.CopyableFailure":
        return failure
    return [failure[0], {key[1]: value for key, value in failure[1][1:]}[b"type"]]


def comparable(said: list[Any]) -> tuple[list[Any], Counter[tuple[Any, ...]]]:
    """The messages in order, and the releases in any."""
    ordered, released = [], Counter[tuple[Any, ...]]()
    for expression in said:
        if isinstance(expression, list) and expression[0] in RELEASES:
            released[tuple(expression)] += 1
        elif isinstance(expression, list) and expression[0] == b"error":
            ordered.append([*expression[:2], kind(expression[2])])
        else:
            ordered.append(expression)
    return ordered, released


def played(name: str, tolerant: bool) -> dict[str, list[Any]]:
    """What two of ours say; `tolerant` of a script that stops at an answer it did not expect."""
    link = conversation.Link(ours())
    with contextlib.suppress(Exception) if tolerant else contextlib.nullcontext():
        link.play(scenarios.SCENARIOS[name])
    return spoken(link)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_ours_say_what_twisted_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scenario, held by two of ours, is what Twisted recorded, or differs on purpose."""
    monkeypatch.setattr(challenge, "challenge", lambda: CHALLENGE)
    expected = recorded(name)

    said = played(name, tolerant=name in DIFFERS)

    is_same = all(comparable(said[side]) == comparable(expected[side]) for side in expected)
    if name in DIFFERS:
        assert not is_same
    else:
        for side in ("client", "server"):
            assert comparable(said[side]) == comparable(expected[side])
