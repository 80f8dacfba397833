"""The processor time of a server that is watched by operators.

``PYTHONPATH=tests/helpers python -m bench.watching`` measures and prints it. The server is another
process. This process holds idle connections to it and, in the second part, watches it by its
socket for operators. What is printed is the processor time of the server in percent of one core:
idle, watched, and watched while the first 100 connections are asked for each second, as ``pb top``
and the page of operators do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from support.programs import command, environment

import broker
from broker.inspection.contract import Inspection

__all__ = ["measure"]

BATCH = 50


class Shop(broker.Root):
    """What is served."""


async def serve(admin: str) -> None:
    """Serve until the standard input ends; print the address."""
    policy = broker.STRICT.but(max_waiting=100_000, max_waiting_each=100_000)
    async with broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy, admin=admin) as server:
        print(server.addresses[0], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def share(server: psutil.Process, seconds: float) -> float:
    """Return the processor time of a process in the next seconds, in percent of a core."""
    began, before = time.perf_counter(), server.cpu_times()
    await asyncio.sleep(seconds)
    after, took = server.cpu_times(), time.perf_counter() - began
    # Each difference by itself: that of two sums may be a little less than nothing.
    used = (after.user - before.user) + (after.system - before.system)
    return 100 * used / took


async def watch(inspection: Inspection, every: float, seen: list[int]) -> None:
    """Watch, and count the samples."""
    with broker.credit(items=1):
        async for snapshot in inspection.watch(every):
            seen.append(snapshot.open)


async def list_them(inspection: Inspection) -> None:
    """Ask for the first connections each second."""
    while True:
        await inspection.connections(order="calls", most=100)
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def running(*doing: asyncio.Task[None]) -> AsyncIterator[None]:
    """Cancel tasks at the end."""
    try:
        yield
    finally:
        for task in doing:
            task.cancel()
        await asyncio.wait(doing)


async def measure(connections: int, hertz: float, seconds: float) -> dict[str, float]:
    """Return the percentages, and how many samples came each second.

    Args:
        connections: how many are open.
        hertz: how often the server is watched.
        seconds: for each part.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        admin = f"pb+unix://{folder}/admin.sock"
        process = stack.enter_context(
            subprocess.Popen(
                command("bench.watching", "--serve", admin),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                text=True,
            )
        )
        stack.callback(process.terminate)
        assert process.stdout is not None
        address = await asyncio.to_thread(process.stdout.readline)
        for start in range(0, connections, BATCH):
            some = range(start, min(start + BATCH, connections))
            made = [stack.enter_async_context(broker.connect(address.strip())) for _ in some]
            await asyncio.gather(*made)
        server = psutil.Process(process.pid)
        found = {"idle": await share(server, seconds)}
        operator = await stack.enter_async_context(broker.connect(admin))
        inspection = operator.root.of(Inspection)
        seen: list[int] = []
        async with running(asyncio.ensure_future(watch(inspection, 1 / hertz, seen))):
            found["watched"] = await share(server, seconds)
            found["samples"] = len(seen) / seconds
            assert seen[-1] == connections
            async with running(asyncio.ensure_future(list_them(inspection))):
                found["listed"] = await share(server, seconds)
        return found


def main(arguments: list[str]) -> int:
    """Measure and print; return 1 if watching takes 2 % of a core or more."""
    parser = argparse.ArgumentParser(prog="python -m bench.watching", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--hertz", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each of three parts")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve))
        return 0
    found = asyncio.run(measure(options.connections, options.hertz, options.seconds))
    print(f"{options.connections} connections, of a core, load {os.getloadavg()[0]:.1f}:")
    print(f"  sampled each second, nobody watches        {found['idle']:5.2f} %")
    watched = f"watched at {options.hertz:g} Hz ({found['samples']:.1f} came)"
    print(f"  {watched:42} {found['watched']:5.2f} %")
    print(f"  and 100 connections listed each second     {found['listed']:5.2f} %")
    return int(found["watched"] >= 2.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
