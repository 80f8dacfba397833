"""The environment variables of options."""

from __future__ import annotations

import logging

import pytest
from click.testing import CliRunner

from broker import __main__ as command_line
from broker.commands.group import Commands
from broker.commands.serve import serve
from broker.commands.variables import unknown_variables


def test_unknown_variables() -> None:
    """What is nearly the name of a variable is told; what another program may have is not."""
    names = (
        "PB_SERVE_DRIAN", "PB_SERVE_DRAIN", "PB_SERVE_CHECKERS", "PB_SERVE_LOGFORMAT",
        "PB_SERVE_PORT", "PB_SERVE_SERVICE_HOST", "PB_SERVE_PORT_8787_TCP", "PB_DRIAN", "DRIAN",
    )  # fmt: skip
    assert list(unknown_variables("PB_serve", serve.params, dict.fromkeys(names, ""))) == [
        ("PB_SERVE_CHECKERS", "PB_SERVE_CHECKER"),
        ("PB_SERVE_DRIAN", "PB_SERVE_DRAIN"),
        ("PB_SERVE_LOGFORMAT", "PB_SERVE_LOG_FORMAT"),
    ]


def test_where_they_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``serve`` warns of one, and ``check-config`` finds it."""
    monkeypatch.setenv("PB_SERVE_DRIAN", "3")
    group = Commands(command_line._COMMANDS)
    with caplog.at_level(logging.WARNING):
        assert CliRunner().invoke(group, ["serve", "broker:Root", "nowhere"]).exit_code == 2
    text = "PB_SERVE_DRIAN sets no option; did you mean PB_SERVE_DRAIN?"
    assert caplog.messages == [text]
    found = CliRunner().invoke(group, ["check-config", "broker:Root"])
    assert found.output == "PB_SERVE_DRIAN: sets no option\n    did you mean PB_SERVE_DRAIN?\n"


def test_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of one command counts more than that of all."""
    monkeypatch.setenv("PB_CONFIG", "missing-1")
    group = Commands(command_line._COMMANDS)
    assert "cannot read missing-1" in CliRunner().invoke(group, ["serve"]).output
    monkeypatch.setenv("PB_SERVE_CONFIG", "missing-2")
    assert "cannot read missing-2" in CliRunner().invoke(group, ["serve"]).output
