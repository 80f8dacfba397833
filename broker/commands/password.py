"""Gets a password for a command: from the terminal without echo, or from a file."""

from __future__ import annotations

import os
import sys

import click

from broker.errors import ConfigError
from cred.stores.privacy import check_private

__all__ = ["password_file_option", "password_from"]

STANDARD_INPUT = "-"
LONGEST_LINE = 4096

password_file_option = click.option(
    "--password-file",
    metavar="FILE",
    help="Take the password from the first line of this file; - is the standard input.",
)


def password_from(file: str | None, question: str, *, twice: bool = False) -> str:
    """Return a password.

    Args:
        file: the file of the password, ``-`` for the standard input; None asks at the terminal.
        question: the text of the question.
        twice: ask twice, since the typed text is not visible.

    Raises:
        UsageError: there is no terminal to ask at.
        ConfigError: the file cannot be read, is empty, or others can read it too.
    """
    if file is not None:
        return _first_line(file)
    if not sys.stdin.isatty():
        raise click.UsageError(
            "there is no terminal to ask for the password: use --password-file FILE, or -"
        )
    again = "Again" if twice else False
    password: str = click.prompt(question, hide_input=True, confirmation_prompt=again, err=True)
    return password


def _first_line(file: str) -> str:
    try:
        if file == STANDARD_INPUT:
            line = sys.stdin.readline(LONGEST_LINE)
        else:
            with open(file, encoding="utf-8") as opened:
                check_private(file, os.fstat(opened.fileno()), os.geteuid())
                line = opened.readline(LONGEST_LINE)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the password cannot be read: {exc}") from exc
    password = line.rstrip("\r\n")
    if not password:
        raise ConfigError("the password is empty: it must be the first line of the file")
    return password
