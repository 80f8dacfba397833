"""The processes of a measurement."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from support.programs import command, environment

from bench.contract import Effort
from bench.side import Options

__all__ = ["Process", "Running", "cores", "form_of", "sides"]

PATIENCE = 120.0
"""Seconds in which a side must have something to say."""


class Process:
    """A side, in a process that hears and says JSON lines.

    Args:
        program: the module of the side.
        options: what it is to be.
        more: arguments after the options.

    The first thing that it says, when it is ready, is its ``pid``, and of a server its ``port``.
    """

    def __init__(self, program: str, options: Options, *more: str):
        self._process = subprocess.Popen(
            command(program, options.written(), *more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONHASHSEED="0", **_variables(options)),
        )

    def say(self, value: Any) -> None:
        """Write one value to it; in vain if it has ended, which `hear` will tell."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the next value that it says.

        Raises:
            RuntimeError: it has ended, perhaps because it was silent for too long; what it had to
                say about that is on the standard error.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            self._process.wait()
            raise RuntimeError(f"a side ended with status {self._process.returncode}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end; by force after five seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _variables(options: Options) -> dict[str, str]:
    return {"BROKER_PURE": "1"} if options.pure else {}


Described: TypeAlias = tuple[str, Options]
"""The program of a side, and what it is to be."""


@contextmanager
def sides(wanted: Mapping[str, tuple[Described, Described]]) -> Iterator[Running]:
    """Start servers, all at once, and then their clients; end them all afterwards.

    Clients end first. Their connections break off, which is no business of a measurement.

    Args:
        wanted: server and client by the name of their pairing.
    """
    with ExitStack() as stack:

        def start(described: Mapping[str, Described]) -> dict[str, Process]:
            started = {name: Process(*each) for name, each in described.items()}
            for process in started.values():
                stack.callback(process.close)
            return started

        def greet(started: Mapping[str, Process]) -> dict[str, dict[str, Any]]:
            return {name: process.hear() for name, process in started.items()}

        servers = greet(start({name: server for name, (server, _) in wanted.items()}))
        clients = start(
            {
                name: (program, dataclasses.replace(options, server=_place(servers[name])))
                for name, (_, (program, options)) in wanted.items()
            }
        )
        hellos = greet(clients)
        pids = {name: (servers[name]["pid"], hellos[name]["pid"]) for name in wanted}
        forms = {name: form_of(servers[name]["form"], hellos[name]["form"]) for name in wanted}
        yield Running(clients, pids, forms)


def _place(hello: Mapping[str, Any]) -> dict[str, int]:
    return {key: hello[key] for key in ("port", "pid")}


def form_of(server: str, client: str) -> str:
    """Return the form of a pairing: that of both sides, or of the side that has one."""
    if server and client and server != client:
        return f"server {server}, client {client}"
    return server or client


@dataclass(frozen=True)
class Running:
    """What has been started.

    Attributes:
        clients: the clients, which wait for orders, by the name of their pairing.
        pids: the process ids of server and client.
        forms: which form of broker runs, by the name of the pairing; empty without broker.
    """

    clients: Mapping[str, Process]
    pids: Mapping[str, tuple[int, int]]
    forms: Mapping[str, str]

    def measure(self, name: str, workload: str, effort: Effort) -> dict[str, Any]:
        """Run one workload, and return its figures.

        Raises:
            RuntimeError: a side has ended; what it had to say is on the standard error.
        """
        client = self.clients[name]
        client.say([workload, vars(effort)])
        figures: dict[str, Any] = client.hear()
        return figures


def cores(*, one: bool) -> tuple[int | None, int | None]:
    """Return the cores of server and client; None where a process cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    ours = sorted(os.sched_getaffinity(0))
    return (ours[0], ours[0]) if one else (ours[0], ours[-1])
