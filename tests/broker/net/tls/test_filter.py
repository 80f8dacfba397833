"""TLS joined in memory: accepted connections, and the exact errors of refused ones."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest
from OpenSSL import SSL
from support.certificates import Authority, Pair

from broker.errors import TLSError
from broker.net.tls import settings
from broker.net.tls.filter import MAX_HANDSHAKE, TLSFilter
from broker.net.tls.settings import TLS
from broker.net.tls.verify import pin_of

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    """Return the time with its zone."""
    return datetime.datetime.now(datetime.UTC)


class Link:
    """A client's and a server's filter, joined in memory; ``cut`` says how bytes are cut."""

    def __init__(self, client: TLSFilter, server: TLSFilter, cut=lambda data: [data]):
        self.client = client
        self.server = server
        self.cut = cut
        self.at_client = b""
        self.at_server = b""
        self.client_error: TLSError | None = None
        self.server_error: TLSError | None = None

    def carry(self) -> Link:
        """Carry bytes until neither end has any, or says anything but an error."""
        while True:
            to_server, to_client = self.client.data_to_send(), self.server.data_to_send()
            if not to_server and not to_client:
                return self
            for piece in self.cut(to_server):
                if self.server_error is None:
                    try:
                        self.at_server += self.server.receive(piece)
                        self.server_error = self.server.failure
                    except TLSError as exc:
                        self.server_error = exc
            for piece in self.cut(to_client):
                if self.client_error is None:
                    try:
                        self.at_client += self.client.receive(piece)
                        self.client_error = self.client.failure
                    except TLSError as exc:
                        self.client_error = exc

    @property
    def errors(self) -> tuple[str, str]:
        """The texts of both ends' errors, client first."""
        return str(self.client_error), str(self.server_error)


def one_byte(data: bytes) -> list[bytes]:
    """Cut after each byte."""
    return [data[at : at + 1] for at in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    """Cut anywhere, the same way each time."""
    source = random.Random(len(data))
    pieces = []
    while data:
        size = source.choice([1, 2, 5, 100, 5000])
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.fixture
def link(client_tls: TLS, server_tls: TLS) -> Link:
    """Two ends after a handshake."""
    return Link(client_tls.filter("localhost"), server_tls.filter()).carry()


@pytest.fixture
def any_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers whose certificates have expired since they were started."""
    monkeypatch.setattr(settings, "_check_dates", lambda *args: None)


def server_of(pair: Pair, **kw: Any) -> TLSFilter:
    """Make a server's filter with that certificate."""
    return TLS.server(pair.certificate_path, pair.key_path, **kw).filter()


@pytest.mark.parametrize("cut", [lambda data: [data], one_byte, at_random])
def test_any_chunking_carries_the_same(client_tls: TLS, server_tls: TLS, cut) -> None:
    """Bytes arrive complete and in order, however the ciphertext is split."""
    link = Link(client_tls.filter("localhost"), server_tls.filter(), cut).carry()
    assert (link.client.is_open, link.server.is_open) == (True, True)
    up, down = bytes(range(256)) * 200, b"down" * 10_000
    link.client.send(up)
    link.server.send(down)
    link.carry()
    assert (link.at_server, link.at_client) == (up, down)
    assert (link.client.peer_closed, link.server.peer_closed) == (False, False)
    link.client.close()
    link.carry()
    assert link.server.peer_closed
    assert link.errors == ("None", "None")


def test_what_is_agreed(link: Link, pair: Pair) -> None:
    """TLS 1.3 is agreed; the client sees the server's certificate, the server sees none."""
    assert (link.client.version, link.server.version) == ("TLSv1.3", "TLSv1.3")
    assert link.client.peer_certificate == pair.certificate
    assert link.server.peer_certificate is None


def test_no_certificate_before_the_handshake(client_tls: TLS) -> None:
    """Before the handshake is done there is no certificate."""
    assert client_tls.filter("localhost").peer_certificate is None


@pytest.mark.parametrize("host", ["127.0.0.1", "LocalHost", "localhost."])
def test_accepted_names(client_tls: TLS, server_tls: TLS, host: str) -> None:
    """A host is accepted by address, in any case, and with the root's dot."""
    assert Link(client_tls.filter(host), server_tls.filter()).carry().client.is_open


@pytest.mark.row("D-host")
def test_wrong_host(client_tls: TLS, authority: Authority) -> None:
    """A certificate for another host is refused before the handshake is done, on both sides."""
    server = server_of(authority.issue(["broker.example"]))
    link = Link(client_tls.filter("evil.example"), server).carry()
    assert str(link.client_error) == "certificate is for broker.example, not evil.example"
    assert not link.client.is_open
    assert link.server_error is not None


@pytest.mark.parametrize(
    ("dates", "text"),
    [
        (
            {"not_after": datetime.datetime(2020, 11, 19, tzinfo=datetime.UTC)},
            "certificate of broker.example expired on 2020-11-19",
        ),
        (
            {"not_before": datetime.datetime(2101, 3, 1, tzinfo=datetime.UTC)},
            "certificate of broker.example is not valid before 2101-03-01",
        ),
    ],
)
@pytest.mark.row("D-trust")
def test_dates(client_tls: TLS, authority: Authority, any_dates, dates, text: str) -> None:
    """A certificate that is expired or not valid yet is refused, and the text has the date."""
    server = server_of(authority.issue(["broker.example"], **dates))
    link = Link(client_tls.filter("broker.example"), server).carry()
    assert str(link.client_error) == text


@pytest.mark.row("D-trust")
def test_untrusted_ca(client_tls: TLS, folder) -> None:
    """A certificate of a CA that we do not trust is refused."""
    stranger = Authority(folder, "stranger").issue(["broker.example"])
    link = Link(client_tls.filter("broker.example"), server_of(stranger)).carry()
    assert link.errors == (
        "certificate of broker.example is not signed by a trusted CA",
        "peer refused the connection (TLS alert: unknown ca)",
    )


def test_untrusted_ca_in_the_chain(client_tls: TLS, folder) -> None:
    """A server that sends its own untrusted CA along is named, not the CA."""
    stranger = Authority(folder, "strange root")
    pair = stranger.issue(["broker.example"], chain=[stranger])
    link = Link(client_tls.filter("broker.example"), server_of(pair)).carry()
    assert str(link.client_error) == "certificate of broker.example is not signed by a trusted CA"


@pytest.mark.row("D-trust")
def test_self_signed(client_tls: TLS, folder) -> None:
    """A self-signed certificate is not signed by a trusted CA."""
    alone = Authority(folder, "alone.example")
    pem = alone.ca_path.read_bytes()
    server = TLS.server(pem, alone.key).filter()
    link = Link(client_tls.filter("alone.example"), server).carry()
    assert str(link.client_error) == "certificate of alone.example is not signed by a trusted CA"


def test_system_trust(server_tls: TLS) -> None:
    """Without ca= the system's CAs are trusted, and so a test's CA is not."""
    link = Link(TLS.client().filter("localhost"), server_tls.filter()).carry()
    assert str(link.client_error) == (
        "certificate of localhost is not signed by a trusted CA; if its CA is yours, pass"
        " tls=TLS.client(ca=…)"
    )


def test_intermediate_ca(authority: Authority, client_tls: TLS, folder) -> None:
    """A chain over an intermediate CA in the server's file is accepted."""
    middle = Authority(folder, "middle CA", signed_by=authority)
    server = server_of(middle.issue(["localhost"], chain=[middle]))
    assert Link(client_tls.filter("localhost"), server).carry().client.is_open


def test_purpose(client_tls: TLS, authority: Authority) -> None:
    """A certificate for clients does not make a server."""
    server = server_of(authority.issue(["localhost"], client=True))
    link = Link(client_tls.filter("localhost"), server).carry()
    assert str(link.client_error) == (
        "certificate of localhost may not be used for this end of a connection"
    )


def test_pin(folder, any_dates) -> None:
    """A pin replaces CA, dates and host name, and no other key is accepted."""
    stranger = Authority(folder, "pinned").issue(["x"], not_after=now() - DAY)
    right = TLS.client(pin=pin_of(stranger.certificate)).filter("other.example")
    assert Link(right, server_of(stranger)).carry().client.is_open
    wrong = Link(TLS.client(pin="00" * 32).filter(), server_of(stranger)).carry()
    assert not wrong.client.is_open
    found = pin_of(stranger.certificate).hex()
    assert str(wrong.client_error) == f"certificate of x has another key: its pin is {found}"


def test_client_certificate(authority: Authority, pair: Pair) -> None:
    """A server that requires client certificates sees the certificate of the client."""
    alice = authority.issue(["alice"], client=True)
    client = TLS.client(
        ca=authority.ca_path, certificate=alice.certificate_path, key=alice.key_path
    )
    for _ in range(2):
        server = server_of(pair, client_ca=authority.ca_path)
        link = Link(client.filter("localhost"), server).carry()
        assert link.server.peer_certificate == alice.certificate


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.row("D-client")
def test_client_without_certificate(authority: Authority, pair: Pair, version: int) -> None:
    """A client without one learns that the server requires one, in TLS 1.2 and 1.3."""
    tls = TLS.client(ca=authority.ca_path)
    tls._live.current().set_max_proto_version(version)
    link = Link(tls.filter("localhost"), server_of(pair, client_ca=authority.ca_path)).carry()
    assert link.errors == (
        "server requires a client certificate",
        "client has shown no certificate",
    )
    assert not link.server.is_open


@pytest.mark.parametrize("how", ["stranger", "server purpose", "expired"])
@pytest.mark.row("D-client-ca")
def test_refused_client_certificates(authority: Authority, pair: Pair, folder, how: str) -> None:
    """A client certificate of another CA, of another purpose, or too old is refused."""
    ca = Authority(folder, "their CA") if how == "stranger" else authority
    old = now() - DAY if how == "expired" else None
    bad = ca.issue(["mallory"], client=how != "server purpose", not_after=old)
    client = TLS.client(ca=authority.ca_path, certificate=bad.certificate_path, key=bad.key_path)
    server = server_of(pair, client_ca=authority.ca_path)
    link = Link(client.filter("localhost"), server).carry()
    assert {
        "stranger": "certificate of mallory is not signed by a trusted CA",
        "server purpose": "certificate of mallory may not be used for this end of a connection",
        "expired": f"certificate of mallory expired on {now() - DAY:%Y-%m-%d}",
    }[how] == str(link.server_error)
    assert link.client_error is not None


def test_verified_chain(authority: Authority, pair: Pair) -> None:
    """A server has the chain of a client's certificate that it has verified, up to the CA's."""
    alice = authority.issue(["alice"], client=True)
    tls = TLS.client(ca=authority.ca_path, certificate=alice.certificate_path, key=alice.key_path)
    server = server_of(pair, client_ca=authority.ca_path)
    assert server.verified_chain == ()
    link = Link(tls.filter("localhost"), server).carry()
    assert server.verified_chain == (alice.certificate, authority.certificate)
    assert link.client.verified_chain == (pair.certificate, authority.certificate)


def test_no_chain_that_others_have_verified(authority: Authority, pair: Pair) -> None:
    """A chain that a context of the application has accepted is not one for a login."""
    alice = authority.issue(["alice"], client=True)
    tls = TLS.client(ca=authority.ca_path, certificate=alice.certificate_path, key=alice.key_path)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.key)
    context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)
    server = TLSFilter.from_context(context, server=True)
    Link(tls.filter("localhost"), server).carry()
    assert server.peer_certificate == alice.certificate
    assert server.verified_chain == ()


def test_a_client_that_need_not_show_one(client_tls: TLS, authority: Authority, pair: Pair) -> None:
    """With client_optional a client may send no certificate, but not a wrong one."""
    optional = {"client_ca": authority.ca_path, "client_optional": True}
    link = Link(client_tls.filter("localhost"), server_of(pair, **optional)).carry()
    assert link.errors == ("None", "None")
    assert (link.server.is_open, link.server.verified_chain) == (True, ())
    wrong = authority.issue(["alice"])
    tls = TLS.client(ca=authority.ca_path, certificate=wrong.certificate_path, key=wrong.key_path)
    link = Link(tls.filter("localhost"), server_of(pair, **optional)).carry()
    assert link.errors[1] == "certificate of alice may not be used for this end of a connection"


def test_channel_binding(client_tls: TLS, server_tls: TLS) -> None:
    """Both ends have the same 32 bytes, and another connection has others."""
    bindings = []
    for _ in range(2):
        client, server = client_tls.filter("localhost"), server_tls.filter()
        assert (client.channel_binding(), server.channel_binding()) == (None, None)
        Link(client, server).carry()
        assert client.channel_binding() == server.channel_binding()
        bindings.append(client.channel_binding())
    assert [len(binding or b"") for binding in bindings] == [32, 32]
    assert bindings[0] != bindings[1]


def test_no_channel_binding_before_tls_13(server_tls: TLS, authority: Authority) -> None:
    """Under TLS 1.2 the bytes might not be unique to the connection, so there are none."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client, server = TLSFilter.from_context(context, server=False), server_tls.filter()
    link = Link(client, server).carry()
    assert (link.client.version, link.server.is_open) == ("TLSv1.2", True)
    assert (client.channel_binding(), server.channel_binding()) == (None, None)


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
