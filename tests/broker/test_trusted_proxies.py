"""Limits behind a proxy: with ``trusted_proxies`` each client counts by itself.

Without, all clients have the address of the proxy: some of them keep the others out.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.web_ends import request

import broker
import cred
from broker.errors import ConfigError
from broker.net.schemes import WebPlace, parse_address
from broker.net.websocket import client as client_end
from broker.net.websocket.client import ClientFilter

ALICE = cred.UsernamePassword("alice", "wonderland")
ADDRESS = "ws://127.0.0.1:0/pb"


class Avatar(broker.Avatar):
    """Says who it is."""

    def perspective_who(self) -> str:
        """Return the address of the caller."""
        return str(broker.current_call().peer.address)


def new_portal() -> cred.Portal:
    """A portal with one user, whose password the client may send as it is."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="wonderland")
    return cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), [users])


@pytest.fixture
def client_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function: from now on clients come through a proxy that says these headers."""
    said: list[str] = []
    made = ClientFilter.__init__

    def init(self: Any, place: WebPlace, pings: Any) -> None:
        made(self, place, pings)
        (asked,) = self._out
        head = "".join(f"{each}\r\n" for each in said).encode()
        self._out[:] = [asked.replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n")]

    monkeypatch.setattr(client_end.ClientFilter, "__init__", init)

    def say(*headers: str) -> None:
        said[:] = headers

    return say


async def strangers(server: broker.Server, count: int, header: str) -> list[Any]:
    """Connect without a login, and wait until each has its answer."""
    place = parse_address(server.addresses[0])
    assert isinstance(place, WebPlace)
    made = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(request("Host: x", header))
        await reader.readuntil(b"\r\n\r\n")
        made.append(writer)
    return made


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_visitors_who_do_not_log_in(client_from: Any, is_trusted: bool) -> None:
    """16 visitors who have not logged in keep out those of their own address only."""
    trusted = ["127.0.0.1"] if is_trusted else []
    async with broker.serve(new_portal(), ADDRESS, trusted_proxies=trusted) as server:
        held = await strangers(server, 16, "X-Forwarded-For: 203.0.113.5")
        client_from("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
        if is_trusted:
            async with broker.connect(server.addresses[0], ALICE) as connection:
                assert await connection.avatar.callRemote("who") == "203.0.113.9:0"
            client_from("X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https")
            with pytest.raises(broker.ConnectError, match="503 Service Unavailable"):
                await broker.connect(server.addresses[0], ALICE)
        else:
            with pytest.raises((broker.PBConnectionLost, broker.ConnectionLost)):
                await broker.connect(server.addresses[0], ALICE)
        for writer in held:
            writer.close()


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_wrong_logins_of_strangers(client_from: Any, is_trusted: bool) -> None:
    """30 wrong logins of 30 names stop further ones of their own address only."""
    trusted = ["127.0.0.1"] if is_trusted else []
    async with broker.serve(new_portal(), ADDRESS, trusted_proxies=trusted) as server:
        client_from("X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https")
        for number in range(30):
            wrong = cred.UsernamePassword(f"mallory{number}", "x")
            with pytest.raises(cred.LoginFailed):
                await broker.connect(server.addresses[0], wrong)
        client_from("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
        if is_trusted:
            async with broker.connect(server.addresses[0], ALICE):
                pass
            client_from("X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https")
        with pytest.raises(broker.TooManyAttempts):
            await broker.connect(server.addresses[0], ALICE)


@pytest.mark.parametrize(
    ("headers", "is_offered"),
    [
        (["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"], True),
        (["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http"], False),
        (["X-Forwarded-For: 203.0.113.9"], False),
    ],
)
async def test_passwords_as_they_are(
    client_from: Any, headers: list[str], is_offered: bool
) -> None:
    """A password is taken as it is only if the proxy says that the outer leg is encrypted."""
    async with broker.serve(new_portal(), ADDRESS, trusted_proxies=["127.0.0.1"]) as server:
        client_from(*headers)
        if is_offered:
            async with broker.connect(server.addresses[0], ALICE):
                pass
        else:
            with pytest.raises((cred.LoginFailed, broker.Error), match="takes: no login that"):
                await broker.connect(server.addresses[0], ALICE)


async def test_a_proxy_with_tls(client_from: Any, tmp_path: Any) -> None:
    """Behind a proxy with TLS of its own there is no channel binding, and no certificate."""
    from support.certificates import Authority

    authority = Authority(tmp_path)
    pair = authority.issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    async with broker.serve(
        new_portal(), "wss://127.0.0.1:0/", tls=tls, trusted_proxies=["127.0.0.1"]
    ) as server:
        client_from("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
        ours = broker.TLS.client(ca=authority.ca_path)
        async with broker.connect(server.addresses[0], ALICE, tls=ours) as connection:
            assert connection.broker.port.channel_binding() is not None
            far = server.connections[0].broker.port
            assert far.channel_binding() is None
            assert far.peer_certificate is None and far.verified_chain() == ()
            assert far.is_private


async def test_a_missing_header(client_from: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A trusted proxy that does not say for whom is refused."""
    async with broker.serve(new_portal(), ADDRESS, trusted_proxies=["127.0.0.1"]) as server:
        with pytest.raises(broker.ConnectError, match="the server answers 400 Bad Request"):
            await broker.connect(server.addresses[0], ALICE)
    (line,) = caplog.messages
    assert line.endswith(": refused: 400 a trusted proxy that does not say for whom")


@pytest.mark.parametrize(
    "settings",
    [{"trusted_proxies": "127.0.0.1"}, {"trusted_proxies": ["x"]}, {"forwarded": "X-Real-IP"},
     {"origins": "https://x"}, {"origins": ["x"]}, {"listen": 0}, {"listen": False},
     {"debug": True, "trusted_proxies": ["10.0.0.1"]}],
)  # fmt: skip
def test_wrong_settings(settings: Any) -> None:
    """A wrong setting is an error before anything is opened."""
    with pytest.raises(ConfigError):
        broker.serve(new_portal(), ADDRESS, **settings)
