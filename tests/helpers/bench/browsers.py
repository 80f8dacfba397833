"""Measures the clients in Node and Chromium against the client in Python, over pb:// and ws://.

``make browsers`` runs it; ``ARGS=--write`` writes ``docs/performance/browsers.md``. One server, in
a process of its own, answers one client at a time; the clients take turns. It needs Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright
from support.folders import DOCS
from support.programs import command, environment
from web.node import NODE, run_node

import broker

__all__ = ["CLIENTS", "FLIGHTS", "figures", "page", "rows"]

SCRIPT = Path(__file__).with_name("browser_calls.js")
PAGE = DOCS / "performance" / "browsers.md"
FLIGHTS = {"W2": 100, "W1": 1}
"""Calls in flight, by the name of the workload."""

CLIENTS = [("Python", "pb"), ("Python", "ws"), ("Node", "pb"), ("Node", "ws"), ("Chromium", "ws")]

HEAD = """\
# The clients in Node and Chromium

`make browsers ARGS=--write` made this page. One server in Python answers one client at a time, all
on one machine and without TLS. W1 is `echo("hello")` with one call outstanding, and W2 has 100. The
last column is one `echo` of 10 MiB. *CPU* is the processor time of the client for one call;
Chromium does not tell it. Each figure is the median of {rounds} rounds of {seconds:g} s, in which
the clients take turns. Only the order of magnitude holds on other machines.

| client | address | W2, calls/s | CPU, µs | W1, calls/s | CPU, µs | 10 MiB, ms |
|---|---|---:|---:|---:|---:|---:|
"""


class Root(broker.Root):
    """The server's object."""

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value


async def serve() -> None:
    """Serve until the standard input ends, and print the addresses."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        site = f"127.0.0.1:{listening.getsockname()[1]}"
    addresses = ("pb://127.0.0.1:0", f"ws://{site}")
    async with broker.serve(Root(), *addresses, origins=[f"http://{site}"]) as server:
        print(json.dumps(server.addresses), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def served() -> Iterator[dict[str, str]]:
    """Run a server in a process of its own; gives its addresses by their schemes."""
    process = subprocess.Popen(
        command("bench.browsers", "--serve"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        yield {address.partition(":")[0]: address for address in addresses}
        process.communicate("")


async def in_python(address: str, seconds: float) -> dict[str, float]:
    """Measure the client in Python."""
    found: dict[str, float] = {}
    async with broker.connect(address) as connection:
        call = connection.root.callRemote
        for name, flight in FLIGHTS.items():
            count, began, before = 0, time.perf_counter(), time.process_time()

            async def loop(began: float) -> None:
                nonlocal count
                while time.perf_counter() - began < seconds:
                    assert await call("echo", "hello") == "hello"
                    count += 1

            await asyncio.gather(*(loop(began) for _ in range(flight)))
            found[name] = count / (time.perf_counter() - began)
            found[f"{name} cpu"] = (time.process_time() - before) / count * 1e6
        large, began = bytes(10 << 20), time.perf_counter()
        assert len(await call("echo", large)) == len(large)
        found["large"] = time.perf_counter() - began
    return found


async def measured(client: str, address: str, seconds: float, tab: Page | None) -> dict[str, float]:
    """Measure a client once."""
    if client == "Python":
        return await in_python(address, seconds)
    if client == "Node":
        arguments = (address, str(seconds), json.dumps(FLIGHTS))
        found: dict[str, float] = json.loads(await run_node(SCRIPT.with_suffix(".mjs"), *arguments))
        return found
    assert tab is not None
    await tab.goto(f"http{address.removeprefix('ws')}".rstrip("/"))
    source = SCRIPT.read_text("utf-8").replace("export ", "")
    program = f"""async ([address, seconds, flights]) => {{
      const {{ connect }} = await import("/broker.js");
      {source}
      return measure(connect, address, seconds, flights);
    }}"""
    made: dict[str, float] = await tab.evaluate(program, [address, seconds, FLIGHTS])
    return made


async def figures(
    clients: Iterable[tuple[str, str]], rounds: int, seconds: float
) -> dict[tuple[str, str], dict[str, float]]:
    """Return the medians of each client and scheme."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {each: [] for each in clients}
    async with AsyncExitStack() as stack:
        tab = None
        if any(client == "Chromium" for client, _ in found):
            options = ["--no-sandbox"] if os.geteuid() == 0 else []
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=options
            )
            stack.push_async_callback(browser.close)
            tab = await browser.new_page()
        addresses = stack.enter_context(served())
        for _ in range(rounds):
            for (client, scheme), of in found.items():
                of.append(await measured(client, addresses[scheme], seconds, tab))
    return {
        each: {name: statistics.median(one[name] for one in of) for name in of[0]}
        for each, of in found.items()
    }


def rows(found: dict[tuple[str, str], dict[str, float]]) -> Iterator[str]:
    """The rows of the table."""
    for (client, scheme), of in found.items():
        cells = []
        for name in FLIGHTS:
            cpu = of.get(f"{name} cpu")
            cells += [f"{of[name]:,.0f}", "" if cpu is None else f"{cpu:.1f}"]
        yield f"| {client} | `{scheme}://` | {' | '.join(cells)} | {of['large'] * 1000:,.0f} |"


def page(
    found: dict[tuple[str, str], dict[str, float]], rounds: int, seconds: float, about: str
) -> str:
    """Return the page."""
    head = HEAD.format(rounds=rounds, seconds=seconds)
    return f"{head}{chr(10).join(rows(found))}\n\n{about}\n"


async def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=float, default=1.0)
    parser.add_argument("--write", action="store_true", help="write the page")
    chosen = parser.parse_args()
    if chosen.serve:
        await serve()
        return
    load = os.getloadavg()[0]
    found = await figures(CLIENTS, chosen.rounds, chosen.secs)
    node = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    chrome = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    about = (
        f"Run of {today}: Python {platform.python_version()}, Node"
        f" {node.stdout.strip().removeprefix('v')}, {' '.join(chrome.stdout.split()[:2])};"
        f" {platform.system()} {platform.machine()}, {os.cpu_count()} cores, with a load average of"
        f" {load:.1f} before it."
    )
    text = page(found, chosen.rounds, chosen.secs, about)
    if chosen.write:
        PAGE.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    asyncio.run(main())
