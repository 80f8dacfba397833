"""Attack broker and Twisted's Perspective Broker in the same ways, and write down what it costs.

``make attacks`` runs this. For each attack a fresh server of each is a process of its own, in which
a root and a portal are served, both spoken to in ``pb``. The figures of a run are appended to
``docs/security/attacks.jsonl``, and the page beside it is made from the last line.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Not there by themselves where PYTHONSAFEPATH is set, as it is under make.
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "support")]

from duel import fight  # noqa: E402
from rounds import ROUNDS, Round  # noqa: E402

SIDES = {"ours": "ours_target.py", "Twisted": "twisted_target.py"}
FOLDER = HERE.parents[2] / "docs" / "security"
PAGE, RUNS = FOLDER / "attacks.md", FOLDER / "attacks.jsonl"


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows, with commas between; nothing is written")
    rows = set(filter(None, parser.parse_args().only.split(",")))
    about = circumstances()
    results = []
    for one in ROUNDS:
        if rows and one.row not in rows:
            continue
        results.append({"row": one.row, "name": one.name, **measured(one)})
        for side in SIDES:
            print(f"{one.row:4} {one.name:60} {side:8}", line(results[-1][side]), flush=True)
    if not rows:
        FOLDER.mkdir(exist_ok=True)
        with RUNS.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**about, "results": results}) + "\n")
        PAGE.write_text(page(json.loads(RUNS.read_text("utf-8").splitlines()[-1])), "utf-8")


def measured(one: Round) -> dict[str, Any]:
    """Make one attack on each."""
    return {side: dataclasses.asdict(fight(program, one.attack)) for side, program in SIDES.items()}


def circumstances() -> dict[str, str]:
    """When and on what."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "twisted": importlib.metadata.version("Twisted"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def line(outcome: dict[str, Any]) -> str:
    """One outcome as a line for who watches."""
    return (
        f"{outcome['cpu']:6.2f} s {outcome['memory'] / 1e6:7.1f} MB {outcome['log']:9,} B"
        f" {outcome['wait'] * 1000:8.1f} ms  {outcome['end']}, {survival(outcome)}"
    )


def survival(outcome: dict[str, Any]) -> str:
    """Whether it survived, in a word."""
    return "yes" if outcome["survived"] else "no"


HEAD = """\
# Attacks, on broker and on Twisted

What a stranger's bytes do to a server: the attacks of `tests/attacks` that are the same to any
server of Perspective Broker, made on ours and on Twisted's. `make attacks` makes this page.

For each attack, a fresh process of each serves a root and a portal on the loopback interface, and
is spoken to in the `pb` dialect; ours is `broker.serve` under the strict policy, Twisted's its own
factories. *CPU* is what the server took of the processor, *memory* by how much its resident memory
grew at most, *log* how many bytes it wrote into its log. Meanwhile another client calls again and
again: *wait* is the longest that it waited for an answer, and *survived* says whether it still is
answered afterwards, within ten seconds.

CPU and waits are those of one run on one machine, and include what the other client costs; what
matters is their order of magnitude.
"""


def page(run: dict[str, Any]) -> str:
    """The page of a run."""
    lines = [
        HEAD,
        f"Run of {run['date']}, commit `{run['commit']}`: Python {run['python']}, Twisted"
        f" {run['twisted']}, {run['machine']}, with a load average of {run['load']} before it.\n",
        "| row | attack | server | CPU | memory | log | wait | how it ended | survived |",
        "|---|---|---|---:|---:|---:|---:|---|---|",
    ]
    for result in run["results"]:
        for side in SIDES:
            outcome = result[side]
            lead = (result["row"], result["name"]) if side == "ours" else ("", "")
            lines.append(
                f"| {lead[0]} | {lead[1]} | {side} | {outcome['cpu']:.2f} s"
                f" | {outcome['memory'] / 1e6:.1f} MB | {outcome['log']:,} B"
                f" | {outcome['wait'] * 1000:,.0f} ms | {outcome['end']} | {survival(outcome)} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
