"""One attempt to connect: its time limit covers all steps, and names the one that took too long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

import broker
from broker.testing.clock import virtual_clock
from cred import UsernamePassword
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a socket that takes connections, and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a socket whose queue is full, so that TCP itself is silent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        port = listening.getsockname()[1]
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port
        for client in clients:
            client.close()


async def too_late(address: Any, credentials: Any = None, **settings: Any) -> str:
    """The text of the error of ``connect(timeout=1)``, which comes after 1.0 to 1.2 s."""
    with virtual_clock() as clock:
        with pytest.raises(broker.ConnectError) as caught:
            await broker.connect(address, credentials, timeout=1.0, **settings)
        assert 1.0 <= clock.elapsed <= 1.2
    assert isinstance(caught.value, TimeoutError)
    return str(caught.value)


async def test_silence_in_tcp(full: int) -> None:
    """The port takes no connection."""
    assert "1 s" in await too_late(f"pb://127.0.0.1:{full}")


async def test_silence_in_tls(silent: int) -> None:
    """The port takes a connection, and does not answer the TLS handshake."""
    address = f"pbs://127.0.0.1:{silent}"
    assert await too_late(address) == f"no connection to {address} in 1 s (TLS handshake)"


async def test_silence_in_the_offer(silent: int) -> None:
    """The port takes a connection, and makes no offer."""
    address = f"pb://127.0.0.1:{silent}"
    text = f"no connection to {address} in 1 s (offer): is this a TLS port?"
    assert await too_late(address) == text


async def test_silence_in_the_login() -> None:
    """The server makes an offer, and does not answer the login."""

    class Never(InMemoryUsernamePasswordDatabaseDontUse):
        """Never answers."""

        def requestAvatarId(self, credentials: Any) -> Any:
            """Return what never fires."""
            return asyncio.get_running_loop().create_future()

    class Avatar(broker.Avatar):
        """Has nothing."""

    portal = Portal(broker.realm(lambda who, mind: Avatar()), [Never(ann=b"x")])
    server = await broker.serve(portal, "pb://127.0.0.1:0")
    address = server.addresses[0]
    text = await too_late(address, UsernamePassword("ann", "x"))
    assert text == f"no connection to {address} in 1 s (login)"
    await server.close(drain=0)


@pytest.mark.parametrize("number", [2, 5])
async def test_silence_at_several_addresses(silent: int, number: int) -> None:
    """All attempts together take one second."""
    addresses = [f"pb+unix:///nowhere{each}" for each in range(number - 1)]
    await too_late([f"pb://127.0.0.1:{silent}", f"pb://localhost:{silent}"])
    with virtual_clock() as clock:
        with pytest.raises(broker.ConnectError):
            await broker.connect([f"pb://127.0.0.1:{silent}", *addresses], timeout=1.0)
        assert clock.elapsed <= 1.2


async def test_tls_is_for_one_of_several_addresses(tmp_path: Path) -> None:
    """Settings of TLS hold for the addresses that have it; without such they are refused."""
    authority = Authority(tmp_path)
    tls = broker.TLS.client(ca=authority.ca_path)
    connecting = broker.connect(["pb://127.0.0.1:1", "pbs://127.0.0.1:1"], tls=tls)
    assert repr(connecting) == ("<Connect to pb://127.0.0.1:1, pbs://127.0.0.1:1, not awaited>")
    connecting.close()
    with pytest.raises(broker.ConfigError, match="tls= is for pbs:// and wss:// addresses"):
        broker.connect(["pb://127.0.0.1:1", "pb://127.0.0.1:2"], tls=tls)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"retry": 3}, "retry= is a Retry"),
        ({"retry": broker.Retry}, "retry= is a Retry"),
        ({"credentials": UsernamePassword}, "credentials are an object, not the class"),
        ({"timeout": 0}, "give a number of seconds"),
    ],
)
def test_wrong_arguments(given: Any, text: str) -> None:
    """They are refused by ``connect`` itself."""
    with pytest.raises((broker.ConfigError, TypeError), match=text):
        broker.connect("pb://127.0.0.1:1", **given)
