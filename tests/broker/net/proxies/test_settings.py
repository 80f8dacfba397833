"""The URL of a proxy: what is understood, and texts of errors that never show a password."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import ConfigError, WrongType
from broker.net.proxies.settings import Proxy, parse_proxy

UNDERSTOOD = {
    "socks5://h.example:9": Proxy("socks5", "h.example", 9),
    "SOCKS5://h.example:9/": Proxy("socks5", "h.example", 9),
    "socks5h://h.example": Proxy("socks5", "h.example", 1080),
    "socks4://1.2.3.4:9": Proxy("socks4", "1.2.3.4", 9),
    "socks4a://me@[::1]:9": Proxy("socks4a", "::1", 9, "me"),
    "http://h.example:3128": Proxy("http", "h.example", 3128),
    "http://me@h.example:3128": Proxy("http", "h.example", 3128, "me"),
    "http://me:s%3Ae%40c%C3%A9@h.example:3128": Proxy("http", "h.example", 3128, "me", "s:e@cé"),
    "socks5://me:a@b@h.example:9": Proxy("socks5", "h.example", 9, "me", "a@b"),
}
WRONG = [
    ("h.example:1080", "none of the known schemes"),
    ("https://me:secret@h.example:9", "none of the known schemes"),
    ("socks5://me:sec/ret@h.example:9", "not understood"),
    ("socks5://me:sec#ret@h.example:9", "not understood"),
    ("socks5://h.example:secret", "not understood"),
    ("socks5://h.example:99999", "not understood"),
    ("socks5://me:secret@a..b:9", "not understood"),
    ("socks5://me:secret@[::1:9", "not understood"),
    ("socks5://:9", "not understood"),
    ("socks5://h.example:9/secret", "not understood"),
    ("socks5://h.example:9?secret", "not understood"),
    ("socks5://h.example:0", "no port"),
    ("http://me:secret@h.example", "no port"),
    ("http://:secret@h.example:9", "without a colon"),
    ("http://a%3Ab:secret@h.example:9", "without a colon"),
    ("socks5://secret@h.example:9", "a user and a password"),
    ("socks5://me:@h.example:9", "a user and a password"),
    ("socks5://me:secr%C3%A9t@h.example:9", "ASCII"),
    ("socks5://me:" + "secret" * 43 + "@h.example:9", "1 to 255"),
    ("socks4://me:secret@h.example:9", "SOCKS 4 has none"),
    ("socks4://secr%C3%A9t@h.example:9", "ASCII"),
    ("socks4://secr%00et@h.example:9", "ASCII"),
]


@pytest.mark.parametrize("url", UNDERSTOOD)
def test_understood(url: str) -> None:
    """The parts of the URL are those of the proxy."""
    assert parse_proxy(url) == UNDERSTOOD[url]


@pytest.mark.parametrize(("url", "text"), WRONG)
def test_not_understood(url: str, text: str) -> None:
    """The error says what is wrong and quotes no part of the URL."""
    with pytest.raises(ConfigError) as caught:
        parse_proxy(url, "ALL_PROXY")
    assert str(caught.value).startswith("ALL_PROXY ")
    assert text in str(caught.value)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("proxy", [7, b"socks5://h:1", ["socks5://h:1"], object()])
def test_not_text(proxy: Any) -> None:
    """Anything but text is a WrongType."""
    with pytest.raises(WrongType, match="proxy= is text, not "):
        parse_proxy(proxy)


def test_texts_of_a_proxy() -> None:
    """Neither text shows the user or the password."""
    proxy = parse_proxy("socks5://me:secret@[::1]:9")
    assert (str(proxy), repr(proxy)) == ("[::1]:9", "<Proxy socks5://[::1]:9>")


def test_loopback() -> None:
    """Only a proxy that certainly is on this machine is on the loopback interface."""
    hosts = {"127.0.0.1": True, "[::1]": True, "localhost": True, "10.0.0.1": False, "h": False}
    assert {host: parse_proxy(f"socks5://{host}:9").is_loopback for host in hosts} == hosts
