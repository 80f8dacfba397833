"""Measure broker, Twisted's Perspective Broker and others side by side, and write down the ratios.

``make bench`` runs this; ``make bench ARGS="--only W2 --rounds 3 --secs 0.5"`` a part of it. Server
and client are processes of their own, pinned to one core each (both to the same one for "one
core"). In every round each pairing has its turn with fresh processes, so that what the machine
does meanwhile meets all of them. A whole run is appended to runs.jsonl, and page and charts are
made from that; a part is only printed, unless it is said where to write.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.folders import DOCS, ROOT

from bench import (
    startup,
    tables,
)
from bench.contract import Effort
from bench.forms import said_of_forms
from bench.identities import write_identities
from bench.page import write
from bench.pairings import PAIRINGS, REFERENCE, options_for
from bench.processes import sides
from bench.workloads import SHARED, WORKLOADS

FOLDER = DOCS / "performance"
VERSIONS = (
    *("Twisted", "zope.interface", "msgspec", "pyOpenSSL", "cryptography", "uvloop"),
    *("Pyro5", "msgpack", "grpcio", "protobuf", "aiohttp", "pycapnp"),
)
START_UP = "import"


def together(names: list[str]) -> list[list[str]]:
    """Return the workloads in groups, each of which the same processes can run."""
    shared = [name for name in names if name in SHARED]
    return [shared] * bool(shared) + [[name] for name in names if name not in SHARED]


def run_group(
    pairings: list[str], group: list[str], effort: Effort, certificates: str, forms: dict[str, str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Let each pairing run each workload of a group once; yield workload, pairing and figures.

    There are no figures where a side has failed: a long run is not lost for that. The form of each
    pairing that has one is put into ``forms``.
    """
    chosen = [each for each in pairings if set(group) & set(PAIRINGS[each].runs)]
    described = {each: options_for(PAIRINGS[each], group[0], certificates) for each in chosen}
    with sides(described) as running:
        forms.update({each: form for each, form in running.forms.items() if form})
        for name, pairing in itertools.product(group, chosen):
            if name not in PAIRINGS[pairing].runs:
                continue
            try:
                yield name, pairing, running.measure(pairing, name, effort)
            except RuntimeError as error:
                print(f"{name}, {PAIRINGS[pairing].label}: {error}", file=sys.stderr)
                yield name, pairing, {}


def run_rounds(
    options: argparse.Namespace,
) -> tuple[dict[str, dict[str, list[dict[str, Any]]]], dict[str, str]]:
    """Run all rounds; return the figures by workload and pairing, and the forms by pairing."""
    forms: dict[str, str] = {}
    effort = Effort(options.secs, options.share)
    names = [name for name in options.only if name != START_UP]
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    with TemporaryDirectory(prefix="bench-") as folder:
        write_identities(Path(folder))
        for number in range(options.rounds):
            for group in together(names):
                turn = run_group(options.pairings, group, effort, folder, forms)
                for name, pairing, measured in turn:
                    figures[name].setdefault(pairing, []).append(measured)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return figures, forms


def commit() -> str:
    """Return the commit that is checked out, with a mark where files differ from it."""
    try:
        asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Return the versions of what is measured, as far as it is installed."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def rounded(run: Any) -> Any:
    """Return a run with its figures to four digits, which is more than they are worth."""
    if isinstance(run, dict):
        return {key: rounded(value) for key, value in run.items()}
    if isinstance(run, list | tuple):
        return [rounded(value) for value in run]
    return float(f"{run:.4g}") if isinstance(run, float) else run


def beginnings(text: str) -> list[str]:
    """Return the workloads that begin so, of a list with commas."""
    names = [*WORKLOADS, START_UP]
    chosen = [name for name in names if name.startswith(tuple(text.split(",")))]
    if not chosen:
        raise argparse.ArgumentTypeError(f"choose from {', '.join(names)}")
    return chosen


def keys(text: str) -> list[str]:
    """Return the pairings of a list with commas, and the one that they are compared with."""
    chosen = {REFERENCE, *filter(None, text.split(","))}
    if chosen - set(PAIRINGS):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(PAIRINGS)}")
    return [name for name in PAIRINGS if name in chosen]


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each pairing")
    parser.add_argument("--secs", type=float, default=0.3, help="seconds of each measurement")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of what W4 to W7 count; 1 is the whole"
    )
    parser.add_argument(
        "--only", type=beginnings, default=beginnings(""), help="workloads that begin so: W1,W2"
    )
    parser.add_argument(
        "--pairings", type=keys, default=list(PAIRINGS), help=f"of {', '.join(PAIRINGS)}"
    )
    parser.add_argument("--docs", type=Path, help="where to write the run, its page and its charts")
    options = parser.parse_args(arguments)
    is_whole = options.only == beginnings("") and options.pairings == list(PAIRINGS)
    if options.docs is None and is_whole and options.share == 1:
        options.docs = FOLDER
    return options


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write them down."""
    options = parse(arguments)
    begun = datetime.datetime.now(datetime.UTC)
    pairs = startup.seconds(4 * options.rounds) if START_UP in options.only else []
    pure_pairs = startup.seconds(4 * options.rounds, pure=True) if pairs else []
    figures, forms = run_rounds(options)
    run = rounded(
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
            "versions": versions(),
            "forms": forms,
            "start_up": pairs,
            "start_up_pure": pure_pairs,
            "figures": figures,
        }
    )
    for key, table in tables.tables(run).items():
        if table:
            print(f"\n{tables.TITLES[key]}\n\n{table}")
    print("\n".join(["", *said_of_forms(run), *tables.failures(run)]))
    if options.docs is not None:
        options.docs.mkdir(parents=True, exist_ok=True)
        with (options.docs / "runs.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(run) + "\n")
        write(options.docs)


if __name__ == "__main__":
    main(sys.argv[1:])
