"""The page on fuzzing, made from the runs written down and the table of differences."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from fuzzing.differences import DIFFERENCES

__all__ = ["append", "write"]

RUNS = "fuzzing-runs.jsonl"
INTRODUCTION = """\
# Fuzzing

Inputs that are mostly what a peer sends, bent here and there, for everything that reads a peer's
bytes. `make fuzz MINUTES=10` runs all targets, `make fuzz MINUTES=2 TARGET=jelly` one; both append
what they ran to `fuzzing-runs.jsonl`, and make this page from it.

| target | what is run, and what must be true |
| --- | --- |
| `banana` | Bytes in any pieces give the same expressions, or are refused, by BananaError alone; a reader that refused is dead; what was read can be written. |
| `jelly` | Any expression is refused by DecodeError or LimitExceeded alone, or its graph comes back as it was when it is sent again. |
| `messages` | Any expression is a message whose fields are in bounds, or a ProtocolError of at most 200 characters. |
| `handshake` | Any offer or choice, in any pieces, settles the same dialect with the same bytes, or is refused by ProtocolError alone. |
| `frames` | As `banana`, for the frames of `msgpack/1`. |
| `session-pb`, `session-none`, `session-msgpack` | A whole connection, of a server with and without login and of a client, under both policies, with objects, copies, caches, calls both ways, time that passes and peers that do not read: nothing is raised but ProtocolError; calls fail by their own fault alone; a fault ends the connection; no log line exceeds 400 bytes; tables keep to `max_refs`; and at the end they are empty, with each call ended once, each observer told, no timer left and no Broker alive. |
| `twisted-banana`, `twisted-jelly` | The same input through ours and through Twisted's decoder: the same value, or both refuse, or a difference of the table below. |

Every input, of at most 1 KiB of choices, must take less than 50 ms of CPU and 64 MiB of memory. The
generators are in `tests/fuzz/fuzzing/`; an input is the bytes that decide their choices, so that
the same bytes make the same input with or without a fuzzer. *Coverage* is [atheris], which chooses
bytes by the branches that they reach. *Random* is a seeded generator that changes inputs which
reached something new, without anything recorded: several times as many in the same time. Inputs
that found something are in `tests/fuzz/regressions/`, and `make test` replays them.

An input depends on the generators: where these change, the bytes of an old one make something
else, and what it found is to be pinned by a test of its own. `make fuzz ARGS=--unrecorded` writes
findings only; CI runs a minute of that.

[atheris]: https://github.com/google/atheris

## What was found

- `frames`: a graph that calls a cache could name it by a text. The plain call refuses that, and so
  does every dialect of PB; now it is refused here too.
- `session-msgpack`: after a peer's goodbye, what it did wrong ended nothing.
- `twisted-jelly`: two differences that had no name, *reference to None as a key* and *bytes as a
  pair*.
- Of the fuzzer's own faults: the application that it plays told observers of a peer that had said
  goodbye, which DeadReferenceError says.
"""
DIFFERENCE_HEAD = """\
## Where ours and Twisted's decoders differ

What fits no row is a finding. *Met* is how often the runs below met it.

| difference | why | met |
| --- | --- | ---: |
"""


def append(folder: Path, run: dict[str, Any]) -> None:
    """Write down one run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def write(folder: Path) -> None:
    """Make the page of the runs that are written down in a folder."""
    lines = (folder / RUNS).read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    parts = [INTRODUCTION, _totals(runs), _differences(runs), _all_runs(runs)]
    (folder / "fuzzing.md").write_text("\n".join(parts), encoding="utf-8")


def _totals(runs: list[dict[str, Any]]) -> str:
    by_target: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in runs:
        totals = by_target[run["target"]]
        totals[run["method"]] += run["executions"]
        totals["seconds"] += round(run["seconds"])
        totals["findings"] += len(run["findings"])
    count = sum(run["executions"] for run in runs)
    rows = [
        f"| `{target}` | {totals['coverage']:,} | {totals['random']:,} | {totals['seconds']:,} |"
        f" {totals['findings']} |"
        for target, totals in by_target.items()
    ]
    head = ["| target | coverage | random | seconds | findings |"]
    head.append("| --- | ---: | ---: | ---: | ---: |")
    return "\n".join([f"## All runs together: {count:,} executions\n", *head, *rows, ""])


def _differences(runs: list[dict[str, Any]]) -> str:
    met: dict[str, int] = defaultdict(int)
    for run in runs:
        for name, times in run["differences"].items():
            met[name] += times
    rows = [f"| {row.name} | {row.reason} | {met[row.name]:,} |\n" for row in DIFFERENCES]
    return DIFFERENCE_HEAD + "".join(rows)


def _all_runs(runs: list[dict[str, Any]]) -> str:
    """Return one line for all targets that were run by one command, newest first."""
    commands: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        commands[(run["date"], run["commit"], run["command"], str(run["seed"]))].append(run)
    head = "| date | commit | command | seed | executions | findings |\n"
    head += "| --- | --- | --- | ---: | ---: | --- |\n"
    rows = []
    for (date, commit, command, seed), of_one in reversed(commands.items()):
        count = sum(run["executions"] for run in of_one)
        found = sorted({f"`{run['target']}`: {name}" for run in of_one for name in run["findings"]})
        rows.append(
            f"| {date[:10]} | `{commit}` | `{command}` | {seed} | {count:,} |"
            f" {'; '.join(found) or 'none'} |\n"
        )
    return "## Runs\n\n" + head + "".join(rows)
