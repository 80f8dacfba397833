"""Fixtures of the network tests: a protocol that records, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, Pair

from broker.net.tls.settings import TLS


class Recorder:
    """A protocol that keeps what it is given; its waits are futures, never sleeps."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.data = bytearray()
        self.reason: Exception | None = None
        self.lost_calls = 0
        self._changed = asyncio.Event()

    def makeConnection(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport
        self._changed.set()

    def dataReceived(self, data: bytes) -> None:
        """Keep the bytes."""
        assert type(data) is bytes
        self.data += data
        self._changed.set()

    def connectionLost(self, reason: Any) -> None:
        """Keep the reason."""
        self.lost_calls += 1
        self.reason = reason.value
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until an event has made the condition true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def received(self, count: int) -> bytes:
        """Wait for so many bytes, and return all."""
        await self.until(lambda: len(self.data) >= count)
        return bytes(self.data)

    async def lost(self) -> Exception:
        """Wait for the end, and return what ended it."""
        await self.until(lambda: self.reason is not None)
        assert self.reason is not None
        return self.reason


class Factory:
    """Makes a `Recorder` for each connection and lets a test wait for it."""

    def __init__(self, make: Callable[[], Any] = Recorder) -> None:
        self._make = make
        self._made: asyncio.Queue[Any] = asyncio.Queue()
        self.peers: list[Any] = []

    def __call__(self, peer: Any) -> Any:
        """Make the next one."""
        protocol = self._make()
        self.peers.append(peer)
        self._made.put_nowait(protocol)
        return protocol

    async def next(self) -> Any:
        """Wait for the next connection's protocol."""
        return await self._made.get()


@pytest.fixture
def recorder() -> type[Recorder]:
    """The class `Recorder`."""
    return Recorder


@pytest.fixture
def factory() -> type[Factory]:
    """The class `Factory`."""
    return Factory


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the certificates."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    """The CA that the client trusts."""
    return Authority(folder)


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    """The server's certificate, for localhost and 127.0.0.1."""
    return authority.issue()


@pytest.fixture(scope="session")
def server_tls(pair: Pair) -> TLS:
    """Settings of a server with `pair`."""
    return TLS.server(pair.certificate_path, pair.key_path)


@pytest.fixture(scope="session")
def client_tls(authority: Authority) -> TLS:
    """Settings of a client that trusts `authority`."""
    return TLS.client(ca=authority.ca_path)
