"""The public annotations, as a user's type checker meets them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SCRIPTS = sysconfig.get_path("scripts")
TYPING = Path(__file__).parent / "typing"
# No configuration but this: the user's program may have none.
OPTIONS = ("--strict", "--config-file=", "--no-error-summary")


@pytest.mark.timeout(120)
def test_a_users_program(tmp_path: Path) -> None:
    """A program passes ``mypy --strict`` without a plugin, and each mistake in another is found."""
    programs = [str(TYPING / name) for name in ("program.py", "mistakes.py", "kit.py")]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, f"--cache-dir={tmp_path}", *programs],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", *OPTIONS],
    "pyright": [sys.executable, "-m", "pyright"],
    "ty": ["ty", "check", "--output-format", "concise"],
}
"""How each checker is run, without a configuration."""


PROGRAMS = {
    "contracts": "contract_mistakes",
    "blocking_calls": "blocking_mistakes",
    "streams": "stream_mistakes",
    "tables": "table_mistakes",
}
"""A program without mistakes, and one with the same calls that has some."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes(checker: str, tmp_path: Path) -> None:
    """Each mistake is found, and nothing else, by each checker."""
    programs = [f"{name}.py" for pair in PROGRAMS.items() for name in pair]
    for name in programs:
        (tmp_path / name).write_text((TYPING / name).read_text("utf-8"), "utf-8")
    ended = subprocess.run(
        [*CHECKERS[checker], *programs],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": "", "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"},
        check=False,
    )
    expected = {
        (wrong, number)
        for wrong in PROGRAMS.values()
        for number, line in enumerate((TYPING / f"{wrong}.py").read_text("utf-8").splitlines(), 1)
        if "# wrong: " in line
    }
    told = [line for line in ended.stdout.splitlines() if re.search("error|warning", line)]
    found = [re.search(r"(\w+)\.py:(\d+)", line) for line in told]
    assert {(match[1], int(match[2])) for match in found if match} == expected, ended.stdout
    assert {wrong for wrong, _ in expected} == set(PROGRAMS.values())
