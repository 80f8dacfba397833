"""Host names: IDNA 2008, and invalid names."""

from __future__ import annotations

import socket

import pytest

from broker.errors import CannotListenError, ConfigError, DNSLookupError
from broker.net import sockets
from broker.net.host_names import ascii_name, is_numeric
from broker.net.schemes import parse_address
from broker.net.sockets import bind_stream, connect_stream
from broker.net.tls.settings import TLS
from broker.reactor import Reactor, ssl


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("straße.example", "xn--strae-oqa.example"),
        ("Straße.Example", "xn--strae-oqa.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("bücher.example.", "xn--bcher-kva.example."),
        ("日本語。jp", "xn--wgv71a119e.jp"),
        ("my_host.bücher", "my_host.xn--bcher-kva"),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("localhost", "localhost"),
        ("Strasse", "Strasse"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_names(name: str, expected: str) -> None:
    """A name gets the ASCII form of IDNA 2008; ASCII names and addresses stay as they are."""
    assert ascii_name(name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a..b", "before, between or after its dots"),
        ("", "before, between or after its dots"),
        ("a b", "letters, digits"),
        ("a\0b", "letters, digits"),
        ("a" * 64, "longer than 63 bytes"),
        (".".join(["a" * 60] * 5), "longer than 253 bytes"),
        ("☃.example", "U\\+2603"),
        ("-é.example", "hyphen"),
        ("ß" * 63, "too long"),
    ],
)
def test_names_that_are_none(name: str, text: str) -> None:
    """A text that cannot be a host name is a ConfigError that says why."""
    with pytest.raises(ConfigError, match=text):
        ascii_name(name)


def test_numeric() -> None:
    """An IP address is numeric, also with a zone; a name is not."""
    assert is_numeric("::1")
    assert is_numeric("fe80::1%lo")
    assert not is_numeric("localhost")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the system was asked for; it does not know any."""
    names: list[str] = []

    def refuse(host: str, *args: object, **kw: object) -> list[object]:
        names.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(sockets.socket, "getaddrinfo", refuse)
    return names


async def test_looked_up(each_loop, recorder, asked: list[str]) -> None:
    """Connecting and listening look up the name of IDNA 2008; the error has it as it was given."""
    with pytest.raises(DNSLookupError, match="host 'straße' does not resolve"):
        await connect_stream(lambda peer: recorder(), "straße", 1)
    with pytest.raises(CannotListenError, match="host 'straße' does not resolve"):
        bind_stream("straße", 0)
    assert set(asked) == {"xn--strae-oqa"}


async def test_a_wrong_name_is_not_looked_up(each_loop, recorder, asked: list[str]) -> None:
    """An invalid name fails without a lookup."""
    with pytest.raises(DNSLookupError, match="is not a host name"):
        await connect_stream(lambda peer: recorder(), "a..b", 1)
    with pytest.raises(CannotListenError, match="is not a host name"):
        bind_stream("a b", 0)
    assert asked == []


def test_resolve_of_the_reactor(asked: list[str]) -> None:
    """``reactor.resolve`` refuses an invalid name at once, and looks up a valid one."""
    reactor = Reactor()
    failed: list[str] = []

    def failed_with(failure: object) -> None:
        failed.append(str(failure.value))  # type: ignore[attr-defined]
        if len(failed) == 2:
            reactor.stop()

    reactor.resolve("a..b").addErrback(failed_with)
    reactor.resolve("straße").addErrback(failed_with)
    reactor.run()
    assert "is not a host name" in failed[0]
    assert failed[1] == "host 'straße' does not resolve"
    assert asked == ["xn--strae-oqa"]


@pytest.mark.parametrize("name", ["straße.example", "straße.example."])
def test_sent_in_tls(name: str, client_tls: TLS) -> None:
    """The server name that a client sends is that of IDNA 2008, in both APIs."""
    assert b"\0\x15xn--strae-oqa.example" in client_tls.filter(name).data_to_send()
    options = ssl.optionsForClientTLS(name)
    assert options.hostname == "xn--strae-oqa.example"


def test_certificates(authority, client_tls: TLS) -> None:
    """A certificate for ``straße`` is accepted under that name, one for ``strasse`` is not."""
    from cryptography import x509

    from broker.net.tls.issuing import alternative_name
    from broker.net.tls.verify import CertificateVerifier

    assert alternative_name("*.straße.example") == x509.DNSName("*.xn--strae-oqa.example")
    for named, problem in (("xn--strae-oqa", None), ("strasse", "certificate is for strasse")):
        made = authority.issue([named])
        certificate = x509.load_pem_x509_certificate(made.certificate_path.read_bytes())
        found = CertificateVerifier("straße").wrong_name(certificate)
        assert found is None if problem is None else found.startswith(problem)


def test_in_an_address() -> None:
    """An address with an invalid name is refused before a socket is opened."""
    assert parse_address("pbs://straße:1").host == "straße"
    with pytest.raises(ConfigError, match=r"'a\.\.b' is not a host name"):
        parse_address("pbs://a..b")


def test_a_name_that_is_much_too_long() -> None:
    """A long name is refused by its length, before any step takes quadratic time."""
    with pytest.raises(ConfigError, match=r"^a host name of 100000 characters is too long: 253"):
        ascii_name("\u0660" * 100_000)
    assert ascii_name(f"{'ü' * 20}.example").startswith("xn--")
