"""The public annotations, as a user's type checker meets them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TYPING = Path(__file__).parent / "typing"
# No configuration but this: the user's program may have none.
OPTIONS = ("--strict", "--config-file=", "--no-error-summary")


@pytest.mark.timeout(120)
def test_a_users_program(tmp_path: Path) -> None:
    """A program passes ``mypy --strict`` without a plugin, and each mistake in another is found."""
    programs = [str(TYPING / name) for name in ("program.py", "mistakes.py")]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, f"--cache-dir={tmp_path}", *programs],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)
