"""The forms of the log: text, JSON, logfmt, and text for systemd's journal."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.commands import log_formats
from broker.inspection.contract import Administration
from broker.inspection.notes import note
from broker.login.audit import Audit
from broker.net.socket_addresses import IPv4Address
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import LoginFailed
from cred.portal import Portal


@pytest.fixture
def log() -> Iterator[Callable[..., tuple[logging.Logger, io.StringIO]]]:
    """Return a function that makes a logger with one form."""
    made: list[tuple[logging.Logger, logging.Handler]] = []

    def make(form: str, stream: Any = None, name: str = "test.form") -> Any:
        stream = io.StringIO() if stream is None else stream
        handler = log_formats._handler(form, stream)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        made.append((logger, handler))
        return logger, stream

    yield make
    for logger, handler in made:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_json(log: Any) -> None:
    """A record is one line of JSON, with its facts, and a traceback as text."""
    logger, stream = log("json")
    logger.info("a %s\n", "b", extra={"facts": {"peer": "ü", "seconds": 1.5}})
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("bad")
    first, second = map(json.loads, stream.getvalue().splitlines())
    time = first.pop("time")
    assert time.endswith("Z") and len(time) == 24
    assert first == {
        "level": "info", "logger": "test.form", "message": "a b\n", "peer": "ü", "seconds": 1.5
    }  # fmt: skip
    assert second["level"] == "error"
    assert (
        second["traceback"].startswith("Traceback (most") and "ValueError: x" in stream.getvalue()
    )


def test_logfmt(log: Any) -> None:
    """A record is one line of pairs; values with other characters are quoted, None is left out."""
    logger, stream = log("logfmt")
    facts = {
        "peer": "[::1]:5",
        "tls": True,
        "user": None,
        "n": 3,
        "s": 0.25,
        "q": 'a "b"\n=',
        "e": "",
    }
    logger.warning("two words", extra={"facts": facts})
    time, rest = stream.getvalue().split(" ", 1)
    assert time.startswith("time=20")
    assert rest == (
        'level=warning logger=test.form message="two words" peer=[::1]:5 tls=true n=3 s=0.25'
        ' q="a \\"b\\"\\n=" e=""\n'
    )


def test_text(log: Any) -> None:
    """Text has the time, the level, the logger and the message."""
    logger, stream = log("text")
    logger.info("hi")
    assert stream.getvalue().endswith(" INFO test.form: hi\n")


def test_journal(log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the stream is systemd's, each line begins with its priority, and has no time."""
    with open(tmp_path / "journal", "w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logger, _ = log("text", stream)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(level, "a\nb")
        stream.seek(0)
        assert stream.read().splitlines() == [
            line for number in (7, 6, 4, 3) for line in (f"<{number}>test.form: a", f"<{number}>b")
        ]
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        assert not log_formats._is_journal(stream)


def test_a_terminal(log: Any) -> None:
    """At a terminal the text is made by rich, and markup in a message is shown as it is."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    logger, stream = log("text", Terminal())
    logger.warning("[bold]x[/bold]")
    shown = stream.getvalue()
    assert "WARNING" in shown and "test.form: [bold]x[/bold]" in shown


class Avatar(broker.Avatar):
    """Answers."""

    def perspective_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_connections_and_logins(log: Any, dialect: str) -> None:
    """A connection is a record at its begin and one at its end, and each login one, with facts."""
    _, stream = log("json", name="broker")
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    portal = Portal(broker.realm(lambda name, mind: Avatar()), [checker])
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        policy = broker.STRICT.but(dialects=(dialect,))
        with pytest.raises(LoginFailed):
            await broker.connect(
                server.addresses[0], UsernamePassword("alice", "wrong"), policy=policy
            )
        async with broker.connect(
            server.addresses[0], UsernamePassword("alice", "wonderland"), policy=policy
        ) as connection:
            await connection.avatar.callRemote("echo", "secret value")
            (far,) = [each for each in server.connections if each.peer.avatar_id]
        await far.wait_closed()
    text = stream.getvalue()
    records = [json.loads(line) for line in text.splitlines()]
    opened = [each for each in records if each.get("event") == "connection opened"]
    closed = [each for each in records if each.get("event") == "connection closed"]
    logins = [each for each in records if each.get("event") == "login"]
    assert [each["connection"] for each in opened] == [1, 2]
    assert sorted(each["connection"] for each in closed) == [1, 2]
    assert [(each["result"], each["user"], each["message"]) for each in logins] == [
        ("refused", "alice", "login refused"),
        ("accepted", "alice", "login accepted"),
    ]
    others = [each for each in records if each not in opened + closed + logins]
    assert {each["level"] for each in others} <= {"debug"}
    end = next(each for each in closed if each["connection"] == 2)
    assert (end["dialect"], end["tls"], end["user"]) == (dialect, False, "alice")
    assert end["peer"] == opened[1]["peer"]
    assert end["mechanism"] == logins[1]["mechanism"]
    assert end["calls_received"] >= 1 and end["bytes_sent"] > 0 and end["seconds"] >= 0
    for secret in ("wonderland", 'wrong"', "secret value"):
        assert secret not in text


def test_the_audit_log_stays_json(log: Any) -> None:
    """As text, a line of the audit log is JSON as before."""
    _, stream = log("text", name="broker.audit")
    Audit().accepted(IPv4Address("TCP", "192.0.2.1", 5), "password", "alice")
    line = stream.getvalue().partition("broker.audit: ")[2]
    assert json.loads(line)["user"] == "alice"


def test_what_operators_do(log: Any) -> None:
    """It is a record with its facts, not with JSON as text, and a line for people."""
    _, stream = log("json", name="broker")
    note("kick", {"of": 7, "count": 1})
    note("drain", {"seconds": None})
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [each["message"] for each in found]
    assert told == ["kick", "kick by this process: of 7, count 1", "drain", "drain by this process"]
    assert (found[0]["event"], found[0]["of"], found[0]["peer"]) == ("kick", 7, "this process")


async def test_operators_of_a_socket(log: Any, tmp_path: Path) -> None:
    """They have no name: the log tells the kind of the address."""
    _, stream = log("logfmt", name="broker.server")
    admin = f"pb+unix://{tmp_path}/admin"
    serving = broker.serve(broker.Root(), "pb://127.0.0.1:0", admin=admin)
    async with serving, broker.connect(admin) as operator:
        assert await operator.root.of(Administration).kick(number=9) == 0
    assert 'message="kick by unix: of 9, count 0"' in stream.getvalue()
