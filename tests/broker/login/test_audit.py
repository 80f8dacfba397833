"""broker.audit: the lines, by a clock that stands."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import TooManyAttempts
from broker.failure import Failure
from broker.login.audit import Audit
from broker.net.socket_addresses import IPv4Address
from broker.token_bucket import MOST_KEYS
from cred.error import LoginDenied, LoginUnavailable, UnauthorizedLogin, wrong_login

PEER = IPv4Address("TCP", "198.51.100.7", 53122)
Lines = Callable[[], list[dict[str, Any]]]


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """A function that returns what has been written since it was last called."""
    caplog.set_level(logging.INFO, "broker.audit")

    def read() -> list[dict[str, Any]]:
        messages = list(caplog.messages)
        caplog.clear()
        assert not any("\n" in message for message in messages)
        return [json.loads(message) for message in messages]

    return read


def test_who_is_let_in(lines: Lines) -> None:
    """A line tells when, with what result, who, from where, and how."""
    Audit(Clock(1795640645.1234)).accepted(PEER, "SCRAM-SHA-256-PLUS", "alice")
    assert lines() == [
        {
            "time": "2026-11-25T21:04:05.123Z",
            "result": "accepted",
            "user": "alice",
            "from": "198.51.100.7:53122",
            "how": "SCRAM-SHA-256-PLUS",
        }
    ]


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        (wrong_login("unknown user"), "refused", "unknown user"),
        (UnauthorizedLogin("token expired"), "refused", "token expired"),
        (TooManyAttempts("try again in 17 s"), "refused", "try again in 17 s"),
        (LoginUnavailable("the user store is not available"), "refused", "the user store is not"),
        (LoginDenied("x" * 500), "refused", "x" * 120),
        (KeyError("a secret"), "failed", "KeyError"),
    ],
)
def test_who_is_not(error: Exception, result: str, reason: str, lines: Lines) -> None:
    """A refusal has its reason, which the peer need not know; a stray exception has its type."""
    Audit().refused(PEER, "password", b"alice", Failure(error))
    (line,) = lines()
    assert (line["result"], line["user"], line["how"]) == (result, "alice", "password")
    assert line["reason"].startswith(reason)
    assert len(line["reason"]) <= 120


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        (None, None),
        (b"\xff", "\ufffd"),
        ("a" * 300, "a" * 64),
        ('"}\n\x1b[2J\u202e', '"}\n\x1b[2J\u202e'),
    ],
)
def test_what_a_peer_says_it_is(user: object, shown: str | None, lines: Lines) -> None:
    """A name of a peer's is cut, and can neither end its line nor move a terminal's cursor."""
    Audit().refused(PEER, "password", user, Failure(wrong_login("unknown user")))
    (line,) = lines()
    assert line["user"] == shown


def test_it_is_printable(caplog: pytest.LogCaptureFixture) -> None:
    """A line is printable ASCII whatever is in it."""
    caplog.set_level(logging.INFO, "broker.audit")
    Audit().refused(PEER, "password", "\n\x1b\u202e\u00e9", Failure(wrong_login("\n\u00e9")))
    assert caplog.messages[0].isascii()
    assert caplog.messages[0].isprintable()


def test_a_flood_is_counted(lines: Lines) -> None:
    """A hundred refusals of one source are written, then eight a second; the rest is counted."""
    clock = Clock(1000.0)
    audit = Audit(clock=clock)
    refusal = Failure(wrong_login("unknown user"))
    for _ in range(1000):
        audit.refused(PEER, "password", "eve", refusal)
    assert len(lines()) == 100
    clock.now += 0.125
    audit.refused(PEER, "password", "eve", refusal)
    audit.refused(IPv4Address("TCP", "203.0.113.9", 1), "password", "eve", refusal)
    audit.accepted(PEER, "password", "alice")
    assert [line.get("suppressed") for line in lines()] == [900, None, None]
    clock.now += 1.0
    for _ in range(20):
        audit.refused(PEER, "password", "eve", refusal)
    assert [line.get("suppressed") for line in lines()] == [None] * 8


def test_nothing_is_written_unasked(caplog: pytest.LogCaptureFixture) -> None:
    """Without the level INFO there is no line."""
    caplog.set_level(logging.WARNING, "broker.audit")
    audit = Audit()
    audit.accepted(PEER, "password", "alice")
    audit.refused(PEER, "password", "alice", Failure(wrong_login("unknown user")))
    assert caplog.messages == []


def test_a_flood_from_everywhere(lines: Lines) -> None:
    """Of all sources four hundred are written, then fifty a second; none is uncounted."""
    clock = Clock(1000.0)
    audit = Audit(clock=clock)
    refusal = Failure(wrong_login("unknown user"))
    sources = MOST_KEYS + 2400
    written, told = [], 0
    for _ in range(3):
        for number in range(sources):
            host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            audit.refused(IPv4Address("TCP", host, 1), "password", "eve", refusal)
        found = lines()
        written.append(len(found))
        told += sum(line.get("suppressed", 0) for line in found)
        clock.now += 1.0
    assert written == [400, 50, 50]
    assert len(audit._suppressed) <= MOST_KEYS + 1
    assert told + audit._suppressed.total() + sum(written) == 3 * sources
    assert told > 0
