"""Addresses as users write them."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import ConfigError
from broker.net.schemes import (
    Command,
    HostPort,
    SocketPath,
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
