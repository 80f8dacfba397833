"""broker.commands.password: a password from a file, and from the standard input."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from broker.commands.password import LONGEST_LINE, password_from
from broker.errors import ConfigError


def written(folder: Path, content: bytes, mode: int = 0o600) -> str:
    """Write a password file."""
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("content", [b"secret\n", b"secret\r\nmore\n", b"secret"])
def test_the_first_line_of_a_file(tmp_path: Path, content: bytes) -> None:
    """The first line is the password, without its end."""
    assert password_from(written(tmp_path, content), "Password") == "secret"


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hyphen stands for the standard input; of a long line only the beginning is read."""
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * (LONGEST_LINE + 1)))
    assert password_from("-", "Password") == "x" * LONGEST_LINE


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (b"\nsecret\n", 0o600, "the password is empty"),
        (b"\xff\n", 0o600, "the password cannot be read"),
        (b"secret\n", 0o644, "readable by others"),
    ],
)
def test_files_that_will_not_do(tmp_path: Path, content: bytes, mode: int, text: str) -> None:
    """An empty line, bytes that are not text, and a file that others can read are refused."""
    with pytest.raises(ConfigError, match=text):
        password_from(written(tmp_path, content, mode), "Password")


def test_no_file_and_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is missing is an error, and so is a question that nobody can answer."""
    with pytest.raises(ConfigError, match="No such file"):
        password_from(str(tmp_path / "none"), "Password")
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    with pytest.raises(click.UsageError, match="no terminal to ask for the password"):
        password_from(None, "Password")
