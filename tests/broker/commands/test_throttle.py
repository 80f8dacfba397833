"""Logins that fail, as the command line has them: the options, and what they do to a server."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import broker
from broker.commands.serve import serve
from broker.commands.throttle import Failures, read_failures, throttle_of, write_audit
from broker.login.throttle import LoginSource
from broker.token_bucket import Rate
from cred.credentials import UsernamePassword
from cred.error import LoginFailed


@pytest.mark.parametrize(
    "text, meant",
    [
        ("account=10/30", Failures("account", Rate(10, 30.0))),
        ("source=100/0.5", Failures("source", Rate(100, 0.5))),
        ("connection=any", Failures("connection", None)),
    ],
)
def test_what_is_understood(text: str, meant: Failures) -> None:
    """A kind, and how many; or any number."""
    assert read_failures(None, None, [text]) == (meant,)


@pytest.mark.parametrize(
    "text", ["", "account", "account=", "account=ten", "account=10", "user=10/30", "source=1/-1",
             "source=1/1e9", "source=\N{ARABIC-INDIC DIGIT ONE}/1", "any"],
)  # fmt: skip
def test_what_is_not(text: str) -> None:
    """All else is told with an example."""
    with pytest.raises(click.BadParameter, match="write account=10/30 for ten, and then one in 30"):
        read_failures(None, None, [text])


@pytest.mark.parametrize("text", ["account=0/30", "account=1/0"])
def test_what_is_too_small(text: str) -> None:
    """A rate of nothing would lock out every client."""
    with pytest.raises(click.BadParameter, match="a rate has a burst of at least 1"):
        read_failures(None, None, [text])


def test_a_throttle() -> None:
    """What is named is so, all else as usual; a limit that is away is never met."""
    assert throttle_of([]) is None
    throttle = throttle_of([Failures("account", Rate(1, 30.0)), Failures("source", None)])
    assert throttle is not None
    for _ in range(40):
        throttle.failed(LoginSource(object(), "198.51.100.7"))
    throttle.check(LoginSource(object(), "198.51.100.7"))
    throttle.failed(LoginSource(object(), "198.51.100.7", b"alice"))
    with pytest.raises(broker.TooManyAttempts):
        throttle.check(LoginSource(object(), "203.0.113.1", b"alice"))
    with pytest.raises(click.UsageError, match="names source twice"):
        throttle_of([Failures("source", None), Failures("source", None)])


@pytest.fixture
def audit() -> Iterator[logging.Logger]:
    """Give the logger of logins, and put it back as it was."""
    logger = logging.getLogger("broker.audit")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    for handler in set(logger.handlers) - set(before[0]):
        handler.close()
    logger.handlers, logger.level, logger.propagate = before


def test_an_audit_log(tmp_path: Path, audit: logging.Logger) -> None:
    """It is appended to, is for its owner only, and is made again when it was moved away."""
    path = tmp_path / "audit.jsonl"
    write_audit(str(path))
    audit.info("one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not audit.propagate
    path.rename(tmp_path / "audit.1")
    audit.info("two")
    assert (path.read_text(), (tmp_path / "audit.1").read_text()) == ("two\n", "one\n")


def test_an_audit_log_that_cannot_be(tmp_path: Path, audit: logging.Logger) -> None:
    """A folder that is not there is told before anything is served."""
    path = tmp_path / "away" / "audit.jsonl"
    result = CliRunner().invoke(serve, ["broker:Root", "--audit-log", str(path)])
    assert (result.exit_code, result.output) == (
        2,
        f"pb serve: cannot write the audit log {path}: No such file or directory\n",
    )


def test_without_a_login() -> None:
    """--allow-failures limits logins by --checker."""
    result = CliRunner().invoke(serve, ["broker:Root", "--allow-failures", "account=1/30"])
    assert (result.exit_code, result.output) == (
        2,
        "pb serve: --allow-failures limits logins by --checker; for your own Portal, pass the"
        " limits as throttle=\n",
    )


async def test_a_server(start: Callable[..., Any], tmp_path: Path) -> None:
    """Who fails too often must wait, and all of it stands in the file and not on standard error."""
    process = start(
        "serve", "broker:Root", "pb://127.0.0.1:0", "--checker", "memory:alice:wonderland",
        "--allow-failures", "account=1/1000", "--audit-log", "audit.jsonl",
    )  # fmt: skip
    address = process.stdout.readline().removeprefix("serving at ").strip()

    async def reason(password: str) -> str:
        try:
            async with broker.connect(address, UsernamePassword("alice", password)):
                return "let in"
        except (LoginFailed, broker.TooManyAttempts) as error:
            return str(error)

    async def ask() -> list[str]:
        return [await reason("hatter"), await reason("hatter")]

    wrong, wait = await ask()
    assert wrong == "wrong user name or password"
    assert wait.startswith("try again in ")
    process.terminate()
    _, errors = process.communicate(timeout=10)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["result"] for line in lines] == ["refused", "refused"]
    assert lines[1]["reason"] == wait
    assert "alice" not in errors
