"""Host names: their ASCII form, which is looked up, sent in TLS and put in certificates.

A name with letters beyond ASCII is mapped by Unicode Technical Standard 46 (lower case, full width,
dots), and each label is encoded by IDNA 2008. Python's own codec is IDNA 2003, which turns
``straße`` into ``strasse``: a different host, which may have another owner.
"""

from __future__ import annotations

import functools
import ipaddress
import re

from broker.config_error import ConfigError

__all__ = ["ascii_name", "is_numeric"]

# A label by RFC 1034; unlike host names, DNS names may have underscores.
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LONGEST = 253


def is_numeric(host: str) -> bool:
    """Return whether this is an IP address, possibly with a zone such as ``fe80::1%2``."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@functools.lru_cache(1024)
def ascii_name(host: str) -> str:
    """Return the ASCII form of a host name, such as ``xn--strae-oqa.example``.

    An IP address and a name in ASCII are returned unchanged; a dot at the end stays.

    Raises:
        ConfigError: it is not a host name; the text says which part is wrong.
    """
    if is_numeric(host):
        return host
    name = host if host.isascii() else _encoded(host)
    labels = name.removesuffix(".").split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ConfigError(f"{host!r} is not a host name: {_fault(label)}")
    if len(name.removesuffix(".")) > _LONGEST:
        raise ConfigError(f"{host!r} is not a host name: it is longer than {_LONGEST} bytes")
    return name


def _encoded(host: str) -> str:
    if len(host) > _LONGEST:
        # idna before 3.15 takes quadratic time for a name that is too long (CVE-2026-45409).
        raise ConfigError(f"a host name of {len(host)} characters is too long: {_LONGEST} at most")
    # Imported only when needed: its tables take time to load.
    import idna

    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode("ascii")
            for label in mapped.split(".")
        )
    except (idna.IDNAError, UnicodeError) as exc:
        raise ConfigError(
            f"host name {host!r} cannot be written in ASCII (IDNA 2008): {exc}"
        ) from exc


def _fault(label: str) -> str:
    if not label:
        return "there is nothing before, between or after its dots"
    if len(label) > 63:
        return "one of its parts is longer than 63 bytes"
    return "it may have letters, digits, '-' and '.' only"
