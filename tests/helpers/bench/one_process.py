"""Both ends of a measurement in one process: does an operation so many times, and says the figures.

`bench.variants` starts this program once for each variant and round. The first argument has the
`Options` of both sides, the second the `Order`. It says one JSON value. What it imports of broker
and cred is published, so that it also runs with older versions of them.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TypeAlias

from bench.contract import Bench, Side
from bench.operations import OPERATIONS, Run
from bench.side import Options

__all__ = ["LIBRARIES", "Order", "library_of"]

LIBRARIES: Mapping[str, str] = {"ours": "bench.ours_side", "twisted": "bench.twisted_side"}
"""The modules of the libraries that can run both ends in one process."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What the program is to do.

    Attributes:
        library: a key of `LIBRARIES`.
        operation: a key of `bench.operations.OPERATIONS`.
        way: a key of `WAYS`: how it is measured.
        warm: steps before the measurement.
        count: steps of a round.
        rounds: how many rounds there are.
    """

    library: str
    operation: str
    way: str
    warm: int
    count: int
    rounds: int = 1

    @classmethod
    def given(cls) -> Order:
        """Return what the command line says."""
        return cls(**json.loads(sys.argv[2]))

    def written(self) -> str:
        """Return the argument that `given` reads."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def operations(self) -> int:
        """The operations of a round."""
        return self.count * OPERATIONS[self.operation].parts


async def timed(run: Run, order: Order) -> list[float]:
    """Return the microseconds of processor time of one operation, for each round."""
    spent = []
    for _ in range(order.rounds):
        begun = time.process_time()
        await run(order.count)
        spent.append(1e6 * (time.process_time() - begun) / order.operations)
    return spent


async def once(run: Run, order: Order) -> None:
    """Do it, and measure nothing: another program counts the instructions.

    The garbage collector leaves alone the objects that exist before. One collection of all of them
    takes as many instructions as many operations, and it would be in some runs only.
    """
    gc.collect()
    gc.freeze()
    await run(order.count)


async def counted(run: Run, order: Order) -> dict[str, dict[str, float]]:
    """Return how often each function is called in one operation: those of ``python`` and of ``c``.

    A function that waits is called again by each step of its coroutine. The garbage collector is
    off meanwhile, since what it calls depends on when it runs.
    """
    python, c = Counter[Any](), Counter[str]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            python[frame.f_code] += 1
        elif event == "c_call":
            c[getattr(argument, "__qualname__", str(argument))] += 1

    gc.collect()
    gc.disable()
    sys.setprofile(note)
    await run(order.count)
    sys.setprofile(None)
    named = Counter[str]()
    for code, count in python.items():
        named[f"{short(code.co_filename)}:{code.co_qualname}"] += count
    return {
        "python": {name: count / order.operations for name, count in named.items()},
        "c": {name: count / order.operations for name, count in c.items()},
    }


def short(path: str) -> str:
    """Return a file's path from the folder on, from which Python imports it."""
    folders = (each for each in sys.path if each and Path(path).is_relative_to(each))
    longest = max(folders, key=len, default="")
    return path.removeprefix(longest).lstrip(os.sep)


Way: TypeAlias = Callable[[Run, Order], Awaitable[Any]]

WAYS: Mapping[str, Way] = {"time": timed, "once": once, "calls": counted}
"""The ways of measuring."""


async def measure(make: Callable[[Options], Side], options: Options, order: Order) -> None:
    """Start both ends, measure, say the figures, and end the process at once."""
    port = await make(options).serve()
    there = {"port": port, "pid": os.getpid()}
    bench = Bench(make(dataclasses.replace(options, server=there)), port, os.getpid())
    run = await OPERATIONS[order.operation].prepare(bench)
    await run(order.warm)
    say(await WAYS[order.way](run, order))


def say(value: Any) -> None:
    """Print a JSON value, and end the process: what the end takes is not to be measured."""
    print(json.dumps(value), flush=True)
    os._exit(0)


def library_of(name: str) -> ModuleType:
    """Return the module of a library."""
    return importlib.import_module(LIBRARIES[name])


def main(options: Options, order: Order) -> None:
    """Measure what the order says."""
    library_of(order.library).run(lambda make: measure(make, options, order), options)


if __name__ == "__main__":
    main(Options.given(), Order.given())
