"""TLS: resumption, renegotiation, callbacks that raise; other cases are in the filter's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attacks.attacker import binds
from OpenSSL import SSL
from support.certificates import Authority, Pair

from broker.errors import TLSError
from broker.net.tls.filter import TLSFilter
from broker.net.tls.settings import TLS
from broker.net.tls.verify import CertificateVerifier


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    folder: Path = tmp_path_factory.mktemp("tls")
    return Authority(folder)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """The server's certificate."""
    return authority.issue()


def carried(client: TLSFilter, server: TLSFilter) -> list[str]:
    """Carry bytes until neither side has any; return what failed, and where."""
    failed = []
    ends = [("server", client, server), ("client", server, client)]
    busy = True
    while busy:
        busy = False
        for name, sender, receiver in ends:
            data = sender.data_to_send()
            busy = busy or bool(data)
            if data and name not in [what for what, _ in failed]:
                try:
                    receiver.receive(data)
                except Exception as error:
                    failed.append((name, str(error)))
    return [f"{name}: {text}" for name, text in failed]


@binds("D-resumption", policies=(), dialects=())
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_no_session_is_resumed(authority: Authority, pair: Pair, version: int) -> None:
    """A second connection with the session of the first makes a full handshake again."""
    me = authority.issue(["alice"], client=True)
    server_tls = TLS.server(pair.certificate_path, pair.key_path, client_ca=authority.ca_path)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate(me.certificate)
    context.use_privatekey(me.key)
    context.set_max_proto_version(version)
    session: Any = None
    for _ in range(2):
        client = TLSFilter(context, is_server=False, verifier=CertificateVerifier())
        if session is not None:
            client._connection = SSL.Connection(context, None)
            client._connection.set_app_data(CertificateVerifier())
            client._connection.set_connect_state()
            client._connection.set_session(session)
            with pytest.raises(SSL.WantReadError):
                client._connection.do_handshake()
        server = server_tls.filter()
        assert carried(client, server) == []
        assert server.peer_certificate == me.certificate
        chain = server._connection.get_verified_chain(as_cryptography=True)
        assert chain == [me.certificate, authority.certificate]
        assert (
            not server._connection.session_reused()
            if hasattr(server._connection, "session_reused")
            else True
        )
        session = client._connection.get_session()


def offering(tls: TLS) -> TLSFilter:
    """Return a client that offers the session of its last connection, before its first flight."""
    client = tls.filter("localhost")
    assert client._resumption is not None
    assert client._resumption._offered is not None
    return client


@pytest.fixture
def giving(pair: Pair) -> TLS:
    """A server that gives tickets."""
    return TLS.server(pair.certificate_path, pair.key_path, tickets=True)


@binds("D-resumption", policies=(), dialects=())
def test_a_ticket_of_another_server(authority: Authority, pair: Pair, giving: TLS) -> None:
    """A ticket that another server has sealed, even with the same certificate, opens nothing."""
    tls = TLS.client(ca=authority.ca_path)
    another = TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    kept = tls.filter("localhost")
    assert carried(kept, another.filter()) == []
    client, server = offering(tls), giving.filter()
    assert carried(client, server) == []
    assert (client.is_open, client.is_resumed) == (True, False)


@binds("D-resumption", policies=(), dialects=())
@pytest.mark.parametrize("change", [b"\x01", b"\xff"])
def test_a_ticket_that_was_changed(authority: Authority, giving: TLS, change: bytes) -> None:
    """With any byte of ticket or binder changed, the server resumes nothing and is not confused."""
    tls = TLS.client(ca=authority.ca_path)
    at = -1
    while True:
        kept = tls.filter("localhost")
        assert carried(kept, giving.filter()) == []
        client, server = offering(tls), giving.filter()
        hello = bytearray(client.data_to_send())
        if -at > 330:
            break
        hello[at] ^= change[0]
        at -= 11
        try:
            server.receive(bytes(hello))
        except TLSError:
            pass
        else:
            # A full handshake: the certificate is in the answer. It fails, as the hello changed.
            assert len(server.data_to_send()) > 500
        assert not server.is_open
    assert at < -300


@binds("D-resumption", policies=(), dialects=())
def test_a_session_with_another_client(authority: Authority, pair: Pair, giving: TLS) -> None:
    """A stranger who has seen a ticket on the wire cannot use it: it has not the secret of it."""
    tls = TLS.client(ca=authority.ca_path)
    kept = tls.filter("localhost")
    assert carried(kept, giving.filter()) == []
    seen = offering(tls).data_to_send()
    first, again = giving.filter(), giving.filter()
    first.receive(seen)
    again.receive(seen)
    # The server answers a repeated hello, but only the owner of the secret can end the handshake.
    assert not first.is_open
    assert not again.is_open
    for end in (first, again):
        with pytest.raises(TLSError):
            end.receive(b"\x14\3\3\0\1\1" + b"\x17\3\3\0\x35" + bytes(53))
        assert not end.is_open


@binds("D-renegotiation", policies=(), dialects=())
def test_no_renegotiation(authority: Authority, pair: Pair) -> None:
    """A peer that starts a renegotiation, as TLS 1.2 allows, is refused."""
    server = TLS.server(pair.certificate_path, pair.key_path).filter()
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = TLSFilter(context, is_server=False, verifier=CertificateVerifier())
    assert carried(client, server) == []
    assert server.version == "TLSv1.2"
    before = server._connection.total_renegotiations()
    assert client._connection.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client._connection.do_handshake()
    carried(client, server)
    assert server._connection.total_renegotiations() == before
    assert client._connection.renegotiate_pending() or client.failure is not None


@binds("D-sni", policies=(), dialects=())
def test_a_callback_for_names_that_raises(authority: Authority, pair: Pair) -> None:
    """If a context's callback for the server name raises, the handshake fails."""

    def raising(connection: Any) -> None:
        raise RuntimeError("a fault in a callback")

    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.key)
    context.set_tlsext_servername_callback(raising)
    server = TLSFilter.from_context(context, server=True)
    client = TLS.client(ca=authority.ca_path).filter("localhost")
    failed = carried(client, server)
    assert failed[0] == "server: TLS handshake failed: callback failed"
    assert not server.is_open
    assert not client.is_open
