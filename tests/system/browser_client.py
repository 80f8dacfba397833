"""The TypeScript client in Chromium, as it is built and served: `make system` runs this."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright
from web.office import Office, portal, registered, scram_portal

import broker

PROGRAM = """async ([address, username, password]) => {
  const { connect, Referenceable, RemoteCache, register } = await import("/broker.js");
  class Seat { }
  register(Seat, "office.Seat");
  class Gauge extends RemoteCache {
    observe_n(n) { this.n = n; }
  }
  register(Gauge, "office.Gauge");
  class Bell extends Referenceable {
    remote_ring(i) { return `ring ${i}`; }
  }
  async function* numbers() { for (let i = 0; i < 1000; i++) yield i; }
  const connection = await connect(address, { username, password });
  const { avatar } = connection;
  const seen = {};
  seen.who = await avatar.callRemote("whoami");
  seen.rings = await avatar.callRemote("ring", new Bell(), 2);
  seen.seat = { ...(await avatar.callRemote("seat")) };
  let gauge = await avatar.callRemote("gauge");
  await avatar.callRemote("set", 7);
  seen.gauge = gauge.n;
  seen.total = await avatar.callRemote("total", numbers());
  seen.count = 0;
  for await (const number of avatar.callRemote("count", 1000)) seen.count += number;
  seen.chain = await avatar.callRemote("thing").callRemote("hi");
  seen.big = (await avatar.callRemote("echo", "x".repeat(1 << 20))).length;
  gauge = null;
  while (!seen.stopped) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    seen.stopped = (await avatar.callRemote("counts")).stopped;
  }
  connection.close();
  seen.end = (await connection.closed).code;
  return seen;
}"""

EXPECTED = {
    "who": ["alice", "SCRAM-SHA-256"],
    "rings": ["ring 0", "ring 1"],
    "seat": {"row": "C", "number": 7},
    "gauge": 7,
    "total": 499_500,
    "count": 499_500,
    "chain": "hi",
    "big": 1 << 20,
    "stopped": 1,
    "end": "closing",
}


IMPORTED = """async ([script, address]) => {
  const { connect } = await import(script);
  try {
    const connection = await connect(address, "anonymous");
    return await connection.avatar.callRemote("whoami");
  } catch (error) {
    return error.name;
  }
}"""


async def in_chromium(page: str, program: str, *arguments: str) -> Any:
    """Open a page, and run a program in it."""
    # Chromium refuses to sandbox its processes for root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*options, "--js-flags=--expose-gc"]
        )
        try:
            tab = await browser.new_page()
            await tab.goto(page)
            return await tab.evaluate(program, list(arguments))
        finally:
            await browser.close()


@pytest.mark.timeout(120)
async def test_the_client_in_chromium(tmp_path: Path) -> None:
    """The file that the server serves logs in by SCRAM, calls, is called, follows and streams."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        site = f"127.0.0.1:{listening.getsockname()[1]}"
    users = scram_portal(Office(), tmp_path)
    with registered():
        async with broker.serve(users, f"ws://{site}", origins=[f"http://{site}"]):
            arguments = (f"ws://{site}", "alice", "wönderland")
            seen = await in_chromium(f"http://{site}/", PROGRAM, *arguments)
    assert seen == EXPECTED


@pytest.mark.timeout(120)
async def test_a_page_of_another_site() -> None:
    """It may import the client; it may connect if its origin is listed."""
    guests = portal(Office())
    async with broker.serve(guests, "ws://127.0.0.1:0") as other:
        page = _site(other)
        for origins, said in (([page], ["", "anonymous"]), ([], "ConnectionLost")):
            async with broker.serve(guests, "ws://127.0.0.1:0", origins=origins) as server:
                script = f"{_site(server)}/broker.js"
                # This page has no rules for its scripts.
                arguments = (script, server.addresses[0])
                seen = await in_chromium(f"{page}/health", IMPORTED, *arguments)
                assert seen == said


def _site(server: broker.Server) -> str:
    return f"http{server.addresses[0].removeprefix('ws')}".rstrip("/")
