"""Lets a crowd talk, and prints how long each client has waited for each text of the others.

``make crowd`` runs this: 500 clients by all front ends, 100 texts a second, and one client that
reads nothing. A wait is from the call that sends a text to the one that gets it, so it has the time
of the clients' processes too. The lags of the loops stand beside it: a machine that is busy with
something else shows there. The exit status is 1 if a text was lost or out of order, or if a wait
was longer than the bound.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from support.folders import ROOT
from support.programs import command, environment

from chat_crowd.rows import deaf, rows_of

__all__ = ["Result", "crowd", "main"]

BOUND = 0.100
"""The longest wait, in seconds."""


@dataclass
class Result:
    """What was measured.

    Attributes:
        said: the number of texts.
        waits: all waits, by front end, the shortest first.
        faults: what was lost, or out of order.
        lags: by how much a timer of a loop was late, at most: of the server, and of the clients.
        cpu: the processor seconds of the server.
    """

    said: int
    waits: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    lags: tuple[float, float] = (0.0, 0.0)
    cpu: float = 0.0

    @property
    def longest(self) -> float:
        """The longest wait of all."""
        return max(waits[-1] for waits in self.waits.values())


class Process:
    """A program of this package that reads and writes lines of JSON."""

    def __init__(self, name: str, *arguments: str):
        self._process = subprocess.Popen(
            command(f"chat_crowd.{name}", *arguments),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(PYTHONPATH=str(ROOT)),
        )  # fmt: skip

    def write(self, value: Any) -> None:
        """Write a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """Read a line."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self._process.kill()
        self._process.communicate()


def crowd(clients: int, rate: float, seconds: float, rooms: int = 1, processes: int = 2) -> Result:
    """Let a crowd talk.

    Args:
        clients: how many, by all front ends.
        rate: texts a second, of all of them together.
        seconds: how long.
        rooms: how many rooms they are in.
        processes: of the clients.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="crowd-"))
        server = stack.enter_context(
            Process("server", str(Path(folder) / "chat"), str(clients + 1))
        )
        where = server.read()
        rows = rows_of(clients, rooms)
        parts = [stack.enter_context(Process("visitors")) for _ in range(processes)]
        for number, part in enumerate(parts):
            visitors = rows[number::processes]
            part.write({"where": where, "visitors": visitors, "rate": rate / processes})
        for part in parts:
            part.read()
        with deaf(where, f"u{clients}", "#lobby"):
            return measured(server, parts, seconds)


def measured(server: Process, parts: list[Process], seconds: float) -> Result:
    """Let everybody talk, and collect what was heard."""
    server.write(0)
    _, before = server.read()
    for part in parts:
        part.write(seconds)
    rooms: Counter[str] = Counter()
    for part in parts:
        rooms.update(part.read())
    result = Result(rooms.total())
    for part in parts:
        part.write(rooms)
    lag = 0.0
    for part in parts:
        found = part.read()
        for door, waits in found["waits"].items():
            result.waits.setdefault(door, []).extend(waits)
        result.faults += found["faults"]
        lag = max(lag, found["lag"])
    for waits in result.waits.values():
        waits.sort()
    server.write(0)
    server_lag, after = server.read()
    result.lags, result.cpu = (server_lag, lag), after - before
    return result


def main() -> str | None:
    """Run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0, help="texts a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="of the clients")
    chosen = parser.parse_args()
    result = crowd(**vars(chosen))
    print(
        f"{chosen.clients} clients in {chosen.rooms} rooms, and one that reads nothing;"
        f" {result.said} texts in {chosen.seconds:g} s"
    )
    print(f"{'front end':10} {'heard':>10} {'median':>9} {'99 %':>9} {'99.9 %':>9} {'longest':>9}")
    for door, waits in result.waits.items():
        marks = [waits[min(len(waits) - 1, int(len(waits) * part))] for part in (0.5, 0.99, 0.999)]
        cells = "".join(f"{1000 * each:7.1f} ms" for each in (*marks, waits[-1]))
        print(f"{door:10} {len(waits):10,} {cells}")
    server, clients = (1000 * each for each in result.lags)
    print(f"timers were late by at most {server:.1f} ms (server), {clients:.1f} ms (clients)")
    print(f"processor time of the server: {result.cpu:.1f} s")
    if result.faults:
        return "\n".join(result.faults[:20])
    if result.longest > BOUND:
        return f"a client has waited {1000 * result.longest:.0f} ms (at most {1000 * BOUND:.0f})"
    return None


if __name__ == "__main__":
    sys.exit(main())
