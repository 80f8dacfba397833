"""What Twisted itself has built on Perspective Broker: distributed web servers, and words.

The tests are Twisted's own, of the installed version. Copies of a module and of its tests have
their imports moved, and stand in for the two while trial runs.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from vocabulary.twisteds_tests import REASONS

from field.environments import Environment
from field.moving import Extent, move
from field.processes import Failed, Program
from field.rows import Row

__all__ = ["TwistedsOwn"]

PROGRAM = Path(__file__).resolve().parent / "programs" / "own_tests.py"

SUITES = {
    "twisted.web.distrib": "twisted.web.test.test_distrib",
    "twisted.words.service": "twisted.words.test.test_service",
}
PAIRINGS = {
    "Twisted's": None,
    "PB moved": Extent.PB_ALONE,
    "PB moved, with defer": Extent.WITH_DEFER,
}
SECONDS = 60.0


class TwistedsOwn:
    """Both suites, each in each pairing."""

    name = "Twisted's own"
    # Where pyOpenSSL is installed, as it is with this library, Twisted wants all of its extra.
    requirements = ("Twisted[tls]>=24.11",)
    distributions = ("Twisted",)

    def __init__(self, environment: Environment, folder: Path) -> None:
        self._environment = environment

    def rows(self) -> Iterator[Row]:
        """Run both suites in each pairing."""
        for module, tests in SUITES.items():
            known = REASONS.get(tests, {})
            for pairing, extent in PAIRINGS.items():
                row = Row(f"{module}, its own tests", pairing)
                with row.shown(), TemporaryDirectory() as folder:
                    copies = self._copies(Path(folder), module, tests)
                    if extent is not None:
                        move(self._environment, extent, *copies.values())
                    stands_in = [f"{name}={copy}" for name, copy in copies.items()]
                    expected = set() if extent is None else set(known)
                    row.tell(_run(self._environment, Path(folder), [tests, *stands_in], expected))
                yield row

    def _copies(self, folder: Path, *modules: str) -> dict[str, Path]:
        """Return copies of modules, by the names of these."""
        copies = {}
        for module in modules:
            copies[module] = folder / f"{module}.py"
            shutil.copy(_file(self._environment, module), copies[module])
        return copies


def _file(environment: Environment, name: str) -> Path:
    package, _, last = name.rpartition(".")
    return environment.installed(package) / f"{last}.py"


def _run(environment: Environment, folder: Path, arguments: list[str], expected: set[str]) -> str:
    """Run tests, of which those of the expected names fail; say how many pass.

    Raises:
        Failed: others do, or one of these passes.
    """
    command = [environment.python, PROGRAM, *arguments]
    with Program("trial", command, folder) as trial:
        # It fails where a test does; which those are is printed.
        with suppress(Failed):
            trial.wait(SECONDS)
        printed = "\n".join(trial.printed)
        ran = re.search(r"^Ran (\d+) tests", printed, re.M)
        if ran is None:
            raise trial.failed("did not run all tests")
        marks = dict(re.findall(r"(test\w+) \.\.\..*?\[(\w+)\]", printed, re.S))
        failed = {name for name, mark in marks.items() if mark != "OK"}
        told = f"{int(ran[1]) - len(failed)} of {ran[1]} pass"
        if failed != expected or len(marks) != int(ran[1]):
            raise Failed(
                f"{told}; those that fail are {sorted(failed)}, and not {sorted(expected)}"
            )
    return told + "".join(f"; `{name}` does not" for name in sorted(failed))
