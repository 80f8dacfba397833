"""Checks whether a certificate is for a host (RFC 9525), by subject alternative names only."""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.printable import printable

__all__ = ["describe", "is_for_host"]

_Names = tuple[list[str], list[ipaddress.IPv4Address | ipaddress.IPv6Address]]


def is_for_host(certificate: x509.Certificate, host: str) -> bool:
    """Return whether an alternative name of the certificate is ``host``.

    A numeric address must be named as an address. ``*`` stands for one whole leftmost label, and
    only above a domain of at least two labels. The common name never counts.
    """
    names, addresses = _alternative_names(certificate)
    try:
        return ipaddress.ip_address(host.partition("%")[0]) in addresses
    except ValueError:
        wanted = _labels(host)
        return any(_matches(_labels(name), wanted) for name in names)


def describe(certificate: x509.Certificate, most: int = 3) -> str:
    """Return the names that a certificate is for, safe to log: up to ``most`` names."""
    names, addresses = _alternative_names(certificate)
    found = [*names, *map(str, addresses)] or _common_names(certificate)
    shown = ", ".join(_short(printable(name, 100)) for name in found[:most])
    return (f"{shown}, …" if len(found) > most > 1 else shown) or "nobody"


def _matches(pattern: list[str], wanted: list[str]) -> bool:
    if pattern[0] == "*" and len(pattern) > 2:
        return len(wanted) == len(pattern) and wanted[0] != "" and wanted[1:] == pattern[1:]
    return pattern == wanted


def _labels(name: str) -> list[str]:
    return name.lower().removesuffix(".").split(".")


def _alternative_names(certificate: x509.Certificate) -> _Names:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        # Names that cannot be read do not count.
        return [], []
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return extension.value.get_values_for_type(x509.DNSName), [
        address
        for address in addresses
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]


def _common_names(certificate: x509.Certificate) -> list[str]:
    try:
        attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return []
    return [str(attribute.value) for attribute in attributes]


def _short(name: str) -> str:
    return name if len(name) <= 64 else name[:63] + "…"
