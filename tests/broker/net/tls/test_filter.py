"""TLS joined in memory: accepted connections, and the exact errors of refused ones."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest
from OpenSSL import SSL
from support.certificates import Authority, Pair
from support.tls_link import Link

from broker.net.tls import contexts
from broker.net.tls.filter import TLSFilter
from broker.net.tls.settings import TLS
from broker.net.tls.verify import pin_of

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    """Return the time with its zone."""
    return datetime.datetime.now(datetime.UTC)


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
def any_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers whose certificates have expired since they were started."""
    monkeypatch.setattr(contexts, "_check_dates", lambda *args: None)


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
