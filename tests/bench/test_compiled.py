"""The benchmark of the compiled form: it is built if there is a compiler, and not otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench import compiled
from support.folders import HELPERS

COMPILER = """\
#!{python}
import sys
source, output = sys.argv[-3], sys.argv[-1]
has_headers = any(each.startswith("-I") for each in sys.argv)
if {works} and has_headers and "Python.h" in open(source).read():
    open(output, "w").close()
else:
    sys.exit("Python.h: no such file")
"""


def use_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool) -> None:
    """Let CC name a compiler that works, or that does not find the header files of Python."""
    program = folder / "cc"
    program.write_text(COMPILER.format(python=sys.executable, works=works))
    program.chmod(0o755)
    monkeypatch.setenv("CC", str(program))


@pytest.mark.parametrize("works", [True, False])
def test_what_is_measured(works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler the environment's Python runs the benchmark, otherwise the present one.

    It imports neither from the current folder nor from those of the caller's PYTHONPATH.
    """
    monkeypatch.setenv("PYTHONPATH", "/some/checkout")
    use_compiler(tmp_path, monkeypatch, works=works)
    asked: list[list[str]] = []

    def run(
        command: list[str], *, env: dict[str, str], check: bool
    ) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        assert (env["PYTHONSAFEPATH"], env["PYTHONPATH"]) == ("1", str(HELPERS))
        return subprocess.CompletedProcess(command, 7)

    assert compiled.has_compiler() is works
    monkeypatch.setattr(compiled, "has_compiler", lambda: works)
    monkeypatch.setattr(compiled, "environment", lambda folder: folder / "venv" / "bin" / "python")
    monkeypatch.setattr(compiled.subprocess, "run", run)
    assert compiled.main(["--only", "W2"]) == 7
    python = str(compiled.FOLDER / "venv" / "bin" / "python") if works else sys.executable
    assert asked == [[python, "-m", "bench.run", "--only", "W2"]]


@pytest.mark.parametrize("compiler", ["/no/such/compiler", "/bin/false", "/bin/true"])
def test_without_a_compiler(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that is missing, fails, or compiles nothing is none."""
    monkeypatch.setenv("CC", compiler)
    assert not compiled.has_compiler()
