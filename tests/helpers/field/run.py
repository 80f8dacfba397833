"""Run strangers' programs with their imports moved, and print what each has shown.

``make field`` runs all, ``make field ONLY=buildbot`` one. With ``RECORD=1`` the run is written
down, and ``docs/testing/field.md`` is made anew. The status is 1 if a program did not do what it
should.
"""

from __future__ import annotations

import argparse
import signal
import sys

from support.folders import ROOT

from field import record
from field.buildbot import Buildbot
from field.environments import Environment, build_wheel
from field.rows import Row
from field.simulaqron import SimulaQron
from field.twisteds_own import TwistedsOwn

BUILD = ROOT / "build" / "field"
PROGRAMS = {"buildbot": Buildbot, "simulaqron": SimulaQron, "twisted": TwistedsOwn}


def main() -> int:
    """Run what the arguments say; return 1 if a program did not do what it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PROGRAMS, help="run this one")
    parser.add_argument("--record", action="store_true", help="write down a run of all")
    options = parser.parse_args()
    if options.only and options.record:
        parser.error("only a run of all programs is written down")
    # Who is told to end ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    BUILD.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(ROOT, BUILD)
    rows: list[Row] = []
    versions = {}
    for name in [options.only] if options.only else PROGRAMS:
        program = PROGRAMS[name]
        folder = BUILD / name
        folder.mkdir(exist_ok=True)
        environment = Environment(folder / "venv", program.requirements, wheel)
        versions[program.name] = environment.versions(*program.distributions)
        print(f"{program.name}: {versions[program.name]}", flush=True)
        for row in program(environment, folder).rows():
            print(row, flush=True)
            rows.append(row)
    failed = sum(row.failed for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} rows are as they should be")
    if options.record:
        record.append(rows, versions)
        record.write_page()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
