"""Addresses as users write them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from broker.errors import ConfigError
from broker.net.schemes import (
    Command,
    HostPort,
    SocketPath,
    is_loopback,
    is_private,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "location", "shown"),
    [
        ("pb://127.0.0.1:8787", HostPort("127.0.0.1", 8787, False), None),
        ("pb://localhost", HostPort("localhost", 8787, False), "pb://localhost:8787"),
        ("pb://localhost:0", HostPort("localhost", 0, False), None),
        ("pbs://Broker.Example:1/", HostPort("broker.example", 1, True), "pbs://broker.example:1"),
        ("pb://[::1]:5", HostPort("::1", 5, False), None),
        ("pb+unix:///run/my.sock", SocketPath("/run/my.sock"), None),
        ("pb+unix:///a%20b", SocketPath("/a b"), None),
        ("pb+exec:ssh host 'a b'", Command(("ssh", "host", "a b")), None),
    ],
)
def test_addresses(text: str, location: Any, shown: str | None) -> None:
    """Each kind of address is understood, and written as it can be given again."""
    parsed = parse_address(text)
    assert parsed == location
    assert str(parsed) == (shown or text)
    assert parse_address(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1:8787", "is not understood"),
        ("", "is not understood"),
        ("http://x", "is not understood"),
        ("pb://", "is not understood"),
        ("pb://:8787", "is not understood"),
        ("pb://[::1", "is not understood"),
        ("pb://[nothing]:1", "is not understood"),
        ("pb+unix://[/x", "is not understood"),
        ("pb://h:123456", "has no valid port"),
        ("pb://h:-1", "has no valid port"),
        ("pb://h:http", "has no valid port"),
        ("pb://h/path", "says more than host and port"),
        ("pb://user@h", "says more than host and port"),
        ("pb://h?x=1", "says more than host and port"),
        ("pb+unix://relative", "names no socket"),
        ("pb+unix:///folder/", "names no socket"),
        ("pb+exec:", "names no program"),
        ("pb+exec:'open", "is not a command line"),
    ],
)
def test_what_is_no_address(text: str, words: str) -> None:
    """Any other text is a ConfigError that repeats it and says how to write one."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


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
    assert HostPort(host, 1, False).is_loopback is is_this_machine


class UNIXAddress:
    """The name that UNIX addresses have, ours and Twisted's."""


def transport(peer: Any, **more: Any) -> Any:
    """A transport to a peer."""
    return SimpleNamespace(getPeer=lambda: peer, **more)


@pytest.mark.parametrize(
    ("given", "private"),
    [
        (transport(SimpleNamespace(host="127.0.0.1")), True),
        (transport(SimpleNamespace(host="::1")), True),
        (transport(SimpleNamespace(host="192.0.2.1")), False),
        (transport(SimpleNamespace(host=None)), False),
        (transport(None), False),
        (transport(UNIXAddress()), True),
        (transport(SimpleNamespace(host="192.0.2.1"), is_secure=True), True),
        (transport(SimpleNamespace(host="192.0.2.1"), is_secure=False), False),
        (transport(SimpleNamespace(host="192.0.2.1"), getPeerCertificate=lambda: None), True),
        (SimpleNamespace(), False),
        (None, False),
    ],
)
def test_private(given: Any, private: bool) -> None:
    """A password may cross TLS, the loopback or a UNIX socket, and no other transport."""
    assert is_private(given) is private
