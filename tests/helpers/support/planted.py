"""Planted bugs: patches that break the product on purpose, so that tests can find them.

A patch begins with a line that says what is wrong with it. It is applied where its context stands,
wherever in the file that is by now; where that is not exactly one place, it has to be made anew.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from support.folders import ROOT

__all__ = ["PACKAGES", "Bug", "Misfit", "all_bugs", "copy_sources"]

PACKAGES = ("broker", "cred", "jelly")
"""The packages of the product."""


class Misfit(Exception):
    """A patch does not fit the sources any more."""


@dataclass(frozen=True)
class Bug:
    """A patch.

    Attributes:
        name: of its file.
        text: what it breaks, a sentence.
        hunks: for each, the file, the lines before and the lines after.
    """

    name: str
    text: str
    hunks: tuple[tuple[str, str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Bug:
        """Return the bug of a patch file."""
        lines = path.read_text("utf-8").splitlines(keepends=True)
        hunks: list[tuple[str, str, str]] = []
        file = ""
        for line in lines[1:]:
            if line.startswith("+++ b/"):
                file = line[6:].strip()
            elif line.startswith("@@"):
                hunks.append((file, "", ""))
            elif hunks and not line.startswith(("--- ", "diff ")):
                name, before, after = hunks[-1]
                before += line[1:] if line[0] in " -" else ""
                after += line[1:] if line[0] in " +" else ""
                hunks[-1] = name, before, after
        return cls(path.stem, lines[0].strip(), tuple(hunks))

    def plant(self, sources: Path) -> None:
        """Change the sources in a folder.

        Raises:
            Misfit: the lines are not there, or in more than one place.
        """
        for file, before, after in self.hunks:
            path = sources / file
            text = path.read_text("utf-8")
            times = text.count(before)
            if times != 1:
                raise Misfit(f"{self.name}: its lines stand {times} times in {file}, not once")
            path.write_text(text.replace(before, after), "utf-8")


def all_bugs(folder: Path) -> list[Bug]:
    """Return the bugs of a folder, by name."""
    return [Bug.read(path) for path in sorted(folder.glob("*.patch"))]


def copy_sources(folder: Path) -> None:
    """Copy the packages into a folder."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored, dirs_exist_ok=True)
