"""The bench itself: every side runs every workload that it is down for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def test_bench(tmp_path: Path) -> None:
    """A short run measures each pairing, prints the ratios, and writes down the run."""
    command = ["--only", "W5 10k", "--rounds", "1", "--secs", "0.01", "--share", "0.01"]
    ended = subprocess.run(
        [sys.executable, str(RUN), *command, "--docs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (run,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert list(run["figures"]) == ["W5 10k"]
    for (measured,) in run["figures"]["W5 10k"].values():
        assert measured["calls"] >= 3
        assert measured["rate"] > 0
