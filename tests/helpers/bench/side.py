"""What every side of a measurement is: a process that is told what to be, and speaks JSON lines.

The first argument of its program has the `Options`. A server says where it is and serves until its
standard input ends; a client reads orders there, runs the workloads that they name, and says the
figures.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from bench.contract import Bench, Effort, Side

__all__ = ["Options", "Program", "play"]


@dataclass(frozen=True)
class Options:
    """What a side is to be.

    Attributes:
        core: the processor core that it is pinned to; None for any.
        server: ``port`` and ``pid`` of the server; None for the server itself.
        dialect: what both ends must come to speak, where a library has more than one.
        uvloop: whether the loop is uvloop's.
        pure: whether the process has BROKER_PURE=1 in its environment.
        general: whether our connections have no lane; see `bench.general_path`.
        ws: whether our connections are WebSockets.
        metrics: whether our server counts calls for `broker.prometheus`.
        observer: whether our server has an observer whose methods of calls do nothing.
        login: the way of logging in that the server demands; empty for none.
        certificates: the folder that `identities.write_identities` filled; None for plain TCP.
    """

    core: int | None = None
    server: dict[str, int] | None = None
    dialect: str = ""
    uvloop: bool = False
    pure: bool = False
    general: bool = False
    ws: bool = False
    metrics: bool = False
    observer: bool = False
    login: str = ""
    certificates: str | None = None

    @classmethod
    def given(cls) -> Options:
        """Return what the command line says, and move to the core that it names."""
        options = cls(**json.loads(sys.argv[1]))
        if options.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {options.core})
        return options

    def written(self) -> str:
        """Return the argument that `given` reads."""
        return json.dumps(asdict(self))

    @cached_property
    def folder(self) -> Path:
        """The folder of certificates and tokens."""
        return Path(self.certificates or "")

    @property
    def certificate(self) -> Path:
        """The server's certificate, a PEM file that is its own authority."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """Its private key, a PEM file."""
        return self.folder / "server.key"


Program: TypeAlias = Callable[[Callable[[Options], Side]], Coroutine[Any, Any, None]]
"""A coroutine function that gets what makes a side of a library."""


async def play(side: Side, options: Options) -> None:
    """Be the server or the client until the standard input ends."""
    if options.server is None:
        _say({"port": await side.serve(), "pid": os.getpid(), "form": side.form})
        await side.in_thread(sys.stdin.read)
        return
    bench = Bench(side, options.server["port"], options.server["pid"])
    _say({"pid": os.getpid(), "form": side.form})
    # The loop stands still while the next order is waited for; nothing is measured then.
    for line in sys.stdin:
        name, effort = json.loads(line)
        _say(await side.workloads[name](bench, Effort(**effort)))


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)
