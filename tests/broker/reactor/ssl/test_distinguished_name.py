"""broker.reactor.ssl.distinguished_name: the fields of a name, long and short."""

from __future__ import annotations

import pytest
from twisted.internet import ssl

from broker.reactor.ssl.distinguished_name import DN, DistinguishedName


def test_long_and_short_names() -> None:
    """A field is the same by its short name, by its long one, and as an item; values are bytes."""
    name = DN(CN="example.org", organizationName=b"Acme")
    assert name.CN == name.commonName == name["commonName"] == b"example.org"
    name.O = "Acme & Sons"
    assert dict(name) == {"commonName": b"example.org", "organizationName": b"Acme & Sons"}
    assert name == ssl.DN(CN="example.org", organizationName="Acme & Sons")


def test_fields_that_are_none() -> None:
    """A field that was not given, and one that no name has, is an AttributeError."""
    with pytest.raises(AttributeError, match=r"^OU$"):
        _ = DN(CN="x").OU
    with pytest.raises(AttributeError, match="shoeSize is not a field"):
        DN(shoeSize="44")


def test_there_and_back() -> None:
    """A name in a certificate has the same fields, and people can read them in order."""
    name = DN(ST="Bern", CN="zoë", C="CH")
    again = DistinguishedName.of(name.to_name())
    assert again == name
    assert name.inspect() == "commonName: zoë\ncountryName: CH\nstateOrProvinceName: Bern"
    assert repr(DN(CN="x")) == "<DN {'commonName': b'x'}>"
