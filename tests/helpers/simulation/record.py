"""The record of what was run, and the page that is made from it and from the rules."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from support.folders import DOCS, ROOT, TESTS
from support.planted import all_bugs

from simulation.rules import OUTCOMES, RULES
from simulation.tally import Tally

__all__ = ["PAGE", "PATCHES", "append_bugs", "append_run", "page", "write_page"]

_FOLDER = DOCS / "testing"
PAGE = _FOLDER / "simulation.md"
PATCHES = TESTS / "simulation" / "bugs"
RUNS, BUGS = _FOLDER / "simulation.jsonl", _FOLDER / "planted-bugs.jsonl"

_INTRODUCTION = """\
# Simulation

The real client and server run on one loop whose time is simulated, over a network in memory. A
seed decides everything: the connections, the dialects and the policy, the restarts of servers,
the faults of the network, the acts of the programs, and the order in which the loop reports
simultaneous events. So the run of a seed is the same each time, on each machine. It takes
milliseconds for minutes on its clock.

- **The network** replaces asyncio's socket transports, below
  `broker.net.transports.StreamTransport`. It is the network of the
  [test kit](../howto/test-your-program.md). It splits and merges bytes, has small buffers, is slow,
  and delays; it stalls, cuts, half-closes, and loses everything from some point on.
- **The programs** call methods that answer at once, later or never, that raise, and call back; they
  pass objects, follow caches, subscribe, page, flood, cancel, set deadlines, send values that
  cannot be sent, and call while a message is being made. They drop their references at any moment.
  They return and send streams; they read them whole or in part, at once or later, stop them, drop
  them, and give up the calls that bring them. Generators wait and raise in the middle.
- **The ends**: clients close, servers close, abort or drain, with calls running.
- **Links**: a second run of each seed has clients with a `broker.Link`, for one address or two.
  Their servers are killed, drain, cannot be reached for a while, and start again. The programs of
  both ends make chains of calls on promises and on elements of results, and pass promises as
  arguments. The links also have recipes and tasks, make calls in `broker.once`, and are closed.
- **The history** has every call as its caller, its method and the network saw it. When all is
  quiet, both ends of each open connection are compared; when all has ended, the objects that are
  left are counted. Then the rules are checked.

```console
$ make sim SEEDS=1000
$ make sim SEED=7
$ make sim-bugs
```

The first command runs seeds on all processors, from `FIRST=0` on. The second shows one seed: its
plan, all events, and the broken rules. With `RECORD=1` the first and the third record their
results and write this page. The tests run the seeds 0 to 499.

## The rules

Each is a function of a history, in `tests/helpers/simulation/rules.py`, or, for streams and for
links and promises, in `stream_rules.py` and `link_rules.py` beside it.

"""

_ENDS = """
A call ends as one of these:

"""

_PLANTED = """
## Planted bugs

Planted bugs test the rules. Each of these bugs, a patch in `tests/simulation/bugs`, is planted
into a copy of the sources, and seeds are run from 0 until one breaks a rule.

"""

_RUNS = """
## Runs

Each line is one run of the command. The digest is a hash over all events in it: the same seeds of
the same commit give the same digest.

Of the 100,000 seeds of 1397d40e1e, seed 82,903 broke a rule, by a fault of the scenario. A
stalled network had kept calls until the server closed, and they were refused, as they should be.
The scenario had not said that this server drains. It says so now, and those twenty thousand seeds
were run again.

"""


def append_run(tally: Tally, first: int, jobs: int, seconds: float) -> None:
    """Write down a run of many seeds, and make the page anew."""
    command = f"make sim SEEDS={tally.seeds} FIRST={first} JOBS={jobs} RECORD=1"
    _append(RUNS, {**_circumstances(command, seconds), "first": first, **tally.as_json()})


def append_bugs(found: dict[str, dict[str, Any]], only: str, seconds: float) -> None:
    """Write down which seeds have found the planted bugs, and make the page anew.

    Args:
        found: by the names of the bugs.
        only: the name of the bug, if one was looked for.
        seconds: how long that took.
    """
    command = f"make sim-bugs ONLY={only} RECORD=1" if only else "make sim-bugs RECORD=1"
    _append(BUGS, {**_circumstances(command, seconds), "bugs": found})


def write_page() -> None:
    """Make the page anew."""
    PAGE.write_text(page(), "utf-8")


def page() -> str:
    """Return the page, made from the rules, the bugs and what was written down."""
    parts = [_INTRODUCTION, "| rule | |\n|---|---|\n"]
    parts += [f"| `{rule.__name__}` | {_first_line(rule)} |\n" for rule in RULES]
    parts += [_ENDS, "| end | |\n|---|---|\n"]
    parts += [f"| {name} | {text} |\n" for name, text in OUTCOMES.items()]
    parts += [_PLANTED, *_bug_rows(), _RUNS, *_run_rows()]
    return "".join(parts)


def _bug_rows() -> list[str]:
    found: dict[str, dict[str, Any]] = {}
    for line in _lines(BUGS):
        # A line may have one bug only, which was looked for again.
        found |= {name: {**row, "commit": line["commit"]} for name, row in line["bugs"].items()}
    rows = ["| bug | | seed | rule | commit |\n|---|---|---|---|---|\n"]
    for bug in all_bugs(PATCHES):
        row = found.get(bug.name, {"seed": "", "rule": "", "commit": ""})
        cells = bug.name, bug.text, row["seed"], f"`{row['rule']}`", row["commit"]
        rows.append(f"| {' | '.join(map(str, cells))} |\n")
    if BUGS.exists():
        last = _lines(BUGS)[-1]
        rows.append(f"\n`{last['command']}` at {last['commit']}, {last['date'][:10]}.\n")
    return rows


def _run_rows() -> list[str]:
    rows = [
        "| date | commit | seeds | calls | events | broke a rule | ms a seed | digest |\n"
        "|---|---|---|---|---|---|---|---|\n"
    ]
    for run in _lines(RUNS):
        rows.append(
            f"| {run['date'][:10]} | {run['commit']}"
            f" | {run['first']:,} to {run['first'] + run['seeds'] - 1:,}"
            f" | {sum(run['calls'].values()):,} | {run['events']:,} | {len(run['found'])}"
            f" | {run['seconds'] * 1000 / run['seeds']:.1f} | `{run['digest']}` |\n"
        )
    for run in _lines(RUNS)[-1:]:
        ends = ", ".join(f"{count:,} {end}" for end, count in run["calls"].items())
        faults = ", ".join(f"{count:,} {fault}" for fault, count in run["faults"].items())
        rows.append(f"\n`{run['command']}`, the last of them, on {run['machine']}.\n")
        rows.append(f"Its calls ended as: {ends}. What happened to its connections: {faults}.\n")
    return rows


def _first_line(rule: Any) -> str:
    return str(rule.__doc__).strip().splitlines()[0]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _append(path: Path, line: dict[str, Any]) -> None:
    _FOLDER.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    write_page()


def _circumstances(command: str, seconds: float) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "command": command,
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
