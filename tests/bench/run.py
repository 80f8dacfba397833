"""Measure Twisted's Perspective Broker and broker side by side, and write down the ratios.

``make bench`` runs this; ``make bench ARGS="--rounds 3 --secs 0.5"`` in a shorter time. Server and
client are processes of their own, pinned to one core each (both to the same one for "one core"). In
every round each pairing has its turn with fresh processes, so that what the machine does meanwhile
meets all of them. The figures of a run are appended to runs.jsonl, and the page is made from that.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Not there by itself where PYTHONSAFEPATH is set, as it is under make.
sys.path.insert(0, str(HERE))

import page  # noqa: E402
import workloads  # noqa: E402

PAIRINGS = {
    "twisted": ("twisted_side.py", "twisted_side.py"),
    "ours": ("ours_side.py", "ours_side.py"),
    "our client, Twisted server": ("ours_side.py", "twisted_side.py"),
    "Twisted client, our server": ("twisted_side.py", "ours_side.py"),
}
VERSIONS = ("Twisted", "zope.interface", "msgspec")


class Process:
    """A side, in a process that is pinned to one core and hears and says JSON lines."""

    def __init__(self, program: str, *arguments: str, core: int):
        path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
        environment = dict(os.environ, PYTHONPATH=path, PYTHONHASHSEED="0")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, {core})

    def say(self, value: Any) -> None:
        """Write one value to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the next value that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a side ended with status {self._process.wait()}")
        return json.loads(line)

    def cpu(self) -> int:
        """Return the nanoseconds that it has run so far; 0 where the system does not say."""
        try:
            text = Path(f"/proc/{self._process.pid}/schedstat").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(text.split()[0])

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def connected(
    client: str, server: str, cores: tuple[int, int]
) -> Iterator[tuple[Process, Process]]:
    """Start both sides, client and server; they are connected, and the client waits for orders."""
    far = Process(server, "server", core=cores[0])
    try:
        near = Process(client, "client", str(far.hear()), core=cores[1])
        try:
            dialect = near.hear()
            if dialect != "pb":
                raise SystemExit(f"the sides speak {dialect}, not pb")
            yield near, far
        finally:
            near.close()
    finally:
        far.close()


def run_round(pairings: list[str], names: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Let each pairing run each workload once; return the figures by workload and pairing."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    figures: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        pair = (cores[0], cores[0]) if "one core" in name else (cores[0], cores[-1])
        for pairing in pairings:
            with connected(*PAIRINGS[pairing], pair) as sides:
                figures[name][pairing] = _measure(*sides, name, seconds)
    return figures


def _measure(client: Process, server: Process, name: str, seconds: float) -> dict[str, float]:
    before = client.cpu() + server.cpu()
    client.say([name, seconds])
    figure: dict[str, float] = client.hear()
    figure["cpu_us"] = (client.cpu() + server.cpu() - before) / figure["calls"] / 1e3
    return figure


def commit() -> str:
    """Return the commit that is checked out, with a mark where files differ from it."""
    try:
        asked = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=10"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each pairing")
    parser.add_argument("--secs", type=float, default=1.0, help="seconds of each measurement")
    parser.add_argument("--only", default="", help="workloads that begin so, such as W1,W2")
    parser.add_argument("--mixed", action="store_true", help="also ours with Twisted's, both ways")
    parser.add_argument("--docs", type=Path, default=HERE.parents[1] / "docs" / "performance")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measure, print the table, and write it down."""
    options = parse(arguments)
    only = tuple(options.only.split(","))
    names = [name for name in workloads.WORKLOADS if name.startswith(only)]
    pairings = list(PAIRINGS) if options.mixed else ["twisted", "ours"]
    begun = datetime.datetime.now(datetime.UTC)
    rounds = []
    for number in range(options.rounds):
        rounds.append(run_round(pairings, names, options.secs))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    run = page.rounded(
        {
            "date": begun.isoformat(timespec="seconds"),
            "commit": commit(),
            "command": " ".join(
                ["make bench", *([f'ARGS="{" ".join(arguments)}"'] * bool(arguments))]
            ),
            "rounds": options.rounds,
            "secs": options.secs,
            "took_s": round((datetime.datetime.now(datetime.UTC) - begun).total_seconds(), 1),
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
            "figures": {
                name: {pairing: [each[name][pairing] for each in rounds] for pairing in pairings}
                for name in names
            },
        }
    )
    print(page.table(run))
    options.docs.mkdir(parents=True, exist_ok=True)
    with (options.docs / "runs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    page.write(options.docs)


if __name__ == "__main__":
    main(sys.argv[1:])
