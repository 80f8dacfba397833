"""Bad addresses, settings and logins: one clear error at the right side, and one log line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.certificates import Pair
from support.refusals import Opaque, Server, connect, port_of, refusal, serving

import broker
import cred

ALICE = cred.UsernamePassword("alice", "secret")


def portal(*, guests: bool = False, passwords: bool = True) -> cred.Portal:
    """Return a portal for alice."""
    checkers: list[Any] = []
    if passwords:
        checkers.append(cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret"))
    if guests:
        checkers.append(cred.AllowAnonymousAccess())
    return cred.Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), checkers)


@asynccontextmanager
async def stranger(greeting: bytes, *, closes: bool = False) -> AsyncIterator[str]:
    """Run a server of another protocol: send a greeting, then close or wait; yield the address."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        if not closes:
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def free_port() -> int:
    """Return a port at which no process listens."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return int(plug.getsockname()[1])


# Reaching a server.


async def test_port_in_use(lines: Any) -> None:
    """A server at a port in use gets an error that names the port."""
    async with serving() as server:
        port = port_of(server)
        text = await refusal(_start(Server(), server.addresses[0]), broker.CannotListenError)
    assert f"port {port} is in use; stop what uses it, or choose another port" in text
    assert lines() == []


async def test_default_port_in_use() -> None:
    """The default port is named too."""
    error = broker.CannotListenError("127.0.0.1", 8787, OSError(98, "in use"))
    assert "port 8787 is in use" in str(error)


@pytest.mark.parametrize("scheme", ["pb", "pbs"])
async def test_unknown_host(lines: Any, scheme: str) -> None:
    """A host that does not resolve is named."""
    policy = broker.Policy(insecure_plaintext=True)
    asked = connect(f"{scheme}://no.such.host.invalid", policy=policy)
    text = await refusal(asked, broker.DNSLookupError)
    assert (text, lines()) == ("host 'no.such.host.invalid' does not resolve", [])


async def test_refused(lines: Any) -> None:
    """If no process listens, the error names the address, and what to check."""
    port = free_port()
    text = await refusal(connect(f"pb://127.0.0.1:{port}"), broker.ConnectionRefusedError)
    assert text == f"connection refused by 127.0.0.1:{port}: is the server running?"
    assert lines() == []


@pytest.mark.parametrize(
    ("greeting", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "integer prefix longer than 4 bytes"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "integer prefix longer than 4 bytes"),
        (b"220 mail.example ESMTP\r\n", "integer prefix longer than 4 bytes"),
        (b"\x15\x03\x01\x00\x02\x02\x50", None),
        (b"\xff\xff", "unknown type byte 0xff"),
    ],
)  # fmt: skip
async def test_other_servers(lines: Any, greeting: bytes, text: str | None) -> None:
    """A server of another protocol is recognised by its first bytes, not by a timeout."""
    async with stranger(greeting) as address:
        told = await refusal(connect(f"pb://{address}"), broker.ProtocolError)
    if text is not None:
        assert told == f"the peer does not speak Perspective Broker ({text})"
    assert lines() == [f"closed PEER: {told}"]


async def test_http_server(lines: Any) -> None:
    """An HTTP server sends nothing before a request; then it closes."""
    async with stranger(b"HTTP/1.1 408 Request Timeout\r\n\r\n", closes=True) as address:
        text = await refusal(connect(f"pb://{address}"), broker.ProtocolError)
    assert text.startswith("the peer does not speak Perspective Broker")
    assert len(lines()) == 1


@pytest.mark.row("A8")
async def test_silent_server(lines: Any) -> None:
    """Waiting for a silent server ends, with a likely reason."""
    async with stranger(b"") as address:
        asked = connect(f"pb://{address}", policy=broker.Policy(offer_timeout=0.2))
        text = await refusal(asked, broker.PBConnectionLost)
    assert text == "no Perspective Broker offer in 0.2 s; is this a TLS port?"
    assert lines() == [f"closed PEER: {text}"]
    assert broker.Policy().offer_timeout == 10


async def test_closing_server(lines: Any) -> None:
    """A server that closes at once is named, with a likely reason."""
    async with stranger(b"", closes=True) as address:
        text = await refusal(connect(f"pb://{address}"), broker.PBConnectionLost)
    assert text == (
        f"pb://{address} closed the connection without an offer; does it speak Perspective Broker?"
    )
    assert lines() == []


# Addresses and settings.


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("pb://0.0.0.0:0", "listening on 0.0.0.0 without TLS; use pbs:// and pass tls=…, or"
                           " Policy(insecure_plaintext=True)"),
        ("pb://192.0.2.1", "listening on 192.0.2.1 without TLS; use pbs:// and pass tls=…, or"
                           " Policy(insecure_plaintext=True)"),
        ("pbs://127.0.0.1:0", "pbs://127.0.0.1:0 needs a certificate: pass"
                              " tls=TLS.server(certificate, key)"),
        ("127.0.0.1:8787", "address '127.0.0.1:8787' is not understood; write pb://127.0.0.1:8787,"
                           " or pbs://broker.example for TLS"),
        ("pb://h:123456", "address 'pb://h:123456' has no valid port; write pb://127.0.0.1:8787,"
                          " or pbs://broker.example for TLS"),
    ],
)  # fmt: skip
def test_settings_of_serve(address: str, text: str) -> None:
    """Settings that are unsafe, or not valid, are refused before a port is opened."""
    with pytest.raises(broker.ConfigError) as caught:
        broker.serve(Server(), address)
    assert str(caught.value) == text


def test_certificate_without_tls(pair: Pair) -> None:
    """A certificate for an address without TLS is an error; it is not silently ignored."""
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    with pytest.raises(
        broker.ConfigError, match=r"^tls= is for pbs:// and wss:// addresses, not pb://"
    ):
        broker.serve(Server(), "pb://127.0.0.1:0", tls=tls)
    with pytest.raises(
        broker.ConfigError, match=r"^tls= is for pbs:// and wss:// addresses, not pb://"
    ):
        broker.connect("pb://127.0.0.1:1", tls=broker.TLS.client(pin="00" * 32))


async def test_public_address_of_connect() -> None:
    """A password is not sent to a public address without TLS: the host is not even looked up."""
    with pytest.raises(broker.ConfigError) as caught:
        broker.connect("pb://broker.example", ALICE)
    assert str(caught.value) == (
        "connecting to broker.example without TLS; use pbs://, or Policy(insecure_plaintext=True)"
    )


async def test_neither_root_nor_portal() -> None:
    """An object that cannot be served is named by its type."""
    text = await refusal(_start(Opaque(), "pb://127.0.0.1:0"), TypeError)
    assert text == "a server serves a Root or a Portal, not Opaque"


# Logging in.


async def test_wrong_password(lines: Any) -> None:
    """A wrong password and an unknown user are refused with the same text."""
    async with serving(portal()) as server:
        for user, password in (("alice", "wrong"), ("eve", "secret")):
            asked = connect(server.addresses[0], cred.UsernamePassword(user, password))
            text = await refusal(asked, cred.UnauthorizedLogin)
            assert text == "wrong user name or password"
            assert lines() == ["PEER: UnauthorizedLogin: wrong user name or password"]
    lines()


async def test_guest_refused(lines: Any) -> None:
    """A guest's error names the logins that the server accepts."""
    async with serving(portal()) as server:
        text = await refusal(
            connect(server.addresses[0], cred.Anonymous()), cred.UnhandledCredentials
        )
        assert text == "this server takes no guests: log in with a name and a password"
        assert lines() == [f"PEER: UnhandledCredentials: {text}"]
    lines()


async def test_password_where_only_guests(lines: Any) -> None:
    """A password is not sent to a server that does not accept passwords."""
    async with broker.serve(portal(guests=True, passwords=False), "pb://127.0.0.1:0") as server:
        text = await refusal(connect(server.addresses[0], ALICE), cred.LoginFailed)
    assert text == "this server takes: anonymous; you gave a user name and password"
    assert lines() == []


@pytest.mark.parametrize("credentials", [ALICE, cred.Anonymous()])
async def test_credentials_where_none_are_asked(lines: Any, credentials: Any) -> None:
    """A client that logs in at a server without login gets an error that says so."""
    async with serving() as server:
        text = await refusal(connect(server.addresses[0], credentials), cred.LoginFailed)
        assert text == "this server asks for no login: connect without credentials"
        assert len(lines()) == 1


async def test_no_credentials_where_they_are_asked(lines: Any) -> None:
    """A client that calls a server with login without logging in gets an error that says so."""
    async with serving(portal()) as server:
        async with broker.connect(server.addresses[0]) as connection:
            with pytest.raises(AttributeError, match="there was no login"):
                _ = connection.avatar
            text = await refusal(connection.root.callRemote("echo", 1), cred.LoginFailed)
        assert text == "this server asks for a login: pass credentials to connect"
        assert lines() == [f"PEER: LoginFailed: {text}"]
    lines()


async def test_only_the_old_login() -> None:
    """A strict client does not use PB's challenge login by default; the error names the setting."""

    class OldServer(broker.Root):
        """Has the login methods of Twisted's servers."""

        def remote_login(self, username: bytes) -> Any:
            return b"challenge", broker.Referenceable()

    async with broker.serve(OldServer(), "pb://127.0.0.1:0") as server:
        text = await refusal(connect(server.addresses[0], ALICE), cred.LoginFailed)
    assert text == (
        "this server offers only the old challenge login;"
        " allow it with Policy(challenge_login=True)"
    )


@pytest.mark.row("A8")
async def test_login_too_late(lines: Any) -> None:
    """A client that connects and does not log in is disconnected."""
    policy = broker.Policy(login_timeout=0.2)
    async with serving(portal(), policy=policy) as server:
        connection = await broker.connect(server.addresses[0])
        await connection.wait_closed()
        assert lines() == ["closed PEER: login not completed in 0.2 s"]
    lines()
    assert broker.Policy().login_timeout == 30


async def test_login_never_answered(lines: Any) -> None:
    """A client's wait for a server that does not answer its login is limited."""

    async def never(avatar_id: Any, mind: Any) -> broker.Avatar:
        await asyncio.sleep(30)
        return broker.Avatar()

    checker = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    slow = cred.Portal(broker.realm(never), [checker])
    async with broker.serve(slow, "pb://127.0.0.1:0") as server:
        policy = broker.Policy(login_timeout=0.2)
        text = await refusal(
            connect(server.addresses[0], ALICE, policy=policy), broker.PBConnectionLost
        )
    assert text == "login not completed in 0.2 s"
    assert lines() == [f"closed PEER: {text}"]


async def _start(target: Any, address: str) -> Any:
    return await broker.serve(target, address)
