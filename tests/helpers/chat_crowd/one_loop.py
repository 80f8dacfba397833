"""A crowd in one process: the work until each client has a text, as processor time.

The chat and all its clients are in one event loop, which has something to do all the time between a
text and the moment when the last client has it. So the processor time of the process is how long
the text would take on a machine with one processor that does nothing else. How busy the machine is
does not matter. The collector of garbage is off: most of its work here is for the clients.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, field
from pathlib import Path

from chat_crowd.clients import Speaker
from chat_crowd.rows import deaf, rows_of
from chat_crowd.server import serving
from chat_crowd.visitors import come

__all__ = ["Work", "work_of"]


@dataclass
class Work:
    """What was measured.

    Attributes:
        seconds: of processor time, for each round, until the last client had the last text.
        faults: texts that came out of order.
        heard: how many texts the clients have heard together, with one before the first round.
    """

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    heard: int = 0


async def work_of(folder: Path, clients: int, rounds: int, together: int = 1) -> Work:
    """Let a crowd in, and talk in rounds; all are in one room, and one more reads nothing.

    Args:
        folder: for the chat.
        clients: how many, by all front ends.
        rounds: how often it is measured.
        together: how many clients say a text at once in each round.
    """
    async with serving(folder / "chat", clients + 1) as chat:
        where = chat.addresses | {"ca": str(folder / "chat" / "ca.pem")}
        rows = [list(row) for row in rows_of(clients, 1)]
        people = [person for _, person in await come(rows, where)]
        with deaf(where, f"u{clients}", "#lobby"):
            while len(chat.town.find("#lobby").names) < clients + 1:
                await asyncio.sleep(0.01)
            work = Work()
            # What is left of the work of the last who came in is not counted.
            await _round(people, people[-1:])
            gc.disable()
            try:
                for number in range(rounds):
                    first = number * together
                    speakers = [people[(first + each) % clients] for each in range(together)]
                    work.seconds.append(await _round(people, speakers))
            finally:
                gc.enable()
            work.faults = [fault for person in people for fault in person.ear.faults]
            work.heard = sum(len(person.ear.waits) for person in people)
            for person in people:
                await person.close()
    return work


async def _round(people: list[Speaker], speakers: list[Speaker]) -> float:
    wanted = sum(len(person.ear.waits) for person in people) + len(speakers) * (len(people) - 1)
    began = time.process_time()
    for person in speakers:
        person.speak()
    while sum(len(person.ear.waits) for person in people) < wanted:
        await asyncio.sleep(0)
    return time.process_time() - began
