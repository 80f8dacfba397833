"""broker.net.tls.bios: an exchange of OpenSSL's buffers loses no byte, and frees memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL
from soak.gauge import in_use
from support.certificates import Authority
from support.tls_link import Link

from broker.errors import TLSError
from broker.net.tls import bios
from broker.net.tls.bios import renew_bios
from broker.net.tls.filter import TLSFilter
from broker.net.tls.settings import TLS

MEGABYTE = 1_000_000


def bios_of(end: TLSFilter) -> tuple[Any, Any]:
    """Return the two BIOs of an end."""
    connection: Any = end._connection
    return connection._into_ssl, connection._from_ssl


def link_of(authority: Authority, server_tls: TLS, version: int) -> Link:
    """Join two ends that speak that version of TLS."""
    client_tls = TLS.client(ca=authority.ca_path)
    client_tls._live.current().set_max_proto_version(version)
    return Link(client_tls.filter("localhost"), server_tls.filter())


@pytest.fixture(params=[SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"])
def any_link(request: Any, authority: Authority, server_tls: TLS) -> Link:
    """Two ends after a handshake, in each version."""
    return link_of(authority, server_tls, request.param).carry()


def test_the_private_names_are_there(link: Link) -> None:
    """This pyOpenSSL has all names that the exchange needs; else connections keep more memory."""
    assert bios._load() is not None
    for end in (link.client, link.server):
        before = bios_of(end)
        assert renew_bios(end._connection)
        assert all(old != new for old, new in zip(before, bios_of(end), strict=True))


@pytest.mark.parametrize("missing", ["OpenSSL._util", "BIO_get_mem_data", "_from_ssl"])
def test_a_private_name_is_missing(
    link: Link, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Without one of them nothing is exchanged, and the connection works as before."""
    monkeypatch.setattr(bios, "_FUNCTIONS", (*bios._FUNCTIONS, "BIO_none_such"))
    if missing == "_from_ssl":
        monkeypatch.setattr(bios, "_ATTRIBUTES", (*bios._ATTRIBUTES, "_none_such"))
    else:
        if missing == "OpenSSL._util":
            monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.setattr(bios, "_binding", bios._load())
        assert bios._binding is None
    before = bios_of(link.server)
    assert not renew_bios(link.server._connection)
    link.server.shrink()
    assert bios_of(link.server) == before
    link.client.send(b"up")
    link.server.send(b"down")
    link.carry()
    assert (link.at_server, link.at_client) == (b"up", b"down")


@pytest.mark.parametrize("failing", ["first", "second", "copy"])
def test_no_memory_for_a_fresh_one(
    link: Link, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """If OpenSSL has no memory, the old buffers stay with their bytes, and no new one leaks."""
    assert bios._binding is not None
    lib, ffi = bios._binding
    held: list[Any] = []

    def new(kind: Any) -> Any:
        fails = failing == "first" or (failing == "second" and held)
        held.append(ffi.NULL if fails else lib.BIO_new(kind))
        return held[-1]

    def free(bio: Any) -> int:
        held.remove(bio)
        return int(lib.BIO_free(bio))

    poor = SimpleNamespace(BIO_new=new, BIO_free=free, BIO_s_mem=lib.BIO_s_mem)
    poor.BIO_get_mem_data = lib.BIO_get_mem_data
    poor.BIO_write = lambda *args: 0
    monkeypatch.setattr(bios, "_binding", (poor, ffi))
    link.client.send(b"x" * 1000)
    link.server._connection.bio_write(link.client.data_to_send())
    before = bios_of(link.server)
    assert not renew_bios(link.server._connection)
    assert bios_of(link.server) == before
    assert [bio for bio in held if bio != ffi.NULL] == []
    assert link.server._connection.recv(2000) == b"x" * 1000


def test_not_before_the_handshake(client_tls: TLS, server_tls: TLS) -> None:
    """While the handshake runs nothing is exchanged."""
    link = Link(client_tls.filter("localhost"), server_tls.filter())
    before = bios_of(link.client)
    link.client.shrink()
    assert bios_of(link.client) == before
    assert link.carry().client.is_open


@pytest.mark.parametrize("step", [1, 4, 5, 6, 777, 16_000, 20_000])
def test_bytes_that_have_come(any_link: Link, step: int) -> None:
    """Wherever records are cut, and data is read or not, an exchange loses and moves no byte."""
    data = bytes(range(256)) * (2 if step == 1 else 200)
    for part in (data[:10], data[10:300], data[300:]):
        any_link.client.send(part)
    sealed = any_link.client.data_to_send()
    found = b""
    for start in range(0, len(sealed), step):
        found += any_link.server.receive(sealed[start : start + step])
        any_link.server.shrink()
    assert found == data
    any_link.server.send(b"answer")
    assert any_link.carry().at_client == b"answer"


def test_records_that_openssl_has_not_read(any_link: Link) -> None:
    """Several complete records and half of one may wait in the buffer during an exchange."""
    for part in (b"one", b"two", b"three"):
        any_link.client.send(part)
    sealed = any_link.client.data_to_send()
    connection = any_link.server._connection
    connection.bio_write(sealed[:-7])
    assert renew_bios(connection)
    assert [connection.recv(100), connection.recv(100)] == [b"one", b"two"]
    with pytest.raises(SSL.WantReadError):
        connection.recv(100)
    assert renew_bios(connection)
    connection.bio_write(sealed[-7:])
    assert renew_bios(connection)
    assert connection.recv(100) == b"three"


def test_plaintext_that_nobody_has_read(any_link: Link) -> None:
    """The rest of a record that OpenSSL has decrypted stays."""
    any_link.client.send(b"0123456789")
    connection = any_link.server._connection
    connection.bio_write(any_link.client.data_to_send())
    assert connection.recv(3) == b"012"
    assert connection.pending() == 7
    assert renew_bios(connection)
    assert connection.recv(100) == b"3456789"


def test_bytes_that_have_not_left(any_link: Link) -> None:
    """Records and a close_notify that are not taken yet leave after an exchange, in order."""
    any_link.server.send(b"first")
    any_link.server.shrink()
    any_link.server.send(b"second")
    any_link.server.close()
    any_link.server.shrink()
    any_link.carry()
    assert any_link.at_client == b"firstsecond"
    assert any_link.client.peer_closed
    assert any_link.errors == ("None", "None")


def test_a_close_that_has_come_in_half(any_link: Link) -> None:
    """Half a close_notify survives."""
    any_link.client.close()
    sealed = any_link.client.data_to_send()
    any_link.server.receive(sealed[:9])
    any_link.server.shrink()
    assert not any_link.server.peer_closed
    any_link.server.receive(sealed[9:])
    assert any_link.server.peer_closed


@pytest.mark.parametrize("cut", [5, 30, 100])
def test_tickets_that_come_after_the_handshake(client_tls: TLS, server_tls: TLS, cut: int) -> None:
    """A session ticket that has come in part is read after an exchange."""
    client, server = client_tls.filter("localhost"), server_tls.filter()
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    assert client.is_open
    server.receive(client.data_to_send())
    tickets = server.data_to_send()
    assert len(tickets) > 100
    client.receive(tickets[:cut])
    client.shrink()
    assert client.receive(tickets[cut:]) == b""
    client.shrink()
    link = Link(client, server)
    server.send(b"after them")
    assert link.carry().at_client == b"after them"


def test_a_broken_record_is_found(any_link: Link) -> None:
    """After an exchange OpenSSL still refuses a changed byte, and the peer gets the alert."""
    any_link.client.shrink()
    any_link.server.shrink()
    any_link.client.send(b"hello")
    sealed = bytearray(any_link.client.data_to_send())
    sealed[-1] ^= 1
    with pytest.raises(TLSError, match=r"^TLS record corrupted$"):
        any_link.server.receive(bytes(sealed))
    any_link.server_error = any_link.server.failure
    assert "alert" in str(any_link.carry().client_error)


def renegotiating() -> SSL.Context:
    """Return a context of an application that allows what ours do not."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    return context


def test_while_a_context_of_the_application_renegotiates(server_tls: TLS) -> None:
    """An exchange in the middle of a second handshake leaves that to the peer, who refuses it."""
    link = Link(TLSFilter.from_context(renegotiating(), server=False), server_tls.filter()).carry()
    assert link.client._connection.renegotiate()
    with pytest.raises(SSL.WantReadError):
        link.client._connection.do_handshake()
    link.client.shrink()
    link.client._is_quiet = False
    link.carry()
    link.server.shrink()
    assert link.server._connection.total_renegotiations() == 0


def kept(ends: list[TLSFilter], make: Callable[[], TLSFilter], count: int) -> float:
    """Make that many ends; return the KiB of the C library's memory that each keeps."""
    gc.collect()
    before = in_use()
    ends += [make() for _ in range(count)]
    gc.collect()
    return (in_use() - before) / count / 1024


@pytest.mark.row("D-cost")
@pytest.mark.parametrize("traffic", [0, MEGABYTE])
def test_the_memory_of_an_end_at_rest(client_tls: TLS, server_tls: TLS, traffic: int) -> None:
    """A server's end keeps at most 30 KiB, after a handshake and after a megabyte each way.

    Without an exchange it would be 32 and 92.
    """

    def make() -> TLSFilter:
        link = Link(client_tls.filter("localhost"), server_tls.filter()).carry()
        for data in (b"hello", b"x" * traffic, b"hello"):
            link.server.shrink()
            link.client.send(data)
            link.server.send(data)
            link.carry()
        assert len(link.at_server) == len(link.at_client) == traffic + 10
        link.server.shrink()
        return link.server

    ends: list[TLSFilter] = []
    kept(ends, make, 5)
    assert kept(ends, make, 30) < 30


def test_exchanges_leak_nothing(link: Link) -> None:
    """A thousand exchanges of buffers that hold bytes leave the memory as it was."""
    link.client.send(b"x" * 15_000)
    connection = link.server._connection
    connection.bio_write(link.client.data_to_send())
    assert renew_bios(connection)
    before = in_use()
    for _ in range(1000):
        assert renew_bios(connection)
    assert in_use() - before < 200_000
    assert connection.recv(20_000) == b"x" * 15_000
