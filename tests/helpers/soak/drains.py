"""Servers that are told to end while they are busy: whether they did what they acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from contextlib import suppress
from typing import Any

from support.programs import command, environment

import broker

__all__ = ["COUNT", "Booking", "drain_once", "measure_drains", "serve_until_told"]

COUNT = 50
_CONNECTIONS = 6
_AT_A_TIME = 12


class Booking(broker.Root):
    """Books numbers, after a moment.

    Attributes:
        started, done: the numbers of those calls.
    """

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done: list[int] = []

    async def remote_book(self, number: int, seconds: float) -> int:
        """Book a number that only this call has."""
        self.started.append(number)
        await asyncio.sleep(seconds)
        self.done.append(number)
        return number


async def serve_until_told() -> None:
    """Serve until SIGTERM; tell the address, and at the end what was booked."""
    booking = Booking()
    async with broker.serve(booking, "pb://127.0.0.1:0") as server:
        print(server.addresses[0], flush=True)
        await server.serve_forever()
    print(json.dumps({"started": booking.started, "done": booking.done}), flush=True)


async def measure_drains(seed: int, count: int = COUNT) -> dict[str, Any]:
    """Drain so many servers, one after the other; return the sums of :func:`drain_once`."""
    total: Counter[str] = Counter()
    for number in range(count):
        total.update(await drain_once(random.Random(f"{seed}/{number}")))
    return {"drains": count, **total}


async def drain_once(dice: random.Random) -> dict[str, int]:
    """Start a server, keep it busy, send SIGTERM, and compare what both ends know.

    Args:
        dice: decides when, and how long calls take.

    Returns:
        How many calls there were; of these ``answered``, ``refused`` as too late, or without an
        answer when the connection ended (``cut``). ``lost``: answered and not done. ``undone``:
        begun and not done. ``untold``: done and not answered. ``denied``: said to have not run, and
        begun.
    """
    peer = await asyncio.create_subprocess_exec(
        *command("soak.run", "serve-until-told"),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert peer.stdout is not None
    try:
        address = (await peer.stdout.readline()).decode("ascii").strip()
        load = _Load(dice)
        visits = [asyncio.ensure_future(load.visit(address)) for _ in range(_CONNECTIONS)]
        await load.is_busy.wait()
        await asyncio.sleep(dice.random() * 0.2)
        peer.send_signal(signal.SIGTERM)
        await asyncio.gather(*visits)
        books = json.loads(await peer.stdout.readline())
    finally:
        if peer.returncode is None:
            with suppress(ProcessLookupError):
                peer.terminate()
        await peer.wait()
    started, done = set(books["started"]), set(books["done"])
    return {
        "calls": load.calls,
        "answered": len(load.answered),
        "refused": load.refused,
        "cut": load.cut,
        "lost": len(load.answered - done),
        "undone": len(started - done),
        "untold": len(done - load.answered),
        "denied": len(load.not_run & started),
    }


class _Load:
    """Calls, many at a time, and what became of them."""

    def __init__(self, dice: random.Random):
        self.calls = self.refused = self.cut = 0
        self.answered: set[int] = set()
        self.not_run: set[int] = set()
        self.is_busy = asyncio.Event()
        self._dice = dice

    async def visit(self, address: str) -> None:
        """Call until the server is gone."""
        async with broker.connect(address) as connection:
            await asyncio.gather(*(self._book(connection) for _ in range(_AT_A_TIME)))

    async def _book(self, connection: broker.Connection) -> None:
        while True:
            self.calls += 1
            number = self.calls
            try:
                answer = await connection.root.callRemote("book", number, self._dice.random() / 25)
            except broker.ServerDraining:
                self.refused += 1
                self.not_run.add(number)
                return
            except broker.PBConnectionLost as error:
                self.cut += 1
                if not error.may_have_run:
                    self.not_run.add(number)
                return
            except broker.DeadReferenceError:
                # Not even sent: no call.
                self.calls -= 1
                return
            self.answered.add(answer)
            if len(self.answered) > 200:
                self.is_busy.set()
