"""TLS joined in memory: broken bytes, other versions, contexts of the application, and cost."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL
from support.certificates import Authority, Pair
from support.tls_link import Link

from broker.errors import TLSError
from broker.net.tls.filter import MAX_HANDSHAKE, TLSFilter
from broker.net.tls.settings import TLS


def client_hello(version: bytes) -> bytes:
    """A hello as old clients send it: no extensions, the version where it always was."""
    body = version + bytes(32) + b"\0" + b"\0\2\0\x2f" + b"\1\0"
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(handshake).to_bytes(2, "big") + handshake


@pytest.mark.parametrize(
    ("version", "name"), [(b"\3\1", "TLS 1.0"), (b"\3\2", "TLS 1.1"), (b"\3\0", "SSL 3.0")]
)
@pytest.mark.row("D-versions")
def test_old_client(server_tls: TLS, version: bytes, name: str) -> None:
    """A client with old versions only is detected, and gets an alert."""
    server = server_tls.filter()
    with pytest.raises(TLSError, match=f"^peer offers only {name}$"):
        server.receive(client_hello(version))
    assert server.data_to_send()[0] == 21


@pytest.mark.row("D-versions")
def test_old_server(client_tls: TLS) -> None:
    """A server that answers with an old version is detected."""
    body = b"\3\2" + bytes(32) + b"\0" + b"\0\x2f" + b"\0"
    handshake = b"\2" + len(body).to_bytes(3, "big") + body
    record = b"\x16\3\2" + len(handshake).to_bytes(2, "big") + handshake
    with pytest.raises(TLSError, match=r"^peer offers only TLS 1\.1$"):
        client_tls.filter("localhost").receive(record)


def test_server_that_refuses_our_versions(client_tls: TLS) -> None:
    """An alert in an old record shows the version of its sender."""
    with pytest.raises(TLSError, match=r"^peer offers only TLS 1\.0$"):
        client_tls.filter("localhost").receive(b"\x15\3\1\0\2\2\x46")


@pytest.mark.parametrize("first", [b"G", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\x03\x80pb"])
@pytest.mark.row("D-plain")
def test_plain_bytes(client_tls: TLS, server_tls: TLS, first: bytes) -> None:
    """Bytes that are not TLS are detected by the first byte."""
    with pytest.raises(TLSError, match=r"^peer is not speaking TLS$"):
        server_tls.filter().receive(first)
    with pytest.raises(TLSError, match=r"^server is not speaking TLS$"):
        client_tls.filter("localhost").receive(first)


def test_plain_bytes_that_begin_like_tls(server_tls: TLS) -> None:
    """A plain peer whose first byte is valid is detected by the next ones."""
    with pytest.raises(TLSError, match=r"^peer is not speaking TLS$"):
        server_tls.filter().receive(b"\x16 plain text after all")


@pytest.mark.row("D-ciphers")
def test_no_common_cipher(server_tls: TLS, authority: Authority) -> None:
    """A peer with weak ciphers only is refused."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(b"AES128-SHA")
    client = TLSFilter.from_context(context, server=False)
    link = Link(client, server_tls.filter()).carry()
    assert str(link.server_error) == "peer offers no cipher that is safe"
    assert str(link.client_error) == (
        "server refused the connection (TLS alert: handshake failure)"
    )


@pytest.mark.row("D-tampered")
def test_tampered_record(link: Link) -> None:
    """A changed byte ends the connection, and the peer is told."""
    link.client.send(b"hello")
    sealed = bytearray(link.client.data_to_send())
    sealed[-1] ^= 1
    with pytest.raises(TLSError, match=r"^TLS record corrupted$"):
        link.server.receive(bytes(sealed))
    with pytest.raises(TLSError, match=r"^server refused the connection \(TLS alert: bad record"):
        link.client.receive(link.server.data_to_send())


def test_data_before_an_error_is_returned(link: Link) -> None:
    """Complete data before a corrupted record is returned first, the error after it."""
    link.client.send(b"good")
    good = link.client.data_to_send()
    link.client.send(b"bad")
    bad = bytearray(link.client.data_to_send())
    bad[-1] ^= 1
    assert link.server.receive(good + bytes(bad)) == b"good"
    assert str(link.server.failure) == "TLS record corrupted"
    with pytest.raises(TLSError, match=r"^TLS record corrupted$"):
        link.server.receive(b"")


@pytest.mark.row("D-handshake")
def test_oversized_handshake(server_tls: TLS) -> None:
    """A handshake that never ends is stopped at 64 KiB."""
    server = server_tls.filter()
    # A hello that announces 16 MiB, in records of 4 KiB.
    record = b"\x16\3\1\x10\0" + b"\1\xff\xff\xff" + bytes(4092)
    with pytest.raises(TLSError) as caught:
        for _ in range(MAX_HANDSHAKE // len(record) + 2):
            server.receive(record)
            record = b"\x16\3\1\x10\0" + bytes(4096)
    assert str(caught.value).startswith(("TLS handshake failed", "peer sent 65536 bytes"))


@pytest.mark.row("D-handshake")
def test_slow_handshake_is_counted(server_tls: TLS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that complete no record are counted, whatever OpenSSL does with them."""
    monkeypatch.setattr("broker.net.tls.filter.MAX_HANDSHAKE", 10)
    server = server_tls.filter()
    assert server.receive(b"\x16\3\1\x10\0\1") == b""
    with pytest.raises(TLSError, match=r"^peer sent 10 bytes of handshake"):
        server.receive(b"\0\x0f\xfc\3\3\0\0")


def test_after_close_nothing_is_read(link: Link) -> None:
    """Bytes after a close_notify are not read."""
    link.client.close()
    closing = link.client.data_to_send()
    assert link.server.receive(closing + b"whatever") == b""
    assert link.server.peer_closed
    assert link.server.receive(b"more") == b""


def test_other_peoples_contexts(authority: Authority, pair: Pair) -> None:
    """With contexts of the application a host name is checked if one is given."""
    server_context = SSL.Context(SSL.TLS_SERVER_METHOD)
    server_context.use_certificate(pair.certificate)
    server_context.use_privatekey(pair.key)
    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)

    def joined(host: str | None) -> Link:
        server = TLSFilter.from_context(server_context, server=True)
        return Link(TLSFilter.from_context(client_context, server=False, host=host), server)

    assert joined(None).carry().client.is_open
    assert joined("localhost").carry().client.is_open
    refused = joined("evil.example").carry()
    assert not refused.client.is_open
    assert str(refused.client_error) == (
        "certificate is for localhost, 127.0.0.1, not evil.example"
    )


@pytest.mark.row("D-callback")
def test_other_peoples_callbacks(server_tls: TLS) -> None:
    """An exception of an application's callback ends that handshake only."""

    def raising(*args: object) -> bool:
        raise KeyError("mine")

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_PEER, raising)
    client = TLSFilter.from_context(context, server=False)
    link = Link(client, server_tls.filter()).carry()
    assert str(link.client_error) == "the TLS context raised KeyError"


def test_str_is_refused(link: Link) -> None:
    """Text is not encrypted by guessing an encoding."""
    with pytest.raises(TypeError):
        link.client.send("text")  # type: ignore[arg-type]


@pytest.mark.row("D-cost")
def test_idle_filters_stay_small_after_bulk(link: Link) -> None:
    """Ciphertext waits in pieces of one record: OpenSSL's buffers never hold a whole megabyte."""
    link.client.send(bytes(1 << 20))
    assert len(link.client._sealed) >= 64
    assert all(len(piece) < 20_000 for piece in link.client._sealed)
    link.carry()
    assert len(link.at_server) == 1 << 20


class Asked:
    """OpenSSL's end of a connection, which notes each call that found no data."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.in_vain: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.connection, name)

        def ask(*args: Any) -> Any:
            try:
                return method(*args)
            except SSL.WantReadError:
                self.in_vain.append(name)
                raise

        return ask


def test_openssl_is_asked_for_nothing_in_vain(link: Link) -> None:
    """Complete records are read, and encrypted bytes taken, without a failing call."""
    link.carry()
    asked = [Asked(link.client._connection), Asked(link.server._connection)]
    link.client._connection, link.server._connection = asked
    for size in (1, 100, 20_000):
        link.client.send(b"x" * size)
        link.carry()
        link.server.send(b"y" * size)
        link.carry()
    assert (len(link.at_server), len(link.at_client)) == (20_101, 20_101)
    assert [each.in_vain for each in asked] == [[], []]
    link.client.close()
    link.carry()
    assert link.server.peer_closed
