"""Decides through which proxy a client connects, and whether that proxy can reach the server."""

from __future__ import annotations

from broker.config_error import ConfigError
from broker.fixes import fixed_by
from broker.net.host_names import is_numeric
from broker.net.proxies.environment import ALL_PROXY, url_from_environment
from broker.net.proxies.settings import HTTP, SOCKS4, SOCKS5, Proxy, parse_proxy
from broker.net.proxies.socks import require_package
from broker.net.socket_addresses import host_port

__all__ = ["Target", "check_target", "choose"]

Target = tuple[str, int]
"""The host and the port that a proxy connects to."""


def choose(proxy: object, target: Target | None, *, is_tls: bool, plaintext: bool) -> Proxy | None:
    """Return the proxy for a connection; None to connect without one.

    Args:
        proxy: the URL of a proxy; ``"env"`` for that of the environment variables.
        target: the server; None if it is not reached over TCP.
        is_tls: whether the connection uses TLS.
        plaintext: whether it may be public without TLS.

    Raises:
        ConfigError: the URL is not understood; the proxy cannot connect to this server; the proxy
            is on another machine, and the connection has no TLS; or a package is missing.
        WrongType: a ConfigError: ``proxy`` is not a str.
    """
    name = "proxy="
    if proxy == "env":
        found = None if target is None else url_from_environment(*target)
        if found is None:
            return None
        proxy, name = found, ALL_PROXY
    chosen = parse_proxy(proxy, name)
    if target is None:
        raise ConfigError(f"{name} is for addresses with a host, such as pb:// and pbs://")
    check_target(chosen, target)
    if not (is_tls or plaintext or chosen.is_loopback):
        # Between here and the proxy the bytes are not encrypted, whatever the server is.
        before = f"connecting through {chosen} without TLS; use pbs://, or "
        raise fixed_by(ConfigError, before, "plaintext")
    return chosen


def check_target(proxy: Proxy, target: Target) -> None:
    """Check that a proxy of this kind can be asked for a server.

    Raises:
        ConfigError: it cannot, or a package is missing.
    """
    host, _ = target
    where = host_port(*target)
    if "%" in host:
        raise ConfigError(f"a proxy cannot reach {where}: an interface belongs to one machine")
    if proxy.kind == HTTP:
        return
    if proxy.kind != SOCKS5 and ":" in host:
        raise ConfigError(f"SOCKS 4 has no IPv6 and cannot reach {where}; use socks5://")
    if proxy.kind == SOCKS4 and not is_numeric(host):
        raise ConfigError(
            f"socks4:// sends no names, so it cannot reach {where}; use socks4a:// or socks5://"
        )
    require_package()
