"""The command ``port``: reports which parts of a Twisted program move here, and moves imports."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from broker.commands.wording import shown
from broker.porting.findings import Finding, Kind
from broker.porting.scan import Scan, scan
from broker.porting.sources import files_of
from broker.porting.writing import write

__all__ = ["port"]

WORK_LEFT = 1

_STYLES = {
    Kind.MOVES: "green",
    Kind.STAYS: "dim",
    Kind.ABSENT: "bold red",
    Kind.LOOK: "yellow",
    Kind.UNREAD: "bold red",
}
# The name of each kind in the counts, for one and for more.
_COUNTED = {
    Kind.MOVES: ("import moves", "imports move"),
    Kind.STAYS: ("may stay", "may stay"),
    Kind.ABSENT: ("has no home here", "have no home here"),
    Kind.LOOK: ("to look at by hand", "to look at by hand"),
    Kind.UNREAD: ("not read", "not read"),
}


@click.command("port")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--write", "is_written", is_flag=True, help="Move the imports in the files.")
@click.option(
    "--keep-reactor",
    is_flag=True,
    help="Stay on Twisted's reactor: only Perspective Broker, cred, Deferred and Failure move.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for a program.")
def port(paths: tuple[str, ...], is_written: bool, keep_reactor: bool, is_json: bool) -> None:
    """Read a program that was written for Twisted, and report what moves to this library.

    Each PATH is a Python file or a folder. Its code is not imported or run. If pb moves, defer and
    failure move with it in all files. Other names may stay on Twisted; the report lists them. The
    exit status is 0 if only imports have to be moved, 1 if something has to be done by hand, 2 if
    the command line is wrong.
    """
    found: list[Finding] = []
    for each in _scans(paths, keep_reactor):
        found += each.findings
        if is_written:
            found += _written(each)
    if is_json:
        names = ("path", "line", "kind", "text")
        told = [(each.path, each.line, each.kind.value, each.text) for each in found]
        click.echo(json.dumps([dict(zip(names, each, strict=True)) for each in told]))
    else:
        _print(found, is_written)
    if any(each.kind.needs_a_hand for each in found):
        sys.exit(WORK_LEFT)


def _scans(paths: tuple[str, ...], keep_reactor: bool) -> Iterator[Scan]:
    for found in files_of(map(Path, paths)):
        yield Scan([found]) if isinstance(found, Finding) else scan(found, keep_reactor)


def _written(found: Scan) -> list[Finding]:
    """Write a file with moved imports; return the errors."""
    source = found.source
    if source is None or found.moved == source.text:
        return []
    try:
        write(source, found.moved)
    except OSError as exc:
        text = f"cannot be written: {exc.strerror or exc}"
        return [Finding(str(source.path), 0, Kind.UNREAD, text)]
    return []


def _print(found: list[Finding], is_written: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for path, line, kind, text in found:
        where = f"{path}:{line}" if line else path
        console.print(
            Text.assemble(f"{shown(where)}: ", (f"{kind.value}: ", _STYLES[kind]), shown(text))
        )
    counts = Counter(each.kind for each in found)
    parts = [f"{n} {_COUNTED[kind][n > 1]}" for kind in Kind if (n := counts[kind])]
    if is_written and counts[Kind.MOVES]:
        parts[0] = f"{counts[Kind.MOVES]} moved"
    console.print(", ".join(parts) or "nothing of Twisted's is imported")
