"""Planted bugs: the tests of contracts find each bug of the folder ``bugs``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.folders import ROOT
from support.planted import Bug, all_bugs, copy_sources

HERE = Path(__file__).parent
FINDERS = (HERE / "test_proxy.py", HERE / "test_servant.py", HERE / "test_references.py")


@pytest.mark.parametrize("bug", all_bugs(HERE / "bugs"), ids=lambda bug: bug.name)
def test_each_bug_is_found(bug: Bug, tmp_path: Path) -> None:
    """A test fails, and none fails without the bug."""
    copy_sources(tmp_path)
    bug.plant(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *map(str, FINDERS)],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.returncode == 1
