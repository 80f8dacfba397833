"""Plant bugs into copies of the module in C, and say which test finds each one, and how soon.

``python -m fuzz.lane_bugs`` builds the module once for each bug, with sanitizers for the fuzz
target ``lane`` and without for the tests. It needs gcc or clang, and a second or two for most bugs.
``--only NAME`` takes one of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from project import sanitized
from support import programs
from support.folders import ROOT

from fuzz.run import fuzz

__all__ = ["BUGS", "Bug", "find", "main"]

_FUZZ_SECONDS = 4.0
_TESTS = (
    "tests/broker/core/test_unsent.py",
    "tests/broker/connection/test_lane.py",
    "tests/broker/connection/test_lane_states.py",
    "tests/broker/connection/test_lane_finalizers.py",
    "tests/broker/connection/test_direct_wake.py",
    *(f"tests/broker/defer/test_{name}.py" for name in ("forms", "fields", "awaiting", "chain")),
    "tests/properties/test_lane.py",
    "tests/broker/connection/test_pump_base.py",
    "tests/broker/connection/test_pump.py",
    "tests/broker/net/test_stream_base.py",
    "tests/broker/net/test_socket_source.py",
    "tests/broker/connection/test_lane_memory.py",
)


@dataclass(frozen=True)
class Bug:
    """A change of one file of ``native``.

    Attributes:
        name: what is wrong.
        file: which one.
        before, after: the text, which the file has once, and what it becomes.
    """

    name: str
    file: str
    before: str
    after: str

    def plant(self, folder: Path) -> None:
        """Change the file in a folder.

        Raises:
            ValueError: the text is not there once.
        """
        path = folder / self.file
        text = path.read_text("utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: the text stands {text.count(self.before)} times")
        path.write_text(text.replace(self.before, self.after), "utf-8")


def _read(path: Path) -> Iterator[Bug]:
    """Read bugs: each a line with ``#`` and its name, the file, and lines with ``-`` and ``+``."""
    for part in path.read_text("utf-8").removeprefix("# ").split("\n\n# "):
        name, file, *lines = part.rstrip("\n").split("\n")
        before, after = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        yield Bug(name, file.removeprefix("file: "), before, after)


BUGS = tuple(_read(Path(__file__).with_suffix(".txt")))


def find(bug: Bug, folder: Path, chosen: Sequence[str] = ()) -> str | None:
    """Return what finds a bug, and after how many seconds; None if nothing does.

    Args:
        bug: the bug.
        folder: an empty one, where the module is built.
        chosen: options of pytest.
    """
    sources = folder / "native"
    sources.mkdir(parents=True)
    for path in (ROOT / "native").iterdir():
        (sources / path.name).write_bytes(path.read_bytes())
    bug.plant(sources)
    built = sanitized.build(folder / "sanitized", sorted(sources.glob("*.c")))
    begun = time.perf_counter()
    if built is not None:
        found = folder / "found"
        found.mkdir()
        result = fuzz("lane", "random", _FUZZ_SECONDS, 1, folder / "corpus", found, built)
        if result["findings"]:
            seconds = time.perf_counter() - begun
            text = next(iter(result["findings"]))
            return f"fuzz, {seconds:.0f} s of {result['executions']:,} inputs: {text:.100}"
    plain = folder / "plain"
    plain.mkdir()
    output = plain / f"_lane{EXTENSION_SUFFIXES[0]}"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-I", sysconfig.get_path("include")]
    subprocess.run([*command, *map(str, sorted(sources.glob("*.c"))), "-o", output], check=True)
    begun = time.perf_counter()
    command = programs.command("project.sanitized", str(plain), "pytest", "-x", "-q")
    command += ["-p", "no:cacheprovider", "-W", "ignore:Module already imported"]
    done = subprocess.run(
        [*command, *chosen, *_TESTS],
        cwd=ROOT, env=programs.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    told = [line for line in lines if line.startswith(("FAILED", "ERROR", "Fatal"))]
    return f"tests, {time.perf_counter() - begun:.0f} s: {(told or [done.returncode])[-1]!s:.140}"


def main() -> int:
    """Look for each bug; return 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the name of a bug")
    parser.add_argument("chosen", nargs="*", help="options of pytest, behind --")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.only in bug.name]
    missed = 0
    for bug in bugs:
        with tempfile.TemporaryDirectory() as folder:
            found = find(bug, Path(folder), options.chosen)
        missed += found is None
        print(f"{bug.name} | {found or 'NOT FOUND'}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
