"""One process of the demonstration: ``python -m broker.demo.part server|alice|bob FOLDER``.

It reads one line for each command from standard input, and writes one JSON object for each report
to standard output. The server first reports its address; each client first reads it. Each further
line is the number of an act. The process ends at the end of its input, so that it does not outlive
the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import broker
from broker.background import start_thread
from broker.demo.certificates import AUTHORITY, CERTIFICATE, KEY
from broker.demo.office import Office
from broker.demo.steps import ACTS, Report, perform
from broker.demo.visitor import Visitor

__all__ = ["main"]


async def open_office(office: Office, folder: Path, lines: asyncio.Queue[str]) -> None:
    """Serve the office until the input ends."""
    tls = broker.TLS.server(folder / CERTIFICATE, folder / KEY)
    _report(Report(await office.open("pbs://127.0.0.1:0", tls)))
    try:
        await _follow(office, lines)
    finally:
        await office.close()


async def visit(folder: Path, lines: asyncio.Queue[str]) -> None:
    """Run a visitor until the input ends."""
    address = await lines.get()
    if not address:
        return
    visitor = Visitor(address, folder / AUTHORITY)
    try:
        await _follow(visitor, lines)
    finally:
        await visitor.leave()


def main(who: str, folder: Path, office: type[Office] = Office) -> None:
    """Run one process of the demonstration.

    Args:
        who: ``server``, ``alice`` or ``bob``.
        folder: the folder of the certificates.
        office: the class that the server serves.
    """

    # Some acts are refused on purpose; their warnings would appear between the lines.
    logging.getLogger("broker").setLevel(logging.ERROR)

    async def run() -> None:
        lines = _read_input()
        if who == "server":
            await open_office(office(), folder, lines)
        else:
            await visit(folder, lines)

    asyncio.run(run())


async def _follow(player: Office | Visitor, lines: asyncio.Queue[str]) -> None:
    while line := await lines.get():
        _report(await perform(ACTS[int(line)], player))


def _read_input() -> asyncio.Queue[str]:
    """Return a queue of the lines of standard input, and an empty one at the end.

    A thread reads, since asyncio cannot read every kind of standard input on every system.
    """
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        line = "first"
        while line:
            line = sys.stdin.readline()
            loop.call_soon_threadsafe(lines.put_nowait, line.strip())

    start_thread(read, "standard input")
    return lines


def _report(report: Report) -> None:
    sys.stdout.write(json.dumps(report._asdict()) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
