"""Runs a command at a terminal: returns its output, and types answers to its questions."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["at_a_terminal"]

TIMEOUT = 30.0


def at_a_terminal(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], typed: Mapping[str, str]
) -> tuple[str, int]:
    """Run a command at its own terminal, and return the displayed text and the exit status.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        environment: its environment; the terminal is a dumb one.
        typed: the text to type, each time the last line begins with a word and ends with ": ".

    The displayed text has no spaces at the ends of lines.
    """
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "TERM": "dumb"},
        stdin=its,
        stdout=its,
        stderr=its,
        # The terminal becomes the one at which passwords are asked for.
        start_new_session=True,
    )
    os.close(its)
    try:
        seen = _converse(ours, typed)
        status = process.wait(TIMEOUT)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    lines = seen.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines), status


def _converse(ours: int, typed: Mapping[str, str]) -> str:
    seen = b""
    answered = 0
    end = time.monotonic() + TIMEOUT
    while select.select([ours], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:
            # Linux raises this when the last process at the other side has closed it.
            return seen.decode()
        if not data:
            return seen.decode()
        seen += data
        question = seen[seen.rfind(b"\n") + 1 :].decode(errors="replace")
        for word, text in typed.items():
            if question.startswith(word) and question.endswith(": ") and answered < len(seen):
                answered = len(seen)
                os.write(ours, f"{text}\n".encode())
    raise TimeoutError(f"the command waits, after {seen.decode()!r}")
