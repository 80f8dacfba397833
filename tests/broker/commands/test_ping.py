"""``pb ping``: whether a server answers, by exit status and in words."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner

import broker
from broker.commands.ping import ping
from cred.checkers import AllowAnonymousAccess
from cred.portal import Portal


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command; return status, output and errors."""
    result = await asyncio.to_thread(Runner().invoke, ping, arguments)
    return result.exit_code, re.sub(r"\d\.\d{4} s", "T", result.stdout), result.stderr


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_a_server(dialect: str) -> None:
    """A server answers, with or without a login; without pings its offer is the answer."""
    portal = Portal(broker.realm(lambda name, mind: broker.Avatar()), [AllowAnonymousAccess()])
    policy = broker.STRICT.but(dialects=(dialect,))
    for target in (broker.Root(), portal):
        async with broker.serve(target, "pb://127.0.0.1:0", policy=policy) as server:
            (address,) = server.addresses
            lines = [f"{address}: {dialect}, connected in T"]
            if dialect != "pb":
                lines += [f"{address}: answered in T"] * 2
            assert await run(address, "--count", "2") == (0, "\n".join(lines) + "\n", "")


async def test_tls(certificates: Path) -> None:
    """Over TLS the certificate is checked."""
    tls = broker.TLS.server(certificates / "server.pem", certificates / "server.key")
    async with broker.serve(broker.Root(), "pbs://127.0.0.1:0", tls=tls) as server:
        (address,) = server.addresses
        assert (await run(address, "--ca", str(certificates / "ca.pem")))[0] == 0
        status, _, errors = await run(address)
        assert (status, errors.startswith("pb ping: ")) == (3, True)


async def test_no_server() -> None:
    """A port without a server, and a server that says nothing, are not reached."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        status, _, errors = await run(f"pb://127.0.0.1:{port}", "--timeout", "0.2")
        assert (status, f"no connection to pb://127.0.0.1:{port} in 0.2 s" in errors) == (3, True)
    status, _, errors = await run(f"pb://127.0.0.1:{port}")
    assert (status, "connection refused" in errors) == (3, True)


async def test_wrong_use() -> None:
    """A wrong address is wrong use."""
    status: Any
    for address in ("nowhere", "pb://broker.example"):
        status, _, errors = await run(address)
        assert (status, errors.startswith("pb ping: ")) == (2, True)
