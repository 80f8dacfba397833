"""Counts the objects that the garbage collector knows for each connection that a server keeps.

The process is the server. The clients are in a process of their own, which is this program too.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.contract import Bench, Client, Side
from bench.one_process import library_of, say
from bench.processes import Process
from bench.side import Options
from bench.workloads import connect

__all__ = ["count", "keep"]


def objects() -> Counter[str]:
    """Return how many objects there are of each type, after a collection."""
    gc.collect()
    return Counter(type(each).__qualname__ for each in gc.get_objects())


async def count(make: Callable[[Options], Side], options: Options, program: list[str]) -> None:
    """Be the server; say how many objects of each type one connection more makes.

    Args:
        make: makes a side.
        options: of both sides.
        program: the library, and how many connections to make before, and how many to count.
    """
    library, warm, more = program[0], int(program[1]), int(program[2])
    side = make(options)
    there = {"port": await side.serve(), "pid": os.getpid()}
    clients = Process("bench.kept", dataclasses.replace(options, server=there), library)
    try:
        await side.in_thread(clients.hear)
        clients.say(warm)
        await side.in_thread(clients.hear)
        before = objects()
        clients.say(more)
        await side.in_thread(clients.hear)
        after = objects()
    finally:
        await side.in_thread(clients.close)
    after.subtract(before)
    say({name: number / more for name, number in after.items() if number})


async def keep(make: Callable[[Options], Side], options: Options, program: list[str]) -> None:
    """Be the clients: make as many connections as the standard input says, line by line."""
    assert options.server is not None
    bench = Bench(make(options), options.server["port"], options.server["pid"])
    kept: list[Client] = []
    print("0", flush=True)
    for line in sys.stdin:
        await connect(bench, int(line), kept)
        print(len(kept), flush=True)


def main(options: Options, program: list[str]) -> None:
    """Be the server or the clients."""
    play: Any = count if options.server is None else keep
    library_of(program[0]).run(lambda make: play(make, options, program), options)


if __name__ == "__main__":
    main(Options.given(), sys.argv[2:])
