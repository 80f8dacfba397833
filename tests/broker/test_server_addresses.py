"""The addresses of a server, before a port is opened."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.errors import ConfigError
from broker.server_addresses import locations_of


class Name(broker.Root):
    """Answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def remote_name(self) -> str:
        """Return it."""
        return self.name


def test_the_default() -> None:
    """Without addresses and sockets it is the loopback at port 8787, with TLS if there is one."""
    tls: Any = object()
    assert [str(each) for each in locations_of((), (), None)] == ["pb://127.0.0.1:8787"]
    assert [str(each) for each in locations_of((), (), tls)] == ["pbs://127.0.0.1:8787"]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = sock.fileno()
        assert [str(each) for each in locations_of((), (sock,), tls)] == [f"pbs+fd:{number}"]


async def test_a_shared_port() -> None:
    """Several servers with ``reuse_port`` listen at one port, and each gets connections."""
    async with broker.serve(Name("a"), "pb://127.0.0.1:0", reuse_port=True) as first:
        (address,) = first.addresses
        async with broker.serve(Name("b"), address, reuse_port=True):
            names = set()
            while names != {"a", "b"}:
                async with broker.connect(address) as connection:
                    names.add(await connection.root.callRemote("name"))
        with pytest.raises(broker.CannotListenError):
            await broker.serve(Name("c"), address)


def test_what_cannot_be_shared(tmp_path: Path) -> None:
    """A UNIX socket has one process; ``reuse_port`` is a flag."""
    address = f"pb+unix://{tmp_path}/s"
    text = f"several processes cannot listen at {address}; use pb://, pbs://, ws:// or wss://"
    with pytest.raises(ConfigError, match=re.escape(text)):
        broker.serve(Name("a"), address, reuse_port=True)
    with pytest.raises(broker.WrongType, match=r"^reuse_port= is True or False, not int$"):
        broker.serve(Name("a"), reuse_port=1)  # type: ignore[arg-type]
