"""Bad input: one clear error at the right side, one log line, and no effect on other connections.

Both ends write to one log here. The client's errors are also raised in its caller.
"""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import datetime
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.certificates import Authority, Pair

import broker
import cred
from broker.core.wire.dialects import NONE, PB
from jelly.limits import Limits

ALICE = cred.UsernamePassword("alice", "secret")
VERSION = [b"version", 6]
NOTHING: list[Any] = [[b"tuple"], [b"dictionary"]]
DAY = datetime.timedelta(days=1)


class Server(broker.Root):
    """The methods that the tests of this file call."""

    def remote_echo(self, value: Any) -> Any:
        return value

    def remote_pair(self, first: Any, second: Any) -> None:
        pass

    async def remote_async_pair(self, first: Any, second: Any) -> None:
        pass


class Opaque:
    """Defines nothing about being sent."""


class Unregistered(broker.Copyable):
    """Can be sent, but no receiver has registered it."""

    def __init__(self) -> None:
        self.field = 1


def portal(*, guests: bool = False, passwords: bool = True) -> cred.Portal:
    """Return a portal for alice."""
    checkers: list[Any] = []
    if passwords:
        checkers.append(cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret"))
    if guests:
        checkers.append(cred.AllowAnonymousAccess())
    return cred.Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), checkers)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function for the log lines so far; each must be one short line."""
    caplog.set_level(logging.WARNING)

    def read() -> list[str]:
        found = []
        for record in caplog.records:
            line = record.getMessage()
            assert record.exc_info is None, "a traceback"
            assert record.name.startswith("broker.")
            assert "\n" not in line
            assert len(line.encode()) <= 400
            found.append(re.sub(r"127\.0\.0\.1:\d+", "PEER", line))
        caplog.clear()
        return found

    return read


@asynccontextmanager
async def serving(target: Any = None, **kw: Any) -> AsyncIterator[Any]:
    """Serve, with a second client that must be able to call before and after, on one connection."""
    target = Server() if target is None else target
    address = "pbs://127.0.0.1:0" if "tls" in kw else "pb://127.0.0.1:0"
    client_tls = kw.pop("client_tls", None)
    async with broker.serve(target, address, **kw) as server:
        credentials = (
            None if isinstance(target, broker.Root) else cred.UsernamePassword(b"alice", b"secret")
        )
        async with broker.connect(server.addresses[0], credentials, tls=client_tls) as bystander:
            yield server
            assert not bystander.is_closed
            if credentials is None:
                assert await bystander.root.callRemote("echo", "still here") == "still here"
            else:
                with pytest.raises(broker.NoSuchMethod):
                    await bystander.avatar.callRemote("nothing")


def port_of(server: Any) -> int:
    """Return the port that a server listens at."""
    return int(server.addresses[0].rpartition(":")[2])


async def refusal(awaitable: Any, kind: type[BaseException]) -> str:
    """Return the text of the error that an awaitable fails with, which is of exactly this class."""
    with pytest.raises(kind) as caught:
        await awaitable
    assert type(caught.value) is kind
    return str(caught.value).replace("\n", "\\n")


async def hear(port: int, data: bytes) -> bytes:
    """Send bytes to a port, and return its answer until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    writer.write(data)
    with suppress(ConnectionResetError):
        while piece := await reader.read(65536):
            heard += piece
    writer.close()
    return heard


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
    asked = _connect(f"{scheme}://no.such.host.invalid", policy=policy)
    text = await refusal(asked, broker.DNSLookupError)
    assert (text, lines()) == ("host 'no.such.host.invalid' does not resolve", [])


async def test_refused(lines: Any) -> None:
    """If no process listens, the error names the address, and what to check."""
    port = free_port()
    text = await refusal(_connect(f"pb://127.0.0.1:{port}"), broker.ConnectionRefusedError)
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
        told = await refusal(_connect(f"pb://{address}"), broker.ProtocolError)
    if text is not None:
        assert told == f"the peer does not speak Perspective Broker ({text})"
    assert lines() == [f"closed PEER: {told}"]


async def test_http_server(lines: Any) -> None:
    """An HTTP server sends nothing before a request; then it closes."""
    async with stranger(b"HTTP/1.1 408 Request Timeout\r\n\r\n", closes=True) as address:
        text = await refusal(_connect(f"pb://{address}"), broker.ProtocolError)
    assert text.startswith("the peer does not speak Perspective Broker")
    assert len(lines()) == 1


@pytest.mark.row("A8")
async def test_silent_server(lines: Any) -> None:
    """Waiting for a silent server ends, with a likely reason."""
    async with stranger(b"") as address:
        asked = _connect(f"pb://{address}", policy=broker.Policy(offer_timeout=0.2))
        text = await refusal(asked, broker.PBConnectionLost)
    assert text == "no Perspective Broker offer in 0.2 s; is this a TLS port?"
    assert lines() == [f"closed PEER: {text}"]
    assert broker.Policy().offer_timeout == 10


async def test_closing_server(lines: Any) -> None:
    """A server that closes at once is named, with a likely reason."""
    async with stranger(b"", closes=True) as address:
        text = await refusal(_connect(f"pb://{address}"), broker.PBConnectionLost)
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
    with pytest.raises(broker.ConfigError, match=r"^tls= is for pbs:// addresses, not pb://"):
        broker.serve(Server(), "pb://127.0.0.1:0", tls=tls)
    with pytest.raises(broker.ConfigError, match=r"^tls= is for pbs:// addresses, not pb://"):
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
            asked = _connect(server.addresses[0], cred.UsernamePassword(user, password))
            text = await refusal(asked, cred.UnauthorizedLogin)
            assert text == "wrong user name or password"
            assert lines() == ["PEER: UnauthorizedLogin: wrong user name or password"]
    lines()


async def test_guest_refused(lines: Any) -> None:
    """A guest's error names the logins that the server accepts."""
    async with serving(portal()) as server:
        text = await refusal(
            _connect(server.addresses[0], cred.Anonymous()), cred.UnhandledCredentials
        )
        assert text == "this server takes no guests: log in with a name and a password"
        assert lines() == [f"PEER: UnhandledCredentials: {text}"]
    lines()


async def test_password_where_only_guests(lines: Any) -> None:
    """A password is not sent to a server that does not accept passwords."""
    async with broker.serve(portal(guests=True, passwords=False), "pb://127.0.0.1:0") as server:
        text = await refusal(_connect(server.addresses[0], ALICE), cred.LoginFailed)
    assert text == "this server takes: anonymous; you gave a user name and password"
    assert lines() == []


@pytest.mark.parametrize("credentials", [ALICE, cred.Anonymous()])
async def test_credentials_where_none_are_asked(lines: Any, credentials: Any) -> None:
    """A client that logs in at a server without login gets an error that says so."""
    async with serving() as server:
        text = await refusal(_connect(server.addresses[0], credentials), cred.LoginFailed)
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
        text = await refusal(_connect(server.addresses[0], ALICE), cred.LoginFailed)
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
            _connect(server.addresses[0], ALICE, policy=policy), broker.PBConnectionLost
        )
    assert text == "login not completed in 0.2 s"
    assert lines() == [f"closed PEER: {text}"]


# TLS.


def server_tls(pair: Pair, **kw: Any) -> broker.TLS:
    """Return a server's settings."""
    return broker.TLS.server(pair.certificate_path, pair.key_path, **kw)


async def test_plain_bytes_on_a_tls_port(lines: Any, authority: Authority, pair: Pair) -> None:
    """Plain bytes on a TLS port end that connection."""
    client = broker.TLS.client(ca=authority.ca_path)
    async with serving(tls=server_tls(pair), client_tls=client) as server:
        await hear(port_of(server), b"GET / HTTP/1.0\r\n\r\n")
        assert lines() == ["PEER: peer is not speaking TLS"]


async def test_plain_client_on_a_tls_port(lines: Any, authority: Authority, pair: Pair) -> None:
    """A client without TLS, for which both ends would wait, gets the likely reason."""
    client = broker.TLS.client(ca=authority.ca_path)
    async with serving(tls=server_tls(pair), client_tls=client) as server:
        asked = _connect(
            f"pb://127.0.0.1:{port_of(server)}", policy=broker.Policy(offer_timeout=0.2)
        )
        text = await refusal(asked, broker.PBConnectionLost)
    assert text == "no Perspective Broker offer in 0.2 s; is this a TLS port?"


async def test_tls_on_a_plain_port(lines: Any, authority: Authority) -> None:
    """A client with TLS gets an error that the server has none."""
    client = broker.TLS.client(ca=authority.ca_path)
    async with serving() as server:
        asked = _connect(f"pbs://127.0.0.1:{port_of(server)}", tls=client)
        assert await refusal(asked, broker.TLSError) == "server is not speaking TLS"
        (line,) = lines()
        assert line.startswith("closed PEER: the peer does not speak Perspective Broker (")


@pytest.mark.parametrize("what", ["untrusted", "expired", "wrong name"])
@pytest.mark.row("D-host")
@pytest.mark.row("D-trust")
async def test_certificates(
    lines: Any,
    authority: Authority,
    tmp_path: Any,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate that is not accepted is refused for its own reason, before data is sent."""
    # It expires while the server runs: a server does not start with an expired certificate.
    monkeypatch.setattr("broker.net.tls.settings._check_dates", lambda *args: None)
    now = datetime.datetime.now(datetime.UTC)
    other = Authority(tmp_path, "other CA")
    pair, expected = {
        "untrusted": (other.issue(), "certificate of localhost is not signed by a trusted CA"),
        "expired": (
            authority.issue(not_after=now - DAY),
            f"certificate of localhost expired on {now - DAY:%Y-%m-%d}",
        ),
        "wrong name": (
            authority.issue(["broker.example"]),
            "certificate is for broker.example, not 127.0.0.1",
        ),
    }[what]
    pinned = broker.TLS.client(pin=_pin(pair))
    async with serving(tls=server_tls(pair), client_tls=pinned) as server:
        tls = broker.TLS.client(ca=authority.ca_path)
        assert await refusal(_connect(server.addresses[0], tls=tls), broker.TLSError) == expected
        (line,) = await _eventually(lines)
        assert line.startswith("PEER: peer refused the connection (TLS alert: ")


@pytest.mark.row("D-client")
async def test_no_client_certificate(lines: Any, authority: Authority, pair: Pair) -> None:
    """A client without the required certificate gets an error that says so."""
    tls = server_tls(pair, client_ca=authority.ca_path)
    async with broker.serve(Server(), "pbs://127.0.0.1:0", tls=tls) as server:
        asked = _connect(server.addresses[0], tls=broker.TLS.client(ca=authority.ca_path))
        assert await refusal(asked, broker.TLSError) == "server requires a client certificate"
    assert lines() == ["PEER: client has shown no certificate"]


# Calls.


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (("nothing",), broker.NoSuchMethod, "no remote method 'nothing'"),
        (("__init__",), broker.NoSuchMethod, "no remote method '__init__'"),
        (("pair", 1), broker.WrongArguments,
         "pair: missing 1 required positional argument: 'second'"),
        (("pair", 1, 2, 3), broker.WrongArguments,
         "pair: takes 3 positional arguments but 4 were given"),
        (("async_pair",), broker.WrongArguments,
         "async_pair: missing 2 required positional arguments: 'first' and 'second'"),
        (("echo", Unregistered()), broker.InsecureJelly,
         f"type '{__name__}.Unregistered' is not registered; register a class under that name:"
         f' @broker.register("{__name__}.Unregistered"); see \'Send your own objects\''),
    ],
)  # fmt: skip
async def test_refused_calls(lines: Any, call: Any, kind: Any, text: str) -> None:
    """A call that cannot run fails with the reason; the connection continues."""
    async with serving() as server, broker.connect(server.addresses[0]) as connection:
        assert await refusal(connection.root.callRemote(*call), kind) == text
        assert lines() == [f"PEER: {kind.__name__}: {text}"]
        assert await connection.root.callRemote("echo", 1) == 1


async def test_unknown_object(lines: Any) -> None:
    """A call to an object that was never sent fails with its number."""
    async with serving() as server, broker.connect(server.addresses[0]) as connection:
        far = connection.broker.make_reference(None, 12345)
        text = await refusal(far.callRemote("echo", 1), broker.NoSuchObject)
        assert text == "object 12345 is not exported to this connection"
        assert lines() == [f"PEER: NoSuchObject: {text}"]
        assert await connection.root.callRemote("echo", 1) == 1
        far.doRefCount = False


@pytest.mark.parametrize(
    ("argument", "kind", "text"),
    [
        (Opaque(), broker.CannotJelly,
         f"{__name__}.Opaque cannot be sent: make it Copyable to send a copy, or Referenceable to"
         " send a reference; see 'Send your own objects' (args[0] of 'echo')"),
        ([1, {"deep": Opaque()}], broker.CannotJelly,
         f"{__name__}.Opaque cannot be sent: make it Copyable to send a copy, or Referenceable to"
         " send a reference; see 'Send your own objects' (args[0][1]['deep'] of 'echo')"),
        ([broker.Referenceable(), Opaque()], broker.CannotJelly, None),
        (lambda: None, broker.CannotJelly, None),
        (bytes(640 * 1024 + 1), broker.TooLarge, None),
        (2**448, broker.TooLarge, None),
        (datetime.datetime.now(datetime.UTC), broker.CannotJelly, None),
    ],
)  # fmt: skip
async def test_arguments_that_cannot_be_sent(
    lines: Any, argument: Any, kind: Any, text: str | None
) -> None:
    """An argument that cannot be sent fails the call at its caller; no byte is sent, no object
    exported.
    """
    pb = broker.STRICT.but(dialects=("pb",))
    async with serving() as server, broker.connect(server.addresses[0], policy=pb) as connection:
        await connection.root.callRemote("echo", 1)
        before = connection.stats.bytes_sent
        told = await refusal(connection.root.callRemote("echo", argument), kind)
        assert text is None or told == text
        assert connection.stats.bytes_sent == before
        assert connection.broker.session.waiting == 0
        assert len(connection.broker.session.translator.exports) == 0
        assert await connection.root.callRemote("echo", 1) == 1
        assert lines() == []


# Messages.


def speak(*messages: Any) -> bytes:
    """Return a client's choice of ``pb``, and messages in it."""
    limits = Limits()
    writer = PB.writer(limits)
    return NONE.writer(limits).write_expression(b"pb") + b"".join(
        map(writer.write_expression, messages)
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff" * 100, "the peer does not speak Perspective Broker (unknown type byte 0xff)"),
        (b"GET / HTTP/1.1\r\n\r\n",
         "the peer does not speak Perspective Broker (integer prefix longer than 4 bytes)"),
        (NONE.writer(Limits()).write_expression(b"klingon"),
         "the peer chose a dialect that was not offered"),
        (NONE.writer(Limits()).write_expression([b"pb"]),
         "the peer chose a dialect that was not offered"),
        (speak([b"message", 1, b"root", b"echo", 1, *NOTHING]), "a call before the version"),
        (speak([b"version", 5]), "the peer speaks version 5, not 6"),
        (speak(VERSION, 5), "malformed message: expected a list that starts with a command"),
        (speak(VERSION, [b"message", 1]),
         "malformed message: expected message(id, object, name, answer, args, kwargs)"),
        (speak(VERSION, [b"answer", 99, 1]), "answer to unknown request 99"),
        (speak(VERSION, [b"decref", 99]), "decref of object 99 by 1 (held 0)"),
        (speak(VERSION) + b"\x99", "unknown type byte 0x99"),
        (speak(VERSION) + b"\x7f" * 65, "integer prefix longer than 64 bytes"),
        (speak(VERSION) + b"\x7f\x7f\x7f\x82", None),
        (speak(VERSION) + b"\x01\x80" * 200, None),
    ],
)  # fmt: skip
async def test_malformed(lines: Any, data: bytes, text: str | None) -> None:
    """Bytes that are not a message, or not a legal one, end that connection with one line."""
    async with serving() as server:
        await hear(port_of(server), data)
        (line,) = lines()
        assert line.startswith("closed PEER: ")
        assert text is None or line == f"closed PEER: {text}"


@pytest.mark.row("C6")
async def test_hostile_text(lines: Any) -> None:
    """The log has the text of a peer only in part, and without line breaks."""
    name = b"x" * 50 + b"\nERROR all is lost \x1b[2J"
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(speak(VERSION, [b"message", 1, b"root", name, 1, *NOTHING]))
        await reader.readuntil(b"NoSuchMethod")
        writer.close()
        (line,) = lines()
        assert "\x1b" not in line
        assert line.startswith("PEER: NoSuchMethod: no remote method 'xxx")


async def test_cut_in_the_middle(lines: Any) -> None:
    """A connection cut in the middle of calls ends each of them with PBConnectionLost."""

    class Slow(Server):
        """Never answers."""

        async def remote_sleep(self) -> None:
            reached.release()
            await asyncio.sleep(30)

    reached = asyncio.Semaphore(0)
    async with serving(Slow()) as server:
        connection = await broker.connect(server.addresses[0])
        here = connection.broker.transport.getHost()
        calls = [connection.root.callRemote("sleep") for _ in range(5)]
        for _ in calls:
            await reached.acquire()
        (far,) = [other for other in server.connections if other.peer.address == here]
        far.broker.transport.abortConnection()
        for call in calls:
            text = await refusal(call, broker.PBConnectionLost)
            assert text == "the peer cut the connection"
        await connection.wait_closed()
        assert lines() == []


def _pin(pair: Pair) -> bytes:
    from broker.net.tls.verify import pin_of

    return pin_of(pair.certificate)


async def _start(target: Any, address: str) -> Any:
    return await broker.serve(target, address)


async def _connect(*args: Any, **kw: Any) -> Any:
    return await broker.connect(*args, **kw)


async def _eventually(lines: Callable[[], list[str]]) -> list[str]:
    while True:
        if found := lines():
            return found
        await asyncio.sleep(0.001)
