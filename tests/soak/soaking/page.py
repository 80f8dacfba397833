"""The page on the soak, made from the runs that are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soaking.gauge import Sample
from soaking.verdict import Slope, slope_of, warm

__all__ = ["append", "write"]

RUNS = "soak-runs.jsonl"
INTRODUCTION = """\
# Soak

`make soak MINUTES=30` has a server visited for so long, cycle after cycle, and looks at what is
left when all visitors of a cycle have gone. `make idle` measures what an idle connection takes,
and `make drains` ends busy servers. Each appends what came of it to `soak-runs.jsonl`, and makes
this page, and the chart, from that.
"""
SOAK = """\
## Half an hour of visitors

Two servers, both ends of all connections, and a proxy before each server are in one process, on
real sockets. One server has no login, the other has one and TLS. Twelve visitors at a time come in
each dialect, act up to twelve times, and go, some without a word. What they do is chosen by a seed:
echoes of up to 100 KB, objects handed over and called both ways, copies, a cache that changes, an
event for all, calls given up, errors, calls without an answer. Three more connections, past the
proxies, stay all the time and do the same. The proxies cut what they forward into pieces, and one
piece in a hundred meets a fault, chosen by the seed too: a reset, a half-close, a wait of up to
half a second, a bit that is changed, a piece that is lost.

A cycle takes visitors for eight seconds, waits until they have gone, collects garbage, has the C
library give back what it holds in store (`malloc_trim`), and measures. Every block of memory is the
C library's own (`PYTHONMALLOC=malloc`, one arena), which then has no page that nobody uses:
Python's own allocator keeps a MiB for as long as one object in it lives. Blocks of 16 KiB and more
are the system's (`MALLOC_MMAP_THRESHOLD_`), so that buffers leave no holes among small blocks. The
first fifth of the cycles is warm-up. The soak fails

- when live objects, entries of the tables, or the bytes that Python has allocated (`tracemalloc`)
  grow from cycle to cycle: of the cycles after warm-up, cut into four parts, each part lies wholly
  above the one before;
- when resident memory, or what of it the C library has given out, grows by more than 1 MB an hour,
  with 95 % confidence: a line is fitted to it, and the lower end of the slope's interval lies above
  that. The interval takes into account that one cycle resembles the next;
- when a line is logged that tells of a fault of ours, or a connection does not go.

The runs of commit `419e467589` were with Python's allocator, and the first without `malloc_trim`:
they failed by resident memory, with objects, tables and allocated bytes as they were. In the one of
5,291 connections it lay at 56.2 to 58.0 MB from minute 5 to 24, where a step of 1.3 MB came, and
stayed, as that of an arena does. What objects and allocated bytes gain, an object and 300 bytes a
cycle, are the figures that the soak itself keeps. A run without a finding does not show that
nothing grows, but that no growth above the limit is certain: the interval says how much there may
be.

The next three were with all memory from the C library, the last of them with what it has given out,
too: 27.65 MB at minute 4 and 27.75 at minute 30, while resident memory went from 62.4 to 63.0 with
2 MB up and down. So what rose was free room between blocks, which buffers of up to 100 KB had left
in between. Where those are the system's, as from commit `37e31373d2` on, resident memory does what
the memory in use does.
"""
IDLE = """\
## Idle connections

Connections over TLS that have made one call each, and then do nothing; the server's end in one
process and the clients' in another. Each end's figure is the growth of resident memory of its
process, by connection.
"""
DRAINS = """\
## Draining

A server process, six connections to it with twelve calls at a time each, and SIGTERM in the middle
of that. Both ends write down what they know. *Lost* is a call that was answered and not done; and
none may be begun and not done, done and not answered, or begun after the caller was told that it
was not. Calls that come too late are refused, with ServerDraining.
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
        f"{_begin(run)} | {run['connections']:,} | {run['server_kib']:g} | {run['client_kib']:g} |"
        for run in reversed(runs)
    ]
    head = "| date | commit | command | connections | KiB each, server | KiB each, client |"
    return "\n".join([head, "| --- | --- | --- | ---: | ---: | ---: |", *rows, ""])


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
