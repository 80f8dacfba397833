"""The command line as a whole: help, version, mistyped names, environment, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from broker.acceleration import describe


def pb(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run ``pb``; return status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "broker", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_version() -> None:
    """--version prints the version and the form; a variable PB_VERSION does not ask for it."""
    found = version("perspective-broker")
    assert pb("--version") == (0, f"perspective-broker {found}, {describe()}\n", "")
    pure = f"perspective-broker {found}, pure Python (BROKER_PURE)\n"
    assert pb("--version", BROKER_PURE="yes") == (0, pure, "")
    assert pb("call", "--help", PB_VERSION="1.2.3")[0] == 0


@pytest.mark.parametrize("arguments", [(), ("call",), ("users",), ("users", "add")])
def test_help(arguments: tuple[str, ...]) -> None:
    """Each command and each group takes -h as --help."""
    short, long = pb(*arguments, "-h"), pb(*arguments, "--help")
    assert short == long
    assert short[0] == 0
    assert " ".join(["Usage: pb", *arguments]) in short[1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("cal",), "no such command 'cal'; did you mean call"),
        (("user",), "no such command 'user'; did you mean users"),
        (("users", "lst"), "no such command 'lst'; did you mean list?"),
        (("cert", "sever"), "no such command 'sever'; did you mean server?"),
        (("check_config",), "no such command 'check_config'; did you mean check-config?"),
        (("zzz",), "No such command 'zzz'"),
    ],
)
def test_mistyped(arguments: tuple[str, ...], error: str) -> None:
    """A mistyped command is told with those that are like it."""
    status, out, said = pb(*arguments)
    assert (status, out) == (2, "")
    assert error in said


def test_a_mistyped_option() -> None:
    """So is a mistyped option."""
    status, _, said = pb("call", "--timeot", "3", "pb://127.0.0.1", "x")
    assert status == 2
    assert "--timeout" in said


def test_variables_of_the_environment() -> None:
    """An option may be given by a variable; the command line has precedence."""
    address = "pb+unix:///nowhere/socket"
    status, _, said = pb("call", address, "x", PB_CALL_TIMEOUT="soon")
    assert status == 2
    assert "--timeout" in said
    assert pb("call", address, "x", "--timeout", "3", PB_CALL_TIMEOUT="soon")[0] == 3
    status, _, said = pb("call", address, "x", PB_CALL_USER="alice", PB_CALL_ANONYMOUS="1")
    assert (status, "choose one of --user" in said) == (2, True)
    status, _, said = pb("users", "list", PB_USERS_LIST_STORE="file:/nowhere/users.db")
    assert said.startswith("pb users: ")
    assert "/nowhere/users.db" in said
    assert "/elsewhere/users.db" in pb("users", "list", PB_STORE="file:/elsewhere/users.db")[2]
    both = {"PB_USERS_LIST_STORE": "file:/nowhere/users.db", "PB_STORE": "file:/elsewhere/users.db"}
    assert "/nowhere/users.db" in pb("users", "list", **both)[2]
    checkers = "anonymous nonsense"
    status, _, said = pb("serve", "broker:Root", PB_SERVE_CHECKER=checkers)
    assert (status, "nonsense" in said) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_completion(shell: str) -> None:
    """Each shell gets its script."""
    status, out, _ = pb(_PB_COMPLETE=f"{shell}_source")
    assert status == 0
    assert "_PB_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "number", "completions"),
    [
        ("pb c", "1", {"call", "cert", "check-config", "cp"}),
        ("pb users g", "2", {"groups"}),
        ("pb call --time", "2", {"--timeout"}),
    ],
)
def test_completion(words: str, number: str, completions: set[str]) -> None:
    """Commands, the commands of a group, and options are completed."""
    status, out, _ = pb(_PB_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number)
    assert status == 0
    assert {line.partition(",")[2] for line in out.splitlines()} == completions
