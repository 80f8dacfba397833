"""What the tests of the commands share: an authority's files, and commands as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.commands.cert import cert


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Make ca, server and alice, .pem and .key, in a folder, and return that."""
    for arguments in (["ca"], ["server", "localhost", "127.0.0.1"], ["client", "alice"]):
        result = CliRunner().invoke(cert, [*arguments, "--dir", str(tmp_path)])
        assert result.exit_code == 0, result.output
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start ``pb`` in the test's folder as a process; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start_it(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "broker", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_it
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
