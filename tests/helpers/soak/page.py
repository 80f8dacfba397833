"""The page on the soak, made from the runs that are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soak.gauge import Sample
from soak.verdict import Slope, slope_of, warm

__all__ = ["append", "write"]

RUNS = "soak-runs.jsonl"
INTRODUCTION = """\
# Soak

`make soak MINUTES=30` sends visitors to a server for so long, in cycles, and measures the memory
that is left after each cycle. `make idle` measures the memory of an idle connection,
and `make drains` ends busy servers. Each appends its results to `soak-runs.jsonl`, and makes
this page, and the chart, from that.
"""
SOAK = """\
## Half an hour of visitors

Two servers, both ends of all connections, and a proxy before each server are in one process, on
real sockets. One server has no login, the other has a login and TLS. Twelve visitors at a time come
in each dialect, act up to twelve times, and leave, some without closing. A seed chooses their acts:
echoes of up to 100 KB, objects passed and called both ways, copies, a cache that changes, an
event for all, cancelled calls, errors, calls without an answer. Three more connections, past the
proxies, stay all the time and do the same. The proxies cut the bytes into pieces, and one
piece in a hundred gets a fault, which the seed chooses too: a reset, a half-close, a wait of up to
half a second, a changed bit, a lost piece.

A cycle takes visitors for eight seconds, waits until they have left, collects garbage, makes the C
library return its free memory (`malloc_trim`), and measures. Every block of memory belongs to
the C library (`PYTHONMALLOC=malloc`, one arena), which then has no unused page:
Python's own allocator keeps a MiB for as long as one object in it lives. Blocks of 16 KiB and more
belong to the system (`MALLOC_MMAP_THRESHOLD_`), so that buffers leave no holes among small blocks.
The first fifth of the cycles is warm-up. The soak fails

- when live objects, entries of the tables, or the bytes that Python has allocated (`tracemalloc`)
  grow from cycle to cycle: the cycles after warm-up are cut into four parts, and each part lies
  wholly above the one before;
- when resident memory, or the part of it that the C library has given out, grows by more than 1 MB
  an hour, with 95 % confidence: a line is fitted to it, and the lower end of the interval of the
  slope lies above that. The interval takes into account that one cycle resembles the next;
- when a logged line reports our fault, or a connection does not end.

The runs of commit `419e467589` were with Python's allocator, and the first without `malloc_trim`.
They failed by resident memory, while objects, tables and allocated bytes stayed as they were. In
the run of 5,291 connections it lay at 56.2 to 58.0 MB from minute 5 to 24. Then a step of 1.3 MB
came, and stayed, like that of an arena. Objects and allocated bytes gain an object and 300 bytes a
cycle, which are the figures that the soak itself keeps. A run without a finding does not show that
nothing grows, but that no growth above the limit is certain: the interval says how much there may
be.

The next three runs were with all memory from the C library. The last of them also measured the
memory that it has given out: 27.65 MB at minute 4 and 27.75 at minute 30, while resident memory
went from 62.4 to 63.0 with 2 MB up and down. So the growth was free space between blocks, which
buffers of up to 100 KB had left. From commit `37e31373d2` on these buffers belong to the system,
and resident memory follows the memory in use.
"""
IDLE = """\
## Idle connections

Each connection over TLS makes one call, and then does nothing. The server's end is in one
process and the clients' end in another. The figure of each end is the growth of resident memory
of its process for each connection. In the last two columns the call has an argument and a result
of 1 MB each, with up to 16 such calls at a time.
"""
DRAINS = """\
## Draining

A server process has six connections with twelve calls at a time each, and gets SIGTERM in the
middle of that. Both ends record their calls. *Lost* is a call that was answered and not done. No
call may be begun and not done, done and not answered, or begun after the caller was told that it
was not run. Calls that come too late are refused, with ServerDraining.
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
    parts = [INTRODUCTION]
    for kind, (head, show) in _KINDS.items():
        mine = [run for run in runs if run["kind"] == kind]
        if mine:
            parts += [head, show(mine)]
    (folder / "soak.md").write_text("\n".join(parts), encoding="utf-8")


def samples_of(run: dict[str, Any]) -> list[Sample]:
    """Return the samples of a soak as they were."""
    return [Sample(*sample) for sample in run["samples"]]


def _soaks(runs: list[dict[str, Any]]) -> str:
    newest = runs[-1]
    made = sum(newest["faults"].values())
    outcomes, errors = newest["outcomes"], {**newest["outcomes"]}
    for name in ("connections", "acts"):
        errors.pop(name)
    by_kind = ", ".join(f"{count:,} × {name}" for name, count in sorted(newest["faults"].items()))
    ended = ", ".join(f"{count:,} × `{name}`" for name, count in sorted(errors.items()))
    lines = [
        "| date | commit | command | seed | cycles | connections | resident, MB an hour, 95 %"
        " | in use, MB an hour, 95 % | found |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | --- | --- |",
        *map(_soak_row, reversed(runs)),
        "",
        f"The newest: {newest['pieces']:,} pieces were forwarded, and {made:,} met a fault"
        f" ({by_kind}). What became of {outcomes['connections']:,} connections and"
        f" {outcomes['acts']:,} acts, where it was not what was meant: {ended or 'nothing'}.",
        "",
        "![Memory, objects and tables after each cycle](soak.png)",
        "",
    ]
    return "\n".join(lines)


def _soak_row(run: dict[str, Any]) -> str:
    samples = warm(samples_of(run))
    resident = _in_words(slope_of(samples, "resident"))
    is_told = all(sample.in_use for sample in samples)
    in_use = _in_words(slope_of(samples, "in_use")) if is_told else ""
    found = "; ".join(run["found"]) or "none"
    return (
        f"{_begin(run)} | {run['seed']} | {len(run['samples'])} |"
        f" {run['outcomes']['connections']:,} | {resident} | {in_use} | {found} |"
    )


def _in_words(line: Slope) -> str:
    return f"{line.value / 1e6:.2f} ({line.least / 1e6:.2f} to {line.most / 1e6:.2f})"


def _idles(runs: list[dict[str, Any]]) -> str:
    rows = [
        " | ".join([f"{_begin(run)} | {run['connections']:,}", *_kib(run)]) + " |"
        for run in reversed(runs)
    ]
    head = "| date | commit | command | connections | KiB each, server | KiB each, client"
    head += " | server, after 1 MB each way | client, after 1 MB each way |"
    return "\n".join([head, "| --- | --- | --- " + "| ---: " * 5 + "|", *rows, ""])


def _kib(run: dict[str, Any]) -> list[str]:
    # Runs of before 2026-11-29 have no figures after data.
    keys = ("server_kib", "client_kib", "server_after_kib", "client_after_kib")
    return [f"{run[key]:g}" if key in run else "" for key in keys]


def _drains(runs: list[dict[str, Any]]) -> str:
    keys = ("drains", "calls", "answered", "refused", "cut", "lost", "undone", "untold", "denied")
    rows = [
        f"{_begin(run)} | " + " | ".join(f"{run[key]:,}" for key in keys) + " |"
        for run in reversed(runs)
    ]
    head = "| date | commit | command | drains | calls | answered | refused | connection ended"
    head += " | lost | begun, not done | done, not answered | begun, denied |"
    return "\n".join([head, "| --- | --- | --- " + "| ---: " * len(keys) + "|", *rows, ""])


def _begin(run: dict[str, Any]) -> str:
    return f"| {run['date'][:10]} | `{run['commit']}` | `{run['command']}`"


_KINDS = {"soak": (SOAK, _soaks), "idle": (IDLE, _idles), "drains": (DRAINS, _drains)}
