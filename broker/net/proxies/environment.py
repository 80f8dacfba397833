"""Reads ``ALL_PROXY`` and ``NO_PROXY``, the environment variables of many programs."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import suppress

from broker.config_error import ConfigError
from broker.net.host_names import ascii_name

__all__ = ["ALL_PROXY", "url_from_environment"]

ALL_PROXY = "ALL_PROXY"
NO_PROXY = "NO_PROXY"

# A host, possibly in brackets, and a port. More than one colon outside brackets is an IPv6 address.
_WITH_PORT = re.compile(r"\[?([^\[\]]*)\]:(\d+)|([^:]*):(\d+)")


def url_from_environment(host: str, port: int) -> str | None:
    """Return the URL of the proxy for a server; None to connect without a proxy.

    ``ALL_PROXY`` is the URL. ``NO_PROXY`` lists the servers that need no proxy, separated by commas
    or spaces: ``*`` for all; a name, which stands for its subdomains too; an IP address; or a
    network such as ``10.0.0.0/8``. A port may follow each, as in ``broker.example:8787``. The
    names in lower case come first.

    Args:
        host: the host of the server, as it was written. It is not looked up, so networks are for
            numeric addresses only.
        port: its port.
    """
    url = _variable(ALL_PROXY)
    if not url:
        return None
    excluded = re.split(r"[\s,]+", _variable(NO_PROXY))
    return None if any(_matches(entry, host, port) for entry in excluded if entry) else url


def _variable(name: str) -> str:
    return (os.environ.get(name.lower()) or os.environ.get(name, "")).strip()


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    parts = _WITH_PORT.fullmatch(entry)
    if parts is not None:
        entry, its_port = (parts[1], parts[2]) if parts[2] else (parts[3], parts[4])
        if int(its_port) != port:
            return False
    with suppress(ValueError):
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        with suppress(ValueError):
            return ipaddress.ip_address(host.partition("%")[0]) in network
        return False
    name, own = _plain(entry.removeprefix("*").removeprefix(".")), _plain(host)
    return bool(name) and (own == name or own.endswith(f".{name}"))


def _plain(name: str) -> str:
    """Return a host name in a form that can be compared."""
    with suppress(ConfigError):
        name = ascii_name(name)
    return name.lower().removesuffix(".")
