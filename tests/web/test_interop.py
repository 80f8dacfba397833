"""The TypeScript client in Node against servers of this library, over each transport."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from support.certificates import Authority
from web.node import NODE, run_node, with_built_file
from web.office import Office, portal, registered, scram_portal

import broker
from cred import Portal
from cred.certificates import CertificateChecker

HERE = Path(__file__).parent
SCHEMES = ["pb", "pbs", "ws", "wss"]


@pytest.mark.parametrize("scheme", [*SCHEMES, "built"])
@pytest.mark.timeout(120)
async def test_all_capabilities(scheme: str, tmp_path: Path) -> None:
    """The client logs in, calls, is called, follows, streams, cancels, and lets go.

    So does the built file, over WebSocket.
    """
    program = HERE / "interop.ts"
    if scheme == "built":
        scheme, program = "ws", with_built_file(program, tmp_path)
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
                program,
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


class Desk(broker.Root):
    """A root without a login."""

    def remote_echo(self, value: object) -> object:
        """Return the value."""
        return value

    def remote_is_root(self, value: object) -> bool:
        """Return whether it is this object."""
        return value is self


async def test_other_servers(tmp_path: Path) -> None:
    """A server without a login, one that asks for certificates, and what is not a server."""
    authority = Authority(tmp_path)
    pair, client = authority.issue(), authority.issue(["carol"], client=True)
    tls = broker.TLS.server(
        pair.certificate_path, pair.key_path, client_ca=authority.ca_path, client_optional=True
    )
    realm = broker.realm(Office().member)
    portal = Portal(realm, [CertificateChecker(by="dns")])
    async with (
        broker.serve(Desk(), "pb://127.0.0.1:0") as root,
        broker.serve(portal, "pbs://127.0.0.1:0", tls=tls) as certified,
    ):
        output = await run_node(
            HERE / "others.ts",
            ROOT=root.addresses[0],
            CERTIFIED=certified.addresses[0],
            CA=str(authority.ca_path),
            CERT=str(client.certificate_path),
            KEY=str(client.key_path),
        )
    assert "fail 0" in output
