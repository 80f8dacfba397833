"""The director of the demonstration: starts its processes, runs the acts, ends all processes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Protocol

from broker.demo.certificates import write_certificates
from broker.demo.steps import ACTS, DEADLINE, STEPS, Report, failed

__all__ = ["PROGRAMS", "Player", "Troupe", "demonstrate", "play"]

_PART = (sys.executable, "-m", "broker.demo.part")

PROGRAMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {who: (*_PART, who) for who in ("server", "alice", "bob")}
)
"""The command of each process; the folder with the certificates is appended."""

# Added to a process's own limit, for its start and for a busy machine.
_PATIENCE = 10.0


class Player(Protocol):
    """Runs the acts of one ``who``."""

    async def play(self, number: int) -> Report:
        """Run the act of that number in the table."""


async def play(players: Mapping[str, Player], say: Callable[[str], object]) -> bool:
    """Run all acts in order, and pass their lines to ``say``; stop at the first that fails.

    Returns:
        Whether all acts succeeded.
    """
    for number, act in enumerate(ACTS):
        report = await players[act.who].play(number)
        if report.line:
            say(report.line)
        if report.has_failed:
            return False
    return True


class ProcessPlayer:
    """A process of the demonstration."""

    def __init__(self, who: str, process: Process):
        self._who = who
        self._process = process

    @classmethod
    async def start(cls, who: str, command: tuple[str, ...]) -> ProcessPlayer:
        """Start a process, in its own session, so that only this process gets the user's Ctrl-C."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        return cls(who, process)

    async def play(self, number: int) -> Report:
        """Let the process run an act."""
        try:
            self.tell(str(number))
            return await self.report()
        except (OSError, ValueError) as error:
            return failed(ACTS[number], str(error))

    def tell(self, line: str) -> None:
        """Write a line to the process."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{line}\n".encode())

    async def report(self) -> Report:
        """Return the next report.

        Raises:
            OSError: it does not come, because the process has ended or is stuck.
            ValueError: the line is not a report.
        """
        if self._process.stdout is None:
            raise OSError(f"the output of the process of {self._who} cannot be read")
        seconds = DEADLINE + _PATIENCE
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
                if line:
                    return Report(**json.loads(line))
                status = await self._process.wait()
        except TimeoutError:
            raise OSError(f"no report from the process of {self._who} in {seconds:g} s") from None
        raise OSError(f"the process of {self._who} ended with exit status {status}")

    async def end(self) -> None:
        """End the process by ending its input, or else by killing it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """Kill the process if it still runs."""
        with suppress(ProcessLookupError):
            self._process.kill()


class Troupe:
    """The processes of the demonstration; ``async with`` ends them in every case.

    Attributes:
        players: the process of each ``who``.
    """

    def __init__(self, programs: Mapping[str, tuple[str, ...]], folder: Path):
        self.players: dict[str, ProcessPlayer] = {}
        self._programs = programs
        self._folder = folder

    async def __aenter__(self) -> Troupe:
        for who, command in self._programs.items():
            self.players[who] = await ProcessPlayer.start(who, (*command, str(self._folder)))
        return self

    async def open(self) -> str:
        """Wait for the server's address, pass it to the clients, and return it.

        Raises:
            OSError, ValueError: the server did not report an address.
        """
        address = (await self.players["server"].report()).line
        for who, player in self.players.items():
            if who != "server":
                player.tell(address)
        return address

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # The clients end before the server.
        players = [self.players[who] for who in reversed(self.players)]
        try:
            if error is None:
                for player in players:
                    await player.end()
        finally:
            for player in players:
                player.kill()
            await asyncio.gather(*(player.end() for player in players))


async def demonstrate(
    say: Callable[[str], object], programs: Mapping[str, tuple[str, ...]] = PROGRAMS
) -> bool:
    """Run the demonstration in a server process and two client processes.

    Args:
        say: called with each line.
        programs: the command of each process.

    Returns:
        Whether all steps succeeded.
    """
    began = time.monotonic()
    _cancel_on_terminate()
    with TemporaryDirectory(prefix="perspective-broker-") as name:
        folder = Path(name)
        write_certificates(folder)
        async with Troupe(programs, folder) as troupe:
            try:
                address = await troupe.open()
            except (OSError, ValueError) as error:
                say(f"the demonstration cannot begin: {error}")
                return False
            say(f"   server  a box office at {address}")
            if not await play(troupe.players, say):
                return False
    seconds = time.monotonic() - began
    say(f"goodbye: {STEPS} of {STEPS} steps in {seconds:.1f} s")
    return True


def _cancel_on_terminate() -> None:
    """Let SIGTERM end the demonstration in order, as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
