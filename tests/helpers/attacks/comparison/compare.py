"""Attacks this library and Twisted's Perspective Broker in the same ways, and records the costs.

``make attacks`` runs this. Each attack is made on a fresh process. The figures of a run are
appended to ``docs/security/attacks.jsonl``, and the page beside it is made from the last line. With
``--only ROWS --renew`` the new line has the figures of the last one, but for those rows. At the end
it prints each of our results beyond the bounds that the page names; the exit status is then 1.
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

from support.folders import DOCS, ROOT

from attacks.comparison.client_rounds import CLIENT_ROUNDS, fight_client, fight_command
from attacks.comparison.duel import SIDES, Outcome, Side, fight
from attacks.comparison.followed_rounds import FOLLOWED_ROUNDS
from attacks.comparison.front_end_rounds import FRONT_END_ROUNDS
from attacks.comparison.login_rounds import LOGIN_ROUNDS
from attacks.comparison.manhole_rounds import MANHOLE_ROUNDS
from attacks.comparison.once_rounds import ONCE_ROUNDS
from attacks.comparison.processes import Witness
from attacks.comparison.proxy_rounds import PROXY_ROUNDS, fight_proxied
from attacks.comparison.review_rounds import REVIEW_ROUNDS
from attacks.comparison.rounds import ROUNDS, Round
from attacks.comparison.stream_rounds import STREAM_ROUNDS
from attacks.comparison.websocket_rounds import WEBSOCKET_ROUNDS

FOLDER = DOCS / "security"
PAGE, RUNS = FOLDER / "attacks.md", FOLDER / "attacks.jsonl"

STALL = 0.150
"""Seconds that the bystander may wait; or this many times as long as with the harmless twin:"""
TIMES = 3
TRIES, NEAR = 3, 1.0
"""How often a side is attacked if its bystander waits too long, but less than this many seconds.

Other programs on the machine can only lengthen the wait.
"""


def number_of(one: Round) -> tuple[str, int]:
    """The place of a row on the page."""
    return one.row[0], int(one.row[1:])


ALL = sorted(
    [
        *ROUNDS,
        *STREAM_ROUNDS,
        *ONCE_ROUNDS,
        *FOLLOWED_ROUNDS,
        *MANHOLE_ROUNDS,
        *REVIEW_ROUNDS,
        *LOGIN_ROUNDS,
        *CLIENT_ROUNDS,
        *FRONT_END_ROUNDS,
        *PROXY_ROUNDS,
        *WEBSOCKET_ROUNDS,
    ],
    key=number_of,
)


def main() -> None:
    """Run, write the page, and print what is beyond the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows, with commas between; nothing is written")
    parser.add_argument("--renew", action="store_true", help="write the rows of --only")
    parser.add_argument("--sides", default="", help="words that the names of sides have, likewise")
    chosen = parser.parse_args()
    rows = set(filter(None, chosen.only.split(",")))
    words = [word for word in chosen.sides.split(",") if word]
    about = circumstances()
    results = []
    with Witness() as witness:
        for one in ALL:
            sides = [side for side in sides_of(one) if all(word in side.name for word in words)]
            if (rows and one.row not in rows) or not sides:
                continue
            found = dict(measured(one, sides, witness))
            results.append({"row": one.row, "name": one.name, "kind": one.kind, "sides": found})
    if chosen.renew and rows and not words:
        write(renewed(json.loads(RUNS.read_text("utf-8").splitlines()[-1]), about, results))
    elif not rows and not words:
        write({**about, "results": results})
    broken = [
        f"{result['row']} {result['name']}: {side}: {'; '.join(outcome['broken'])}"
        for result in results
        for side, outcome in result["sides"].items()
        if outcome["broken"]
    ]
    print(f"\n{len(broken)} beyond the bounds", *broken, sep="\n")
    sys.exit(bool(broken))


def write(run: dict[str, Any]) -> None:
    """Append a run to the file, and make its page."""
    FOLDER.mkdir(exist_ok=True)
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    PAGE.write_text(page(run), "utf-8")


def renewed(
    last: dict[str, Any], about: dict[str, str], results: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the last run with the results of some rows renewed."""
    rows = {result["row"] for result in results}
    kept = [result for result in last["results"] if result["row"] not in rows]
    everything = sorted([*kept, *results], key=lambda each: (each["row"][0], int(each["row"][1:])))
    before = [each for each in last.get("renewed", []) if not rows >= set(each["rows"])]
    note = {**about, "rows": sorted(rows, key=lambda row: (row[0], int(row[1:])))}
    return {**last, "results": everything, "renewed": [*before, note]}


def sides_of(one: Round) -> list[Side]:
    """The sides that a round is made on."""
    return [
        side
        for side in SIDES
        if side.dialect in one.dialects
        and (side.is_ours or (one.has_twisted and one.kind == "server"))
        and (one.kind != "command" or side.policy == "strict")
    ]


def measured(
    one: Round, sides: list[Side], witness: Witness
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Attack each side; in parallel if the attack mostly waits."""
    if one.waits:
        with ThreadPoolExecutor(len(sides)) as pool:
            found = list(pool.map(lambda side: measured_alone(one, side), sides))
    else:
        found = [measured_once(one, side, witness) for side in sides]
    for side, outcome in zip(sides, found, strict=True):
        print(f"{one.row:4} {one.name:60.60} {side.name:20}", line(outcome), flush=True)
        yield side.name, outcome


def measured_alone(one: Round, side: Side) -> dict[str, Any]:
    """Attack a side with its own bystander."""
    with Witness() as witness:
        return measured_once(one, side, witness)


def measured_once(one: Round, side: Side, witness: Witness) -> dict[str, Any]:
    """Attack a side; repeat it a few times while the bystander waits too long."""
    best: dict[str, Any] = {}
    for _ in range(TRIES if side.is_ours else 1):
        outcome = dataclasses.asdict(attacked(one, side, one.attack, witness))
        outcome["twin"] = None
        if side.is_ours and (outcome["stall"] or 0.0) > STALL and one.harmless is not None:
            outcome["twin"] = attacked(one, side, one.harmless, witness).stall
        outcome["broken"] = beyond(one, outcome) if side.is_ours else []
        if not best or len(outcome["broken"]) < len(best["broken"]):
            best = outcome
        if not best["broken"] or (best["stall"] or NEAR) >= NEAR:
            break
    return best


def attacked(one: Round, side: Side, attack: Any, witness: Witness) -> Outcome:
    """Make one attack on one side."""
    if one.kind == "client":
        return fight_client(side, attack)
    if one.kind == "proxied":
        return fight_proxied(side, attack)
    if one.kind == "command":
        return fight_command(side, attack)
    return fight(side, attack, witness, one.served)


def beyond(one: Round, outcome: dict[str, Any]) -> list[str]:
    """The results beyond the bounds, in words."""
    found = []
    stall, most = outcome["stall"] or 0.0, max(STALL, TIMES * (outcome["twin"] or 0.0))
    if stall > most:
        found.append(f"the bystander waits {stall * 1000:,.0f} ms (at most {most * 1000:,.0f})")
    for name in ("memory", "log"):
        value, bound = outcome[name], getattr(one, name)
        if bound is not None and value > bound:
            found.append(f"{name} of {value:,} bytes (at most {bound:,})")
    if outcome["fault"]:
        found.append(outcome["fault"])
    if not outcome["survived"]:
        found.append("others are served no more")
    return found


def circumstances() -> dict[str, str]:
    """The time and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
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
    """One outcome as a line for the terminal."""
    return (
        f"{outcome['cpu']:6.2f} s {in_ms(outcome['stall']):>9} {in_ms(outcome['twin']):>7}"
        f" {outcome['memory'] / 1e6:7.1f} MB {outcome['log']:9,} B"
        f"  {outcome['end']}, {survival(outcome)}{' <-- ' if outcome['broken'] else ''}"
        f"{'; '.join(outcome['broken'])}"
    )


def in_ms(seconds: float | None) -> str:
    """Seconds as milliseconds, for people."""
    return "" if seconds is None else f"{seconds * 1000:,.0f} ms"


def survival(outcome: dict[str, Any]) -> str:
    """Whether it survived, in a word."""
    return "yes" if outcome["survived"] else "no"


HEAD = """\
# Attacks, on broker and on Twisted

The effects of a peer's bytes on a server, and on a client: attacks of `tests/attacks` on this
library, and on Twisted if they can be made on both. `make attacks` makes this page. Rows A, B and C
are those of the catalogue in `tests/attacks`; row S*n* is about hole *n* of a review by attack.
Row C10 attacks the front ends of the chat in `examples/chat`, in whose process a PB server is.
Rows W attack a WebSocket port, and the bystander's port is another one of the same process.

Each attack is made on a fresh process on the loopback interface. Ours is `broker.serve` or
`broker.connect`, under the strict and the published policy, and the attacker speaks `pb` or
`msgpack/1`; an attack that cannot be sent in a dialect is left out there. Twisted's server uses its
own factories. *CPU* is the processor time of the process, without the bystander's calls.
*Memory* is the largest growth of its resident memory. *Log* is the number of bytes that it logged.
During the attack a bystander calls `echo` without a pause: *stall* is its longest wait for
an answer, and *survived* says whether it is still answered afterwards, within
ten seconds. If a client is attacked, the bystander runs in the same event loop and calls another
server. For the command `pb call`, *log* is its output, and *memory* all its memory.

The bound on *stall* is 150 ms, or 3 times that of the *twin*: the same number of harmless bytes.
The twin is measured if a stall is longer than 150 ms. A side that goes beyond a bound is
attacked up to three times, and the best try counts. `make attacks` fails if our side goes
beyond a bound; **bold** marks that here. A goal that is not reached stands under its table.

The figures are those of one run on one machine; only their order of magnitude matters.
"""

GOALS = {one.name: one.goal for one in ALL}
TITLES = {
    "server": "",
    "client": ", on a client",
    "command": ", on the command line",
    "proxied": ", on a client that connects through it",
}


def page(run: dict[str, Any]) -> str:
    """The page of a run."""
    lines = [
        HEAD,
        f"Run of {run['date']}, commit `{run['commit']}`: Python {run['python']}, Twisted"
        f" {run['twisted']}, {run['machine']}, with a load average of {run['load']} before it.\n",
    ]
    for part in run.get("renewed", []):
        lines.append(
            f"Rows {', '.join(part['rows'])}: run of {part['date']}, commit `{part['commit']}`,"
            f" with a load average of {part['load']} before it.\n"
        )
    for row, results in groupby(run["results"], lambda result: result["row"]):
        lines += [f"## {row}\n"]
        for result in results:
            lines += [*table(result), "", *missed(result)]
    return "\n".join(lines).rstrip() + "\n"


def missed(result: dict[str, Any]) -> Iterator[str]:
    """The lines about the goal of an attack that this library does not reach."""
    goal = GOALS.get(result["name"])
    above = [
        f"{side} ({outcome['memory'] / 1e6:.1f} MB)"
        for side, outcome in result["sides"].items()
        if goal is not None and side != "Twisted" and outcome["memory"] > goal
    ]
    if goal is not None and above:
        yield f"The goal of {goal / 1e6:.0f} MB is not reached by: {', '.join(above)}.\n"


def table(result: dict[str, Any]) -> Iterator[str]:
    """The lines of one attack."""
    yield f"{result['name'][0].upper()}{result['name'][1:]}{TITLES[result['kind']]}:\n"
    yield "| side | CPU | stall | twin | memory | log | how it ended | survived |"
    yield "|---|---:|---:|---:|---:|---:|---|---|"
    for side, outcome in result["sides"].items():
        stall = in_ms(outcome["stall"])
        end = outcome["end"]
        if outcome["broken"]:
            end = f"**{end}: {'; '.join(outcome['broken'])}**"
        yield (
            f"| {side} | {outcome['cpu']:.2f} s | {stall} | {in_ms(outcome['twin'])}"
            f" | {outcome['memory'] / 1e6:.1f} MB | {outcome['log']:,} B"
            f" | {end} | {survival(outcome)} |"
        )


if __name__ == "__main__":
    main()
