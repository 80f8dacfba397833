"""The committed vectors against the installed Twisted."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.programs import command, environment

HERE = Path(__file__).parent


def test_recording_again_gives_the_same_files(tmp_path: Path) -> None:
    """What is committed is what the installed Twisted says, whatever the hash seed."""
    subprocess.run(
        command("vectors.record", str(tmp_path)),
        check=True,
        env=environment(PYTHONHASHSEED="1", PYTHONSAFEPATH="1"),
        timeout=30,
    )
    recorded = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.json")}
    committed = {path.name: path.read_text("utf-8") for path in HERE.glob("*.json")}
    # The versions may differ where the bytes do not.
    assert recorded.pop("about.json") and committed.pop("about.json")
    assert recorded == committed
