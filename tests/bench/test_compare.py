"""The comparison of variants in processor time: which figures count, and what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import compare
from support.folders import ROOT


def test_ratios_are_of_rounds() -> None:
    """A ratio is to the first variant in the same round; above 1 is faster than that."""
    lines = compare.table({"base": [10.0, 20.0, 60.0], "new": [5.0, 20.0, 20.0]}, {})
    assert [line.split() for line in lines[1:]] == [
        ["base", "20.00", "1.000", "1.000", "1.000"],
        ["new", "20.00", "2.000", "1.000", "3.000"],
    ]


def test_a_table_without_figures() -> None:
    """If all variants fail, the table has their errors."""
    lines = compare.table({}, {"base": "ImportError: no"})
    assert lines[1:] == ["  base             failed: ImportError: no"]


def test_variants_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each variant has a row in the table of a workload, one that fails has its error there."""
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "__init__.py").write_text("raise RuntimeError('it is broken')")
    asked = ["--variants", f"base={ROOT},uv={ROOT}+uvloop,twisted,new={tmp_path}"]
    status = compare.main([*asked, "--workloads", "W1", "--count", "3", "--rounds", "2"])
    title, head, *rows = capsys.readouterr().out.splitlines()
    assert title == "W1, one call at a time"
    assert head.split() == ["variant", "µs", "ratio", "lowest", "highest"]
    assert [row.split()[0] for row in rows] == ["base", "uv+uvloop", "twisted", "new"]
    assert rows[0].split()[2:] == ["1.000", "1.000", "1.000"]
    assert rows[3] == "  new              failed: RuntimeError: it is broken"
    assert status == 1


def test_all_work(capsys: pytest.CaptureFixture[str]) -> None:
    """The status is 0 if no variant fails; a dialect and TLS can be asked for."""
    asked = ["--variants", f"new={ROOT}", "--workloads", "W1", "--count", "1", "--rounds", "1"]
    assert compare.main([*asked, "--tls", "--dialect", "pb"]) == 0
    assert "failed" not in capsys.readouterr().out
