"""One file looked at: what is found in it, and its text after the imports have moved."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from broker.porting.doubts import doubts
from broker.porting.findings import Finding, Kind
from broker.porting.moves import Moves, apply
from broker.porting.names import Names
from broker.porting.sources import Source, Unreadable, hiding, read

__all__ = ["Scan", "scan"]


class Scan(NamedTuple):
    """What came of looking at a file.

    Attributes:
        findings: by line.
        source: the file; None where it could not be read.
        moved: its text with the imports moved; that of the source where nothing moves.
    """

    findings: list[Finding]
    source: Source | None = None
    moved: str = ""


def scan(path: Path, keep_reactor: bool = False) -> Scan:
    """Look at a file. Nothing of it is imported or run.

    Args:
        path: the file.
        keep_reactor: whether the program stays on Twisted's reactor, so that only Perspective
            Broker, cred, Deferred and Failure move.
    """
    try:
        source = read(path)
    except Unreadable as exc:
        return Scan([Finding(str(path), exc.line, Kind.UNREAD, str(exc))])
    names = Names(source.tree)
    moves = Moves(source, names, keep_reactor, hiding(path))
    found = [*moves.findings, *doubts(source, names, moves.moves)]
    moved = apply(source.text, moves.edits)
    try:
        Source(path, moved)
    except Unreadable as exc:
        # An edit is wrong; the file stays as it is.
        found = [Finding(str(path), exc.line, Kind.UNREAD, f"imports cannot be moved: {exc}")]
        moved = source.text
    found.sort(key=lambda finding: finding.line)
    return Scan(list(dict.fromkeys(found)), source, moved)
