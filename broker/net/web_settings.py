"""The arguments of a server about web pages and proxies, checked."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from broker.net.forwarded import TrustedProxies, trusted_proxies
from broker.net.websocket.origins import checked_origins

__all__ = ["WebSettings", "web_settings"]


class WebSettings(Struct, frozen=True):
    """Which pages may connect, and which proxies say for whom they connect.

    Attributes:
        origins: the origins of the pages.
        proxies: the proxies, or None.
    """

    origins: frozenset[str] = frozenset()
    proxies: TrustedProxies | None = None


def web_settings(origins: Iterable[str], proxies: Iterable[str], header: str) -> WebSettings:
    """Return the record of the arguments of ``serve``.

    Raises:
        ConfigError: one of them is not valid.
    """
    return WebSettings(checked_origins(origins), trusted_proxies(proxies, header))
