"""Moves files of a stranger's program: ``pb port --write``, as whoever moves a program does."""

from __future__ import annotations

import enum
import re
from pathlib import Path

from field.environments import Environment
from field.processes import Failed, run

__all__ = ["Extent", "move"]

MOVED, WORK_LEFT = 0, 1
"""With what ``pb port`` ends: what it says is left to be done by hand is not done here."""

_OF_DEFER = (
    (r"^( *)from broker import defer\b", r"\1from twisted.internet import defer"),
    (r"^( *)from broker import failure\b", r"\1from twisted.python import failure"),
    (r"^( *)from broker\.defer import\b", r"\1from twisted.internet.defer import"),
    (r"^( *)from broker\.failure import\b", r"\1from twisted.python.failure import"),
)


class Extent(enum.Enum):
    """How much of a file moves."""

    WHOLE = enum.auto()
    """All that has a home here, the reactor too."""
    WITH_DEFER = enum.auto()
    """Perspective Broker and cred, Deferred and Failure; the rest stays on Twisted's reactor."""
    PB_ALONE = enum.auto()
    """Perspective Broker and cred: not what is advised, and it must work nevertheless."""


def move(environment: Environment, extent: Extent, *paths: Path) -> None:
    """Rewrite the imports of files, or of all files in folders.

    Raises:
        Failed: one has none that moves.
    """
    before = [_text(path) for path in paths]
    options = [] if extent is Extent.WHOLE else ["--keep-reactor"]
    command = [*environment.script("pb"), "port", "--write", *options, *paths]
    run("pb port", command, environment.folder, statuses=(MOVED, WORK_LEFT))
    if extent is Extent.PB_ALONE:
        for path in paths:
            _leave_defer(path)
    for path, text in zip(paths, before, strict=True):
        if _text(path) == text:
            raise Failed(f"{path} imports nothing that moves")


def _leave_defer(path: Path) -> None:
    text = path.read_text("utf-8")
    for pattern, theirs in _OF_DEFER:
        text = re.sub(pattern, theirs, text, flags=re.M)
    path.write_text(text, "utf-8")


def _text(path: Path) -> str:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return "".join(file.read_text("utf-8") for file in files)
