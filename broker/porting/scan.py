"""Scans one file: finds lines to report, and rewrites its text with the imports moved."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from broker.porting.findings import Finding, Kind
from broker.porting.moves import Moves, apply
from broker.porting.names import Names
from broker.porting.sources import Source, Unreadable, hiding, read
from broker.porting.warnings import find_warnings

__all__ = ["Scan", "scan"]


class Scan(NamedTuple):
    """The result of scanning a file.

    Attributes:
        findings: the findings, in the order of their lines.
        source: the file; None if it could not be read.
        moved: its text with the imports moved; the unchanged text if no import moves.
    """

    findings: list[Finding]
    source: Source | None = None
    moved: str = ""


def scan(path: Path, keep_reactor: bool = False) -> Scan:
    """Scan a file, without importing or running it.

    Args:
        path: the file.
        keep_reactor: whether the program keeps the reactor of Twisted, so that only Perspective
            Broker, cred, Deferred and Failure move.
    """
    try:
        source = read(path)
    except Unreadable as exc:
        return Scan([Finding(str(path), exc.line, Kind.UNREAD, str(exc))])
    names = Names(source.tree)
    moves = Moves(source, names, keep_reactor, hiding(path))
    found = [*moves.findings, *find_warnings(source, names, moves.moves)]
    moved = apply(source.text, moves.edits)
    try:
        Source(path, moved)
    except Unreadable as exc:
        # An edit is wrong, so the file stays unchanged.
        found = [Finding(str(path), exc.line, Kind.UNREAD, f"imports cannot be moved: {exc}")]
        moved = source.text
    found.sort(key=lambda finding: finding.line)
    return Scan(list(dict.fromkeys(found)), source, moved)
