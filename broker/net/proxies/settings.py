"""The settings of a proxy, as its URL has them."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from broker.config_error import ConfigError, WrongType
from broker.net.host_names import ascii_name
from broker.net.socket_addresses import host_port, is_loopback

__all__ = ["HTTP", "SOCKS4", "SOCKS4A", "SOCKS5", "Proxy", "checked", "parse_proxy"]

HTTP: Final = "http"
SOCKS4: Final = "socks4"
SOCKS4A: Final = "socks4a"
SOCKS5: Final = "socks5"

# The name in a URL, and the kind. "socks5h" is the name of other programs for SOCKS 5 if the proxy
# resolves the names, which it always does here.
_KINDS: Final = {
    "http": HTTP,
    "socks4": SOCKS4,
    "socks4a": SOCKS4A,
    "socks5": SOCKS5,
    "socks5h": SOCKS5,
}
_SOCKS_PORT = 1080
_LONGEST = 255
_EXAMPLE = "write socks5://host:port, socks4://host:port, http://host:port or env"


class Proxy(Struct, frozen=True):
    """A proxy. ``str()`` and ``repr()`` do not show the password.

    Attributes:
        kind: ``"http"``, ``"socks4"``, ``"socks4a"`` or ``"socks5"``.
        host: its name or numeric address.
        port: its TCP port.
        user: the user name; None without a login.
        password: the password; None without a login.
    """

    kind: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        return host_port(self.host, self.port)

    def __repr__(self) -> str:
        return f"<Proxy {self.kind}://{self}>"

    @property
    def is_loopback(self) -> bool:
        """Whether the proxy certainly runs on this machine."""
        return is_loopback(self.host)


def parse_proxy(url: object, name: str = "proxy=") -> Proxy:
    """Parse the URL of a proxy, such as ``socks5://user:password@host:1080``.

    User and password may have percent escapes. The port of a SOCKS proxy is 1080 unless given.

    Args:
        url: the URL.
        name: where it comes from, for the text of an error. No text quotes the URL, because there
            may be a password in it.

    Raises:
        ConfigError: it is not the URL of a proxy.
        WrongType: a ConfigError: it is not a str.
    """
    if not isinstance(url, str):
        raise WrongType(f"{name} is text, not {type(url).__name__}; {_EXAMPLE}")
    kind = _KINDS.get(url.partition("://")[0].lower())
    if kind is None:
        raise ConfigError(f"{name} has none of the known schemes; {_EXAMPLE}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host is not None:
            ascii_name(host)
    except (ConfigError, ValueError):
        # The text of the cause may quote a part of the URL.
        raise ConfigError(f"{name} is not understood; {_EXAMPLE}") from None
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"{name} is not understood; {_EXAMPLE}")
    if port is None and kind != HTTP:
        port = _SOCKS_PORT
    if not port:
        raise ConfigError(f"{name} has no port; {_EXAMPLE}")
    user, password = (None if text is None else unquote(text) for text in _login(parts.netloc))
    return checked(Proxy(kind, host, port, user, password), name)


def checked(proxy: Proxy, name: str) -> Proxy:
    """Return the proxy, if its kind can send the user and the password.

    Raises:
        ConfigError: it cannot.
    """
    user, password = proxy.user, proxy.password
    if user is None and password is None:
        return proxy
    if proxy.kind == HTTP:
        if not user or ":" in user:
            raise ConfigError(f"{name} needs a user name without a colon for its password")
    elif proxy.kind == SOCKS5:
        if not all(text and len(text) <= _LONGEST and text.isascii() for text in (user, password)):
            raise ConfigError(
                f"{name} needs a user and a password; SOCKS 5 allows 1 to {_LONGEST} ASCII"
                " characters for each of them"
            )
    elif password:
        raise ConfigError(f"{name} has a password, and SOCKS 4 has none; use socks5://")
    elif not user or not user.isascii() or "\0" in user or len(user) > _LONGEST:
        raise ConfigError(f"{name} has a user name that is not 1 to {_LONGEST} ASCII characters")
    return proxy


def _login(netloc: str) -> tuple[str | None, str | None]:
    """Return user and password of the part of a URL before its path; None for what is missing."""
    login, at, _ = netloc.rpartition("@")
    if not at:
        return None, None
    user, colon, password = login.partition(":")
    return user, password if colon else None
