"""Bad TLS, calls and messages: one clear error, one log line, and no effect on others."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from support.certificates import Authority, Pair
from support.refusals import Opaque, Server, connect, port_of, refusal, serving

import broker
from broker.core.wire.dialects import NONE, PB
from jelly.limits import Limits

VERSION = [b"version", 6]
NOTHING: list[Any] = [[b"tuple"], [b"dictionary"]]
DAY = datetime.timedelta(days=1)


class Unregistered(broker.Copyable):
    """Can be sent, but no receiver has registered it."""

    def __init__(self) -> None:
        self.field = 1


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
        asked = connect(
            f"pb://127.0.0.1:{port_of(server)}", policy=broker.Policy(offer_timeout=0.2)
        )
        text = await refusal(asked, broker.PBConnectionLost)
    assert text == "no Perspective Broker offer in 0.2 s; is this a TLS port?"


async def test_tls_on_a_plain_port(lines: Any, authority: Authority) -> None:
    """A client with TLS gets an error that the server has none."""
    client = broker.TLS.client(ca=authority.ca_path)
    async with serving() as server:
        asked = connect(f"pbs://127.0.0.1:{port_of(server)}", tls=client)
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
    monkeypatch.setattr("broker.net.tls.contexts._check_dates", lambda *args: None)
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
        assert await refusal(connect(server.addresses[0], tls=tls), broker.TLSError) == expected
        (line,) = await _eventually(lines)
        assert line.startswith("PEER: peer refused the connection (TLS alert: ")


@pytest.mark.row("D-client")
async def test_no_client_certificate(lines: Any, authority: Authority, pair: Pair) -> None:
    """A client without the required certificate gets an error that says so."""
    tls = server_tls(pair, client_ca=authority.ca_path)
    async with broker.serve(Server(), "pbs://127.0.0.1:0", tls=tls) as server:
        asked = connect(server.addresses[0], tls=broker.TLS.client(ca=authority.ca_path))
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
         f"{Opaque.__module__}.Opaque cannot be sent: make it Copyable to send a copy, or"
         " Referenceable to send a reference; see 'Send your own objects' (args[0] of 'echo')"),
        ([1, {"deep": Opaque()}], broker.CannotJelly,
         f"{Opaque.__module__}.Opaque cannot be sent: make it Copyable to send a copy, or"
         " Referenceable to send a reference; see 'Send your own objects'"
         " (args[0][1]['deep'] of 'echo')"),
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
        assert len(connection.broker.session.outgoing.open_calls) == 0
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
        (speak([b"message", 1, b"root", b"echo", 1, *NOTHING]),
         "the first frame is not the version"),
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


async def _eventually(lines: Callable[[], list[str]]) -> list[str]:
    while True:
        if found := lines():
            return found
        await asyncio.sleep(0.001)
