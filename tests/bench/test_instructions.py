"""The count of instructions: what callgrind says, and what is made of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bench import instructions
from bench.variants import Failure
from support.folders import ROOT

RECORDED = """\
==4711== Callgrind, a call-graph generating cache profiler
==4711== For interactive control, run 'callgrind_control -h'.
==4711==
==4711== Events    : Ir
==4711== Collected : 2144210683
==4711==
==4711== I   refs:      2,144,210,683
"""

VALGRIND = """\
#!{python}
import json, sys
if sys.argv[3] == "/no/such/python":
    sys.exit("valgrind: /no/such/python: command not found")
print("null")
count = json.loads(sys.argv[-1])["count"]
print("==1== Collected :", 1_000_000 + {each} * count, file=sys.stderr)
"""


def use_valgrind(folder: Path, monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    """Put a valgrind on the path that runs nothing and counts so many instructions a step."""
    program = folder / "valgrind"
    program.write_text(VALGRIND.format(python=sys.executable, each=each))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_what_callgrind_says() -> None:
    """The instructions are in the line that begins with ``Collected``."""
    assert instructions.collected(RECORDED) == 2_144_210_683
    with pytest.raises(Failure, match="did not say"):
        instructions.collected("==4711== I   refs:      2,144\nCollected : 5\n")


def test_the_start_cancels_out() -> None:
    """What N operations and 2N have in common is not counted."""
    assert instructions.of_one(1_000 + 50 * 7, 1_000 + 100 * 7, 50) == 7


def test_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has thousands of instructions of one operation, and the ratio to the first."""
    use_valgrind(tmp_path, monkeypatch, 175_000)
    asked = ["--variants", f"base={ROOT},twisted", "--workloads", "W1,W6"]
    assert instructions.main(asked) == 0
    call, *calls, event, base, twisted = capsys.readouterr().out.splitlines()
    assert call == "W1, one call at a time: thousand instructions of one operation"
    assert [row.split() for row in calls] == [
        ["base", "175.00", "1.000"],
        ["twisted", "175.00", "1.000"],
    ]
    assert event.startswith("W6, ")
    assert (base.split()[1], twisted.split()[1]) == ("3.50", "3.50")


def test_without_valgrind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If valgrind is missing, the command says so and fails."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert instructions.main([]) == 1
    assert "valgrind is not installed" in capsys.readouterr().out


def test_a_variant_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variant that fails is named with its error, and the others go on."""
    use_valgrind(tmp_path, monkeypatch, 1_000)
    asked = ["--variants", f"new={ROOT}#/no/such/python,base={ROOT}", "--workloads", "W1"]
    assert instructions.main([*asked, "--count", "1"]) == 1
    _, new, base = capsys.readouterr().out.splitlines()
    assert new == "  new              failed: valgrind: /no/such/python: command not found"
    assert base.split() == ["base", "1.00", "1.000"]
