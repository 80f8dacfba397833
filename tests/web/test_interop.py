"""The TypeScript client in Node against servers of this library, over each transport."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from support.certificates import Authority
from web.node import NODE, run_node
from web.office import Office, portal, registered, scram_portal

import broker

HERE = Path(__file__).parent
SCHEMES = ["pb", "pbs", "ws", "wss"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.timeout(120)
async def test_all_capabilities(scheme: str, tmp_path: Path) -> None:
    """The client logs in, calls, is called, follows, streams, cancels, and lets go."""
    authority = Authority(tmp_path)
    pair = authority.issue()
    tls = (
        broker.TLS.server(pair.certificate_path, pair.key_path)
        if scheme in ("pbs", "wss")
        else None
    )
    address = f"{scheme}://127.0.0.1:0"
    office = Office()
    with registered():
        async with (
            broker.serve(portal(office), address, tls=tls) as server,
            broker.serve(scram_portal(office, tmp_path), address, tls=tls) as scram,
        ):
            output = await run_node(
                HERE / "interop.ts",
                ADDRESS=server.addresses[0],
                SCRAM_ADDRESS=scram.addresses[0],
                CA=str(authority.ca_path) if tls else "",
                # The WebSocket of Node trusts what Node trusts.
                NODE_EXTRA_CA_CERTS=str(authority.ca_path),
            )
    assert "fail 0" in output


async def test_a_client_logs_in_again() -> None:
    """A client whose server restarts logs in again; a wrong password ends its attempts."""
    office = Office()
    environment = os.environ | {"ADDRESS": ""}
    server = await broker.serve(portal(office), "pb://127.0.0.1:0")
    environment["ADDRESS"] = address = server.addresses[0]
    process = await asyncio.create_subprocess_exec(
        NODE, "--no-warnings", HERE / "reconnect.ts", env=environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = []
    try:
        while line := (await process.stdout.readline()).decode().strip():
            said.append(line)
            if line.startswith("in") and said.count(line) < 3:
                await server.close()
                server = await broker.serve(portal(office), address)
    finally:
        await server.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
    turns = ["in bob", "out draining"] * 2
    ends = ["in bob", "fatal UnauthorizedLogin false 3 true", "aborted closing"]
    assert said == [*turns, *ends, "gave up ConnectionLost"]
