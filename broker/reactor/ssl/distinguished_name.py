"""A distinguished name: the owner of a certificate, or the authority that signed it."""

from __future__ import annotations

from typing import Self

from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ["DN", "DistinguishedName"]

NAMES = {
    "commonName": NameOID.COMMON_NAME,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "localityName": NameOID.LOCALITY_NAME,
    "stateOrProvinceName": NameOID.STATE_OR_PROVINCE_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
SHORT = {
    "CN": "commonName",
    "O": "organizationName",
    "OU": "organizationalUnitName",
    "L": "localityName",
    "ST": "stateOrProvinceName",
    "C": "countryName",
}


class DistinguishedName(dict[str, bytes]):
    """The fields of a name, as items and as attributes; the values are bytes (published).

    A field has a long name, such as ``commonName``, and some a short one, such as ``CN``.
    """

    def __init__(self, **kw: str | bytes):
        super().__init__()
        for name, value in kw.items():
            setattr(self, name, value)

    @classmethod
    def of(cls, name: x509.Name) -> Self:
        """Return the distinguished name of a name in a certificate."""
        known = {oid: long for long, oid in NAMES.items()}
        fields = {known[part.oid]: part.value for part in name if part.oid in known}
        return cls(**fields)

    def to_name(self) -> x509.Name:
        """Return the name for a certificate."""
        return x509.Name(
            [x509.NameAttribute(NAMES[long], value.decode()) for long, value in self.items()]
        )

    def inspect(self) -> str:
        """Return the fields for people to read, one per line (published)."""
        return "\n".join(f"{name}: {value.decode()}" for name, value in sorted(self.items()))

    def __setattr__(self, name: str, value: str | bytes) -> None:
        self[_long(name)] = value.encode() if isinstance(value, str) else value

    def __getattr__(self, name: str) -> bytes:
        try:
            return self[_long(name)]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return f"<DN {dict(self)!r}>"


DN = DistinguishedName


def _long(name: str) -> str:
    long = SHORT.get(name, name)
    if long not in NAMES:
        raise AttributeError(f"{name} is not a field of a DistinguishedName")
    return long
