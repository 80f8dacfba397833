"""Runs a command in this process, with its errors apart from its output in every click version."""

from __future__ import annotations

import inspect

from click.testing import CliRunner

__all__ = ["Runner"]


class Runner(CliRunner):
    """A CliRunner whose results have ``stdout`` and ``stderr``; click 8.1 needs an argument."""

    def __init__(self) -> None:
        is_told = "mix_stderr" in inspect.signature(CliRunner).parameters
        super().__init__(**({"mix_stderr": False} if is_told else {}))
