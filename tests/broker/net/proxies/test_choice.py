"""Which proxy a client uses, and what a proxy cannot be asked for: before anything is opened."""

from __future__ import annotations

import sys

import pytest

import broker
from broker.connecting import place_of
from broker.core.policy import STRICT
from broker.net.proxies.settings import parse_proxy

PLAINTEXT = STRICT.but(insecure_plaintext=True)

REFUSED = [
    ("pb+unix:///tmp/x", "socks5://127.0.0.1:9", "for addresses with a host"),
    ("pb+exec:true", "socks5://127.0.0.1:9", "for addresses with a host"),
    ("pb://127.0.0.1", "ftp://127.0.0.1:9", "none of the known schemes"),
    ("pb://localhost", "socks4://127.0.0.1:9", "use socks4a:// or socks5://"),
    ("pb://[::1]", "socks4://127.0.0.1:9", "SOCKS 4 has no IPv6"),
    ("pb://[::1]", "socks4a://127.0.0.1:9", "SOCKS 4 has no IPv6"),
    ("pbs://[fe80::1%25lo]", "http://127.0.0.1:9", "an interface belongs to one machine"),
    ("pb://127.0.0.1", "http://10.0.0.1:9", "without TLS; use pbs://, or Policy(insecure_plain"),
    ("pb://127.0.0.1", "socks5://proxy.example:9", "connecting through proxy.example:9 without"),
    ("pb://broker.example", "socks5://127.0.0.1:9", "connecting to broker.example without TLS"),
]


@pytest.mark.parametrize(("address", "proxy", "text"), REFUSED)
def test_refused(address: str, proxy: str, text: str) -> None:
    """``connect`` itself raises a ConfigError."""
    with pytest.raises(broker.ConfigError) as caught:
        broker.connect(address, proxy=proxy)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("pbs://broker.example", "http://proxy.example:9"),
        ("pb://127.0.0.1", "socks5://localhost:9"),
        ("pbs://1.2.3.4", "socks4://proxy.example:9"),
        ("pbs://broker.example", "socks4a://proxy.example:9"),
    ],
)
def test_accepted(address: str, proxy: str) -> None:
    """With TLS the proxy may be anywhere; without, both the proxy and the server must be here."""
    assert place_of(address, None, broker.STRICT, proxy).proxy == parse_proxy(proxy)


def test_plaintext() -> None:
    """The policy that allows public addresses without TLS allows public proxies."""
    place = place_of("pb://10.0.0.2", None, PLAINTEXT, "http://10.0.0.1:9")
    assert str(place.proxy) == "10.0.0.1:9"


def test_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable is an error that names it; a UNIX socket is reached without a proxy."""
    monkeypatch.setenv("all_proxy", "")
    monkeypatch.setenv("ALL_PROXY", "secret")
    with pytest.raises(broker.ConfigError, match=r"^ALL_PROXY has none"):
        broker.connect("pb://127.0.0.1", proxy="env")
    broker.connect("pb+unix:///tmp/x", proxy="env").close()
    broker.connect("pb://127.0.0.1").close()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without python-socks a SOCKS proxy is a ConfigError with the extra; HTTP does not need it."""
    monkeypatch.setitem(sys.modules, "python_socks.async_.asyncio", None)
    with pytest.raises(broker.ConfigError, match=r"install perspective-broker\[proxy\]"):
        broker.connect("pb://127.0.0.1", proxy="socks5://127.0.0.1:9")
    broker.connect("pb://127.0.0.1", proxy="http://127.0.0.1:9").close()
