"""Addresses have the published fields and are written as people write them."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from broker.net.socket_addresses import (
    IPv4Address,
    IPv6Address,
    UNIXAddress,
    address_of,
    host_port,
    is_loopback,
    source_of,
)


@pytest.mark.parametrize(
    ("family", "name", "address", "text"),
    [
        (socket.AF_INET, ("10.0.0.1", 80), IPv4Address("TCP", "10.0.0.1", 80), "10.0.0.1:80"),
        (socket.AF_INET6, ("::1", 80, 0, 0), IPv6Address("TCP", "::1", 80), "[::1]:80"),
        (socket.AF_INET6, ("fe80::1", 80, 0, 2), IPv6Address("TCP", "fe80::1", 80, 0, 2), None),
        (socket.AF_UNIX, "/run/pb", UNIXAddress("/run/pb"), "unix:/run/pb"),
        (socket.AF_UNIX, "", UNIXAddress(""), "unix:"),
        (socket.AF_UNIX, b"\0abstract", UNIXAddress("\0abstract"), None),
        (socket.AF_INET, None, IPv4Address("TCP", "", 0), None),
        (socket.AF_INET6, None, IPv6Address("TCP", "", 0), None),
        (socket.AF_UNIX, None, UNIXAddress(""), None),
    ],
)
def test_address_of(family, name, address, text) -> None:
    """The result of a socket becomes an address; a disconnected peer has an empty host."""
    found = address_of(family, name)
    assert found == address
    assert type(found) is type(address)
    assert text is None or str(found) == text


def test_published_fields() -> None:
    """An address has type, host and port, and can be a dictionary's key."""
    address = IPv4Address("TCP", "10.0.0.1", 80)
    assert (address.type, address.host, address.port) == ("TCP", "10.0.0.1", 80)
    assert {address: 1}[IPv4Address("TCP", "10.0.0.1", 80)] == 1


def test_host_port() -> None:
    """An IPv6 host is written in brackets."""
    assert (host_port("a.example", 1), host_port("::1", 1)) == ("a.example:1", "[::1]:1")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (IPv4Address("TCP", "198.51.100.7", 5), "198.51.100.7"),
        (IPv6Address("TCP", "2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (IPv6Address("TCP", "2001:db8:1:2::ffff", 6), "2001:db8:1:2::/64"),
        (IPv6Address("TCP", "fe80::1%eth0", 6), "fe80::/64"),
        (IPv6Address("TCP", "::ffff:198.51.100.7", 6), "198.51.100.7"),
        (UNIXAddress("/run/broker"), ""),
        (IPv4Address("TCP", "", 0), ""),
        (None, ""),
    ],
)
def test_sources(address: Any, source: str) -> None:
    """A source is an IPv4 address or an IPv6 network; what has neither counts only among all."""
    assert source_of(address) == source


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::1%lo", True),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, is_this_machine: bool) -> None:
    """Only names and addresses that certainly are this machine count as the loopback."""
    assert is_loopback(host) is is_this_machine
