"""ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import pytest

from broker.net.proxies.environment import url_from_environment

URL = "socks5://127.0.0.1:1080"
NAMES = ("ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")

EXCLUDED = [
    ("*", "broker.example"),
    ("broker.example", "broker.example"),
    ("BROKER.example.", "broker.EXAMPLE"),
    ("example", "broker.example"),
    (".example", "broker.example"),
    (".broker.example", "broker.example"),
    ("*.example", "broker.example"),
    ("other, broker.example", "broker.example"),
    ("other broker.example", "broker.example"),
    ("broker.example:8787", "broker.example"),
    ("bücher.example", "xn--bcher-kva.example"),
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1:8787", "127.0.0.1"),
    ("127.0.0.0/8", "127.9.9.9"),
    ("::1", "::1"),
    ("[::1]", "0:0::1"),
    ("[::1]:8787", "::1"),
    ("fe80::/10", "fe80::1%eth0"),
]
NOT_EXCLUDED = [
    ("", "broker.example"),
    (",, ,", "broker.example"),
    ("roker.example", "broker.example"),
    ("broker.example", "example"),
    ("broker.example:80", "broker.example"),
    ("*broker", "mybroker"),
    ("127.0.0.1:80", "127.0.0.1"),
    ("10.0.0.0/8", "127.0.0.1"),
    ("10.0.0.0/8", "::1"),
    ("10.0.0.0/8", "broker.example"),
    ("[::1]:80", "::1"),
    (".", "broker.example"),
    ("a..b", "broker.example"),
]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the variables of the developer."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("entry", "host"), EXCLUDED)
def test_excluded(monkeypatch: pytest.MonkeyPatch, entry: str, host: str) -> None:
    """A server that NO_PROXY lists needs no proxy."""
    monkeypatch.setenv("ALL_PROXY", URL)
    assert url_from_environment(host, 8787) == URL
    monkeypatch.setenv("NO_PROXY", entry)
    assert url_from_environment(host, 8787) is None


@pytest.mark.parametrize(("entry", "host"), NOT_EXCLUDED)
def test_not_excluded(monkeypatch: pytest.MonkeyPatch, entry: str, host: str) -> None:
    """Every other server is reached through the proxy."""
    monkeypatch.setenv("ALL_PROXY", URL)
    monkeypatch.setenv("NO_PROXY", entry)
    assert url_from_environment(host, 8787) == URL


def test_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ALL_PROXY there is no proxy: the variables of the web do not count."""
    monkeypatch.setenv("HTTP_PROXY", URL)
    monkeypatch.setenv("HTTPS_PROXY", URL)
    assert url_from_environment("broker.example", 8787) is None
    monkeypatch.setenv("ALL_PROXY", " ")
    assert url_from_environment("broker.example", 8787) is None


def test_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names in lower case come first."""
    monkeypatch.setenv("ALL_PROXY", "socks5://other:1")
    monkeypatch.setenv("all_proxy", URL)
    assert url_from_environment("broker.example", 8787) == URL
    monkeypatch.setenv("no_proxy", "broker.example")
    assert url_from_environment("broker.example", 8787) is None
