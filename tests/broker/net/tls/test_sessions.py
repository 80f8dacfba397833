"""broker.net.tls.sessions: what is resumed, and that this is as safe as a full handshake."""

from __future__ import annotations

import datetime
import ssl
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL
from OpenSSL._util import lib  # type: ignore[attr-defined]
from soak.gauge import in_use
from support.certificates import Authority, Pair
from support.tls_link import Link

from broker.errors import TLSError
from broker.net.tls import contexts
from broker.net.tls.filter import TLSFilter
from broker.net.tls.sessions import (
    MAX_AGE,
    MAX_REFUSALS,
    MAX_SERVERS,
    PAUSE,
    Resumption,
    Sessions,
)
from broker.net.tls.settings import TLS
from broker.net.tls.verify import pin_of

DAY = datetime.timedelta(days=1)


def meet(client: TLS, server: TLS, host: str | None = "localhost", port: int | None = None) -> Link:
    """Shake hands, send a word each way, and close well."""
    link = Link(client.filter(host, port), server.filter()).carry()
    if link.client.is_open and link.server.is_open:
        link.client.send(b"up")
        link.server.send(b"down")
        link.carry()
        assert (link.at_server, link.at_client) == (b"up", b"down")
        link.client.close()
        link.server.close()
        link.carry()
    return link


def resumed(
    client: TLS, server: TLS, host: str | None = "localhost", port: int | None = None
) -> bool:
    """Return whether a connection was a resumed one, at both ends."""
    link = meet(client, server, host, port)
    assert link.errors == ("None", "None")
    found = link.client.is_resumed
    for end in (link.client, link.server):
        connection: Any = end._connection
        assert bool(lib.SSL_session_reused(connection._ssl)) is found
    return found


def sessions_of(client: TLS) -> Sessions:
    """Return the sessions of a client's settings."""
    assert client._sessions is not None
    return client._sessions


@pytest.fixture
def giving(pair: Pair) -> TLS:
    """A server that gives tickets."""
    return TLS.server(pair.certificate_path, pair.key_path, tickets=True)


@pytest.fixture
def client(authority: Authority) -> TLS:
    """A client without sessions."""
    return TLS.client(ca=authority.ca_path)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_client_that_comes_again(client: TLS, giving: TLS, host: str) -> None:
    """With a ticket each connection after the first is resumed."""
    assert [resumed(client, giving, host) for _ in range(5)] == [False, True, True, True, True]


def test_what_a_resumed_connection_has(
    client: TLS, giving: TLS, pair: Pair, authority: Authority
) -> None:
    """The certificate and its verified chain are known, and the channel binding is its own."""
    bindings = set()
    for number in range(3):
        link = Link(client.filter("localhost"), giving.filter())
        assert (link.client.verified_chain, link.client.is_resumed) == ((), False)
        link.carry()
        assert link.client.is_resumed == (number > 0)
        assert link.client.version == "TLSv1.3"
        assert link.client.peer_certificate == pair.certificate
        assert link.client.verified_chain == (pair.certificate, authority.certificate)
        assert link.server.verified_chain == ()
        assert link.client.channel_binding() == link.server.channel_binding()
        bindings.add(link.client.channel_binding())
    assert len(bindings) == 3
    assert None not in bindings


def test_tickets_are_off_by_default(client: TLS, server_tls: TLS) -> None:
    """A server of which nobody asks tickets resumes nothing, and is soon offered nothing."""
    seen = []
    for _ in range(5):
        assert not resumed(client, server_tls)
        seen.append(len(sessions_of(client)))
    assert seen == [1] * MAX_REFUSALS + [0] * (5 - MAX_REFUSALS)


def test_a_server_that_refuses_is_asked_again_later(
    client: TLS, server_tls: TLS, giving: TLS
) -> None:
    """After an hour it is offered a session again; one that accepts is never avoided."""
    known = sessions_of(client)
    now = known.clock()
    known.clock = lambda: now
    for _ in range(4):
        resumed(client, server_tls)
    assert [resumed(client, giving) for _ in range(2)] == [False, False]
    now += PAUSE
    assert [resumed(client, giving) for _ in range(3)] == [False, True, True]


def test_a_server_that_starts_again(client: TLS, giving: TLS, pair: Pair) -> None:
    """Tickets of before are refused, which costs a full handshake; then it is resumed again."""
    assert [resumed(client, giving) for _ in range(2)] == [False, True]
    for _ in range(4):
        again = TLS.server(pair.certificate_path, pair.key_path, tickets=True)
        assert [resumed(client, again) for _ in range(2)] == [False, True]


@pytest.mark.parametrize("how", ["settings", "name", "port"])
def test_sessions_that_are_not_shared(
    authority: Authority, client: TLS, giving: TLS, how: str
) -> None:
    """Other settings, another name and another port have sessions of their own."""
    meet(client, giving, "localhost", 1)
    other = TLS.client(ca=authority.ca_path) if how == "settings" else client
    where = ("127.0.0.1" if how == "name" else "localhost", 2 if how == "port" else 1)
    assert [resumed(other, giving, *where) for _ in range(2)] == [False, True]
    assert resumed(client, giving, "localhost.", 1)


def test_a_session_is_offered_once(client: TLS, giving: TLS) -> None:
    """Of two connections at the same time only one is resumed."""
    meet(client, giving)
    links = [Link(client.filter("localhost"), giving.filter()) for _ in range(2)]
    assert [link.carry().client.is_resumed for link in links] == [True, False]


@pytest.mark.parametrize("how", ["file", "reload"])
def test_trust_that_changes(
    tmp_path: Path, authority: Authority, giving: TLS, folder: Path, how: str
) -> None:
    """When the CAs are read again all sessions end, and the new CAs decide."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.ca_path.read_bytes())
    client = TLS.client(ca=path)
    assert [resumed(client, giving) for _ in range(2)] == [False, True]
    if how == "reload":
        client.reload()
        assert [resumed(client, giving) for _ in range(2)] == [False, True]
        return
    open_before = Link(client.filter("localhost"), giving.filter())
    path.write_bytes(Authority(folder, "another").ca_path.read_bytes() * 2)
    link = meet(client, giving)
    assert str(link.client_error) == "certificate of localhost is not signed by a trusted CA"
    # A ticket that comes to a connection of before is not kept.
    assert open_before.carry().client.is_open
    assert len(sessions_of(client)) == 0


def test_a_certificate_that_is_replaced(
    tmp_path: Path, authority: Authority, client: TLS, pair: Pair
) -> None:
    """A server whose files have changed accepts no old ticket: the new certificate is verified."""
    new = authority.issue()
    files = tmp_path / "server.pem", tmp_path / "server.key"
    for path, source in zip(files, (pair.certificate_path, pair.key_path), strict=True):
        path.write_bytes(source.read_bytes())
    server = TLS.server(*files, tickets=True)
    assert [resumed(client, server) for _ in range(2)] == [False, True]
    for path, source in zip(files, (new.certificate_path, new.key_path), strict=True):
        path.write_bytes(source.read_bytes())
    link = meet(client, server)
    assert (link.client.is_resumed, link.client.peer_certificate) == (False, new.certificate)
    link = meet(client, server)
    assert (link.client.is_resumed, link.client.peer_certificate) == (True, new.certificate)
    assert link.client.verified_chain == (new.certificate, authority.certificate)


@pytest.mark.parametrize("which", ["server", "authority"])
def test_a_certificate_that_has_expired_since(folder: Path, which: str) -> None:
    """No session outlives a certificate of its chain."""
    soon = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + DAY / 2
    authority = Authority(
        folder, f"expiring {which}", not_after=soon if which == "authority" else None
    )
    pair = authority.issue(not_after=soon if which == "server" else None)
    server = TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    client = TLS.client(ca=authority.ca_path)
    known = sessions_of(client)
    meet(client, server)
    known.clock = lambda: soon.timestamp() - 1
    assert resumed(client, server)
    known.clock = lambda: soon.timestamp() + 1
    assert not resumed(client, server)


def test_a_day_after_the_full_handshake(client: TLS, giving: TLS) -> None:
    """However often a session is resumed, its certificates are verified again after a day."""
    known = sessions_of(client)
    start = known.clock()
    found = []
    for hours in range(0, 50, 6):
        known.clock = lambda hours=hours: start + 3600 * hours  # type: ignore[misc]
        found.append(resumed(client, giving))
    assert found == [False, True, True, True] * 2 + [False]
    assert MAX_AGE == 24 * 3600


def test_a_clock_that_is_set_back(client: TLS, giving: TLS) -> None:
    """A session of the future is not resumed."""
    known = sessions_of(client)
    now = known.clock()
    meet(client, giving)
    known.clock = lambda: now - 60
    assert not resumed(client, giving)


def test_a_pin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pin a session is resumed, also without a name, and dates still do not count."""
    monkeypatch.setattr(contexts, "_check_dates", lambda *args: None)
    stranger = Authority(folder, "pinned again")
    pair = stranger.issue(["x"], not_after=datetime.datetime.now(datetime.UTC) - DAY)
    server = TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    client = TLS.client(pin=pin_of(pair.certificate))
    for host in (None, "other.example"):
        assert [resumed(client, server, host) for _ in range(3)] == [False, True, True]
    link = meet(client, server, None)
    assert link.client.verified_chain[0] == link.client.peer_certificate == pair.certificate


@pytest.mark.row("D-host")
def test_the_name_is_compared_again(client: TLS, authority: Authority) -> None:
    """A session of another name is refused by its certificate, should it ever be offered."""
    pair = authority.issue(["one.example"])
    server = TLS.server(pair.certificate_path, pair.key_path, tickets=True)
    meet(client, server, "one.example")
    servers = sessions_of(client)._servers
    servers[("two.example", None)] = servers.pop(("one.example", None))
    link = meet(client, server, "two.example")
    assert str(link.client_error) == "certificate is for one.example, not two.example"
    assert not link.client.is_open


def test_the_pin_is_compared_again(authority: Authority, giving: TLS, pair: Pair) -> None:
    """A session of another key is refused, should it ever be offered."""
    client = TLS.client(pin=pin_of(pair.certificate))
    meet(client, giving)
    link = Link(client.filter("localhost"), giving.filter())
    link.client._verifier.pin = bytes(32)
    assert "has another key" in str(link.carry().client_error)
    assert not link.client.is_open


def test_a_session_that_was_not_offered(client: TLS, giving: TLS) -> None:
    """A handshake without certificates is refused unless it is of the session that was offered."""
    meet(client, giving)
    link = Link(client.filter("localhost"), giving.filter())
    assert link.client._resumption is not None
    link.client._resumption._offered = None
    link.carry()
    assert str(link.client_error) == "server has resumed a session that was not offered"
    assert not link.client.is_open


def test_a_client_with_a_certificate(authority: Authority, giving: TLS) -> None:
    """It shows its certificate in each handshake, so it keeps no session."""
    me = authority.issue(["alice"], client=True)
    client = TLS.client(ca=authority.ca_path, certificate=me.certificate_path, key=me.key_path)
    assert client._sessions is None
    assert [resumed(client, giving) for _ in range(3)] == [False] * 3


def cut(link: Link) -> None:
    """End both ends without a close, as a source that is lost does."""
    link.client.ended()
    link.server.ended()


def test_a_connection_that_was_cut(client: TLS, giving: TLS) -> None:
    """Its session is resumed: a lost network is why clients come again."""
    for number in range(4):
        link = Link(client.filter("localhost"), giving.filter()).carry()
        assert link.client.is_resumed == (number > 0)
        cut(link)
        del link


def test_a_connection_that_failed(client: TLS, giving: TLS) -> None:
    """The session of a connection with a corrupted record is not resumed."""
    link = Link(client.filter("localhost"), giving.filter()).carry()
    link.server.send(b"hello")
    sealed = bytearray(link.server.data_to_send())
    sealed[-1] ^= 1
    with pytest.raises(TLSError, match="corrupted"):
        link.client.receive(bytes(sealed))
    cut(link)
    del link
    assert not resumed(client, giving)


@pytest.mark.row("D-cost")
def test_sessions_are_bounded(client: TLS, giving: TLS) -> None:
    """Those of the servers that were met last are kept."""
    for port in range(MAX_SERVERS + 5):
        meet(client, giving, "localhost", port)
    known = sessions_of(client)
    assert len(known) == MAX_SERVERS
    assert not resumed(client, giving, "localhost", 3)
    assert resumed(client, giving, "localhost", MAX_SERVERS + 4)
    assert len(known._servers) == MAX_SERVERS


class Standard:
    """An end of the standard library, in memory, with the methods that `Link` uses."""

    is_open = peer_closed = False
    failure = None

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None):
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        is_server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        host = None if is_server else "localhost"
        self.end = context.wrap_bio(self.into, self.out, is_server, host, session)
        self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Take bytes."""
        self.into.write(data)
        try:
            if not self.is_open:
                self.end.do_handshake()
                self.is_open = True
            return self.end.read(1 << 16)
        except ssl.SSLWantReadError:
            return b""

    def data_to_send(self) -> bytes:
        """Return bytes for the peer."""
        return self.out.read()

    def close(self) -> None:
        """Close."""
        with suppress(ssl.SSLWantReadError):
            self.end.unwrap()


def joined(client: Any, server: Any) -> Link:
    """Join two ends, of which one is of the standard library."""
    return Link(client, server).carry()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_of_the_standard_library(
    authority: Authority, giving: TLS, version: ssl.TLSVersion
) -> None:
    """A stranger resumes under TLS 1.3, and gets no ticket under TLS 1.2."""
    context = ssl.create_default_context(cafile=str(authority.ca_path))
    context.maximum_version = version
    context.check_hostname = True
    session: ssl.SSLSession | None = None
    found = []
    for _ in range(3):
        client = Standard(context, session)
        link = joined(client, giving.filter())
        assert link.server.is_open
        assert link.client.is_open
        session = client.end.session
        assert session is not None
        found.append((bool(client.end.session_reused), session.has_ticket))
        client.close()
    is_13 = version == ssl.TLSVersion.TLSv1_3
    assert found == [(False, is_13), (is_13, is_13), (is_13, is_13)]


def test_no_early_data(client: TLS, giving: TLS) -> None:
    """No ticket allows early data."""
    for _ in range(2):
        meet(client, giving)
        (known,) = sessions_of(client)._servers.values()
        assert known.session is not None
        session: Any = known.session.session
        assert lib.SSL_SESSION_get_max_early_data(session._session) == 0


@pytest.mark.row("D-cost")
def test_a_server_that_gives_many_tickets(client: TLS, pair: Pair) -> None:
    """A thousand tickets are one session, and little memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    context.num_tickets = 1000
    kept = []
    for number in range(3):
        before = in_use()
        link = joined(client.filter("localhost"), Standard(context))
        assert link.client.is_open
        assert link.client.is_resumed == (number > 0)
        assert link.client._resumption is None
        assert len(sessions_of(client)) == 1
        kept.append(in_use() - before)
        link.client.close()
        link.carry()
    assert max(kept[1:]) < 500_000


def test_a_server_that_keeps_sessions_itself(client: TLS, pair: Pair) -> None:
    """A server whose tickets only name what it keeps is resumed too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    context.options |= ssl.OP_NO_TICKET
    found = []
    for _ in range(3):
        link = joined(client.filter("localhost"), Standard(context))
        found.append(link.client.is_resumed)
        link.client.close()
        link.carry()
    assert found == [False, True, True]


def test_old_versions_are_not_resumed(client: TLS, pair: Pair) -> None:
    """A session of TLS 1.2 is not kept, whatever a server offers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    client._live.current().set_max_proto_version(SSL.TLS1_2_VERSION)
    for _ in range(3):
        link = joined(client.filter("localhost"), Standard(context))
        assert (link.client.version, link.client.is_resumed) == ("TLSv1.2", False)
        assert len(sessions_of(client)) == 0
        link.client.close()
        link.carry()


def test_an_application_context_is_left_alone(giving: TLS) -> None:
    """A filter with a context of the application resumes nothing by itself."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    for _ in range(2):
        end = TLSFilter.from_context(context, server=False)
        link = Link(end, giving.filter()).carry()
        assert (end.is_open, end.is_resumed) == (True, False)
        link.client.close()
        link.carry()


@pytest.mark.parametrize(
    ("version", "count", "is_kept"),
    [
        (SSL.TLS1_3_VERSION, 1, True),
        (SSL.TLS1_3_VERSION, 0, False),
        (SSL.TLS1_2_VERSION, 1, False),
    ],
)
def test_sessions_that_are_not_kept(pair: Pair, version: int, count: int, is_kept: bool) -> None:
    """What nobody has verified is not kept, nor what may have fewer keys than connections."""
    known = Sessions()
    context: Any = object()
    connection: Any = SimpleNamespace(
        get_session=object,
        get_protocol_version=lambda: version,
        get_verified_chain=lambda as_cryptography: [pair.certificate] * count,
    )
    resumption = Resumption(known, ("localhost", 1), context)
    resumption.offer(connection)
    resumption.keep(connection, is_resumed=False)
    assert len(known) == is_kept
