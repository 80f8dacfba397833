"""Each client over each transport: Python, Node and Chromium by tcp, tls, ws and wss.

A browser opens WebSockets only. `make system` runs this; without Chromium, `tests/web` runs the
client in Node over the same transports.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright
from support.certificates import Authority
from web.node import run_node
from web.office import Office, portal, registered, scram_portal
from web.tour import EXPECTED, SCRIPT, tour

import broker

NAME, PASSWORD = "alice", "wönderland"
SCHEMES = {"pb": "tcp", "pbs": "tls", "ws": "ws", "wss": "wss"}
PAIRS = [
    *(("Python", scheme) for scheme in SCHEMES),
    *(("Node", scheme) for scheme in SCHEMES),
    *(("Chromium", scheme) for scheme in ("ws", "wss")),
]

TOUR = f"""async ([address, name, password]) => {{
  const pb = await import("/broker.js");
  {SCRIPT.read_text("utf-8").replace("export ", "")}
  return tour(pb, pb.connect, address, name, password);
}}"""

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
            context = await browser.new_context(ignore_https_errors=True)
            tab = await context.new_page()
            await tab.goto(page)
            return await tab.evaluate(program, list(arguments))
        finally:
            await browser.close()


async def visit(client: str, address: str, ca: Path | None) -> Any:
    """Let a client make the tour; return what it has seen."""
    if client == "Python":
        tls = None if ca is None else broker.TLS.client(ca=ca)
        return await tour(address, NAME, PASSWORD, tls)
    if client == "Chromium":
        return await in_chromium(site_of(address), TOUR, address, NAME, PASSWORD)
    # The WebSocket of Node trusts what Node trusts.
    trust = {} if ca is None else {"NODE_EXTRA_CA_CERTS": str(ca)}
    arguments = (address, NAME, PASSWORD, str(ca or ""))
    return json.loads(await run_node(SCRIPT.with_suffix(".mjs"), *arguments, **trust))


def site_of(address: str) -> str:
    """The origin of the pages of a WebSocket port."""
    return f"http{address.removeprefix('ws')}".rstrip("/")


@pytest.mark.parametrize(("client", "scheme"), PAIRS)
@pytest.mark.timeout(120)
async def test_tour(client: str, scheme: str, tmp_path: Path) -> None:
    """The client logs in by SCRAM, calls, is called, copies, follows, streams, and lets go."""
    authority = Authority(tmp_path)
    has_tls = scheme in ("pbs", "wss")
    pair = authority.issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path) if has_tls else None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    origins = [site_of(address)] if scheme.startswith("ws") else []
    with registered():
        users = scram_portal(Office(), tmp_path)
        async with broker.serve(users, address, tls=tls, origins=origins):
            seen = await visit(client, address, authority.ca_path if has_tls else None)
    assert seen == EXPECTED


@pytest.mark.timeout(120)
async def test_a_page_of_another_site() -> None:
    """It may import the client; it may connect if its origin is listed."""
    guests = portal(Office())
    async with broker.serve(guests, "ws://127.0.0.1:0") as other:
        page = site_of(other.addresses[0])
        for origins, said in (([page], ["None", "anonymous"]), ([], "ConnectionLost")):
            async with broker.serve(guests, "ws://127.0.0.1:0", origins=origins) as server:
                address = server.addresses[0]
                # This page has no rules for its scripts.
                arguments = (f"{site_of(address)}/broker.js", address)
                assert await in_chromium(f"{page}/health", IMPORTED, *arguments) == said
