"""The loop alone, as a side of the bench."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run as bench
from bench.contract import Effort
from bench.pairings import PAIRINGS, options_for
from bench.processes import sides


@pytest.mark.parametrize("group", bench.together(list(PAIRINGS["bare"].runs)), ids="-".join)
def test_the_loop_alone(group: list[str], tmp_path: Path) -> None:
    """It does the same work as a library."""
    bench.write_identities(tmp_path)
    with sides({"bare": options_for(PAIRINGS["bare"], group[0], str(tmp_path))}) as running:
        for name in group:
            assert running.measure("bare", name, Effort(0.01, 0.02))["rate"] > 0
