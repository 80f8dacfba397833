"""Whom a trusted proxy names: the rightmost address that is not itself trusted."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import ConfigError, WrongType
from broker.net.forwarded import (
    NotForwarded,
    TrustedProxies,
    client_address,
    client_of,
    trusted_proxies,
)
from broker.net.socket_addresses import IPv4Address, IPv6Address, UNIXAddress


def trusting(header: str = "X-Forwarded-For", *also: str) -> TrustedProxies:
    """Trust some networks."""
    made = trusted_proxies(["10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48", *also], header)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("host", "is_trusted"),
    [("127.0.0.1", True), ("10.255.0.1", True), ("11.0.0.1", False), ("::ffff:10.0.0.1", True),
     ("2001:db8:1::5", True), ("2001:db8:2::5", False), ("::1", False), ("", False), ("x", False)],
)  # fmt: skip
def test_trust(host: str, is_trusted: bool) -> None:
    """An address is trusted if a network contains it; a mapped one of IPv4 as that of IPv4."""
    kind = IPv6Address if ":" in host else IPv4Address
    assert trusting().trust(kind("TCP", host, 1)) == is_trusted


def test_unix() -> None:
    """The other end of a UNIX socket is a proxy only if that is listed."""
    assert not trusting().trust(UNIXAddress("/run/x"))
    assert trusting("Forwarded", "unix").trust(UNIXAddress(""))
    assert not trusting().trust(None)


def test_none() -> None:
    """Without proxies there is no record."""
    assert trusted_proxies([], "X-Forwarded-For") is None


@pytest.mark.parametrize(
    ("given", "header", "error", "text"),
    [
        ("10.0.0.1", "Forwarded", WrongType, "is a list"),
        (None, "Forwarded", WrongType, "is a list"),
        ([1], "Forwarded", WrongType, "lists texts"),
        (["proxy.example"], "Forwarded", ConfigError, "write an address, a network"),
        (["10.0.0.1/8"], "Forwarded", ConfigError, "has host bits set"),
        ([], "X-Real-IP", ConfigError, "X-Forwarded-For or Forwarded"),
        ([], None, WrongType, "name of a header"),
    ],
)
def test_wrong_arguments(given: Any, header: Any, error: Any, text: str) -> None:
    """A wrong argument is an error that says what is right."""
    with pytest.raises(error, match=text):
        trusted_proxies(given, header)


XFF = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.5"], "203.0.113.5:0"),
        (["203.0.113.5:4711"], "203.0.113.5:4711"),
        (["2001:db8::5"], "[2001:db8::5]:0"),
        (["[2001:db8::5]:4711"], "[2001:db8::5]:4711"),
        (["6.6.6.6, 203.0.113.5"], "203.0.113.5:0"),
        (["6.6.6.6", "203.0.113.5"], "203.0.113.5:0"),
        (["nonsense, 203.0.113.5"], "203.0.113.5:0"),
        (["203.0.113.5, 10.0.0.1"], "203.0.113.5:0"),
        (["203.0.113.5, ::ffff:10.0.0.1, 127.0.0.1"], "203.0.113.5:0"),
        (["127.0.0.1, 203.0.113.5,10.0.0.1"], "203.0.113.5:0"),
    ],
)
def test_x_forwarded_for(values: list[str], client: str) -> None:
    """The client is the rightmost address that is not trusted; what stands left is not read."""
    headers = [(XFF.lower(), value) for value in values]
    assert str(client_of(trusting(), headers).address) == client


@pytest.mark.parametrize(
    "values",
    [[], [""], ["unknown"], ["10.0.0.1"], ["203.0.113.5, nonsense"], ["203.0.113.5, "],
     ["203.0.113.5, 10.0.0.1, _hidden"], ["203.0.113.5:99999"], ["203.0.113.5:port"],
     ["300.0.0.1"], ["203.0.113.5 10.0.0.1"], ["0x7f.1"]],
)  # fmt: skip
def test_no_client(values: list[str]) -> None:
    """A missing header, a wrong address that would count, or trusted addresses only: refused."""
    with pytest.raises(NotForwarded):
        client_of(trusting(), [(XFF, value) for value in values])


def test_one_header_only() -> None:
    """Only the configured header is read: the other one is as the client wrote it."""
    both = [("Forwarded", "for=6.6.6.6;proto=https"), (XFF, "203.0.113.5")]
    found = client_of(trusting(), both)
    assert (str(found.address), found.is_https) == ("203.0.113.5:0", False)
    assert str(client_of(trusting("Forwarded"), both).address) == "6.6.6.6:0"


@pytest.mark.parametrize(
    ("values", "client", "is_https"),
    [
        (["for=203.0.113.5"], "203.0.113.5:0", False),
        (["For=203.0.113.5;proto=HTTPS;by=10.0.0.1"], "203.0.113.5:0", True),
        (['for="[2001:db8::5]:4711"; proto=https'], "[2001:db8::5]:4711", True),
        (['for="203.0.113.5:4711"'], "203.0.113.5:4711", False),
        (["for=6.6.6.6;proto=https, for=203.0.113.5;proto=http"], "203.0.113.5:0", False),
        (["for=203.0.113.5;proto=https, for=10.0.0.1;proto=http"], "203.0.113.5:0", False),
        (["for=203.0.113.5;proto=https, for=10.0.0.1;proto=https"], "203.0.113.5:0", True),
        (["for=6.6.6.6;proto=http, for=203.0.113.5;proto=https"], "203.0.113.5:0", True),
        (['for=6.6.6.6;by="', "for=203.0.113.5"], "203.0.113.5:0", False),
        (['host="a,b;c\\"d";for=203.0.113.5'], "203.0.113.5:0", False),
    ],
)
def test_forwarded(values: list[str], client: str, is_https: bool) -> None:
    """The header of RFC 7239, and whether all legs from the client on were encrypted."""
    found = client_of(trusting("Forwarded"), [("forwarded", value) for value in values])
    assert (str(found.address), found.is_https) == (client, is_https)


@pytest.mark.parametrize(
    "value",
    ["for=unknown", "for=_hidden", "proto=https", "for=", "for", "for=203.0.113.5;for=6.6.6.6",
     'for="203.0.113.5', "for=203.0.113.5, proto=https", "for=203.0.113.5,", "=x",
     'for=6.6.6.6;by=", for=203.0.113.5', "for=[2001:db8::5]"],
)  # fmt: skip
def test_wrong_forwarded(value: str) -> None:
    """An element that is not right, at the place that counts, is refused."""
    with pytest.raises(NotForwarded):
        client_of(trusting("Forwarded"), [("Forwarded", value)])


def test_proto() -> None:
    """``X-Forwarded-Proto`` counts only if each of its values is https."""
    right = [["https"], ["HTTPS", " https"]]
    for protos in (*right, [], ["https,http"], ["http", "https"], [""]):
        headers = [(XFF, "203.0.113.5"), *(("X-Forwarded-Proto", each) for each in protos)]
        assert client_of(trusting(), headers).is_https == (protos in right), protos


def test_addresses() -> None:
    """Only numeric addresses are understood, each in one form."""
    assert client_address("192.0.2.1") == IPv4Address("TCP", "192.0.2.1", 0)
    assert client_address("[::1]:9") == IPv6Address("TCP", "::1", 9)
    for wrong in ("", "localhost", "192.0.2", "192.0.2.1:", "[192.0.2.1", "::1]:9", "010.0.0.1"):
        assert client_address(wrong) is None, wrong
