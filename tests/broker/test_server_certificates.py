"""Certificates that are replaced while a server runs: real sockets, real files, a real signal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.certificates import Authority, Pair

import broker

ADDRESS = "pbs://127.0.0.1:0"

PROGRAM = """
import asyncio, logging, sys
import broker

class Echo(broker.Root):
    def remote_echo(self, value):
        return value

async def main():
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    server = await broker.serve(
        Echo(), "pbs://127.0.0.1:0", tls=broker.TLS.server("server.pem", "server.key")
    )
    print(server.addresses[0], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Echo(broker.Root):
    """Returns what it gets."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of these tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> tuple[Pair, Pair]:
    """Two pairs for the same server."""
    return authority.issue(), authority.issue()


@pytest.fixture
def install(tmp_path: Path) -> Callable[[Pair, Pair], None]:
    """Put the certificate of one pair and the key of another where the server has them."""

    def install_it(certificate: Pair, key: Pair) -> None:
        (tmp_path / "server.pem").write_bytes(certificate.certificate_path.read_bytes())
        (tmp_path / "server.key").write_bytes(key.key_path.read_bytes())

    return install_it


@pytest.fixture
def look(authority: Authority) -> Callable[[str], Coroutine[Any, Any, x509.Certificate | None]]:
    """Connect, and return the certificate that the server shows."""
    tls = broker.TLS.client(ca=authority.ca_path)

    async def look_there(address: str) -> x509.Certificate | None:
        async with broker.connect(address, tls=tls) as connection:
            assert await connection.root.callRemote("echo", 1) == 1
            return connection.peer.certificate

    return look_there


async def test_files_that_are_replaced(
    tmp_path: Path, authority: Authority, pairs: Any, install: Any, look: Any
) -> None:
    """The next connection gets the new certificate; the one that is open goes on."""
    old, new = pairs

    install(old, old)
    tls = broker.TLS.server(tmp_path / "server.pem", tmp_path / "server.key")
    client = broker.TLS.client(ca=authority.ca_path)
    async with broker.serve(Echo(), ADDRESS, tls=tls) as server:
        (address,) = server.addresses
        async with broker.connect(address, tls=client) as open_before:
            install(new, new)
            assert await look(address) == new.certificate
            assert await open_before.root.callRemote("echo", 2) == 2
            assert open_before.peer.certificate == old.certificate
            assert len(server.connections) == 1


async def test_a_pair_that_does_not_match(
    tmp_path: Path, pairs: Any, install: Any, look: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A key without its certificate leaves the old pair; told once, and used when it is right."""
    old, new = pairs

    install(old, old)
    tls = broker.TLS.server(tmp_path / "server.pem", tmp_path / "server.key")
    async with broker.serve(Echo(), ADDRESS, tls=tls) as server:
        (address,) = server.addresses
        install(new, old)
        for _ in range(3):
            assert await look(address) == old.certificate
        with pytest.raises(
            broker.ConfigError,
            match=r"^key does not match certificate; still using the old pair$",
        ):
            server.reload_certificates()
        install(new, new)
        server.reload_certificates()
        assert await look(address) == new.certificate
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [
        f"{tmp_path}/server.pem, {tmp_path}/server.key: ConfigError:"
        " key does not match certificate; still using the old pair"
    ]


async def test_client_certificates_follow_their_ca(
    tmp_path: Path, authority: Authority, pairs: Any
) -> None:
    """The authority of the clients is a file too: who it does not vouch for is out from then on."""
    pair, _ = pairs
    mine = authority.issue(client=True)
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.ca_path.read_bytes())

    tls = broker.TLS.server(pair.certificate_path, pair.key_path, client_ca=clients)
    client = broker.TLS.client(
        ca=authority.ca_path, certificate=mine.certificate_path, key=mine.key_path
    )
    async with broker.serve(Echo(), ADDRESS, tls=tls) as server:
        (address,) = server.addresses
        async with broker.connect(address, tls=client):
            clients.write_bytes(Authority(tmp_path, "other").ca_path.read_bytes())
            with pytest.raises(broker.TLSError):
                await broker.connect(address, tls=client)


async def test_without_tls() -> None:
    """A server without TLS has nothing to read again, and leaves SIGHUP as it was."""
    before = signal.getsignal(signal.SIGHUP)
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        server.reload_certificates()
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert signal.getsignal(signal.SIGHUP) is before
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_signal(tmp_path: Path, pairs: Any, install: Any, look: Any) -> None:
    """SIGHUP has serve_forever read the files at once, and says what is wrong with them."""
    old, new = pairs
    install(old, old)
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        # Who answers has gone on to serve_forever, where the signal is taken.
        assert await look(address) == old.certificate
        install(old, new)
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == (
            "reading certificates again for SIGHUP: ConfigError:"
            " key does not match certificate; still using the old pair\n"
        )
        assert await look(address) == old.certificate
        install(new, new)
        process.send_signal(signal.SIGHUP)
        assert await look(address) == new.certificate
        process.terminate()
        assert process.wait() == 0
