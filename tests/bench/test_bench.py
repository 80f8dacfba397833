"""The bench itself: it runs, and its page says what its figures say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def test_bench(tmp_path: Path) -> None:
    """A short run measures each pairing, prints the ratios, and writes down run and page."""
    command = ["--only", "W5 10k", "--rounds", "1", "--secs", "0.01", "--mixed"]
    ended = subprocess.run(
        [sys.executable, str(RUN), *command, "--docs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (run,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert list(run["figures"]) == ["W5 10k"]
    figures = run["figures"]["W5 10k"]
    assert len(figures) == 4
    for (measured,) in figures.values():
        assert measured["calls"] > 3
        assert measured["rate"] > 0
    page = (tmp_path / "index.md").read_text()
    for line in ended.stdout.splitlines():
        assert line in page
    assert sum(line.startswith("| W") for line in ended.stdout.splitlines()) == 1
