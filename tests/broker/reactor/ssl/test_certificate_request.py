"""broker.reactor.ssl.certificate_request: a request, in both formats, and one that was changed."""

from __future__ import annotations

import pytest
from OpenSSL import crypto

from broker.reactor.ssl.certificate_request import CertificateRequest
from broker.reactor.ssl.certificates import DN, KeyPair


@pytest.mark.parametrize("format", [crypto.FILETYPE_ASN1, crypto.FILETYPE_PEM])
def test_there_and_back(format: int) -> None:
    """A request that was written has the same name and bytes when it is read."""
    made = KeyPair.generate().requestObject(DN(CN="example.org"))
    data = made.dump(format)
    read = CertificateRequest.load(data, format)
    assert read.getSubject() == DN(CN="example.org")
    assert read.dump(format) == data


def test_another_signature() -> None:
    """A request whose signature is not that of its key is refused."""
    data = bytearray(KeyPair.generate().requestObject(DN(CN="example.org")).dump())
    data[-1] ^= 1
    with pytest.raises(ValueError, match="not signed with the key"):
        CertificateRequest.load(bytes(data))
