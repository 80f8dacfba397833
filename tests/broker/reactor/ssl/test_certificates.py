"""Certificates that sign others, compared with Twisted's and read by Twisted."""

from __future__ import annotations

import pytest
import twisted.internet.ssl
from OpenSSL import crypto

from broker.reactor.ssl.certificates import (
    DN,
    Certificate,
    CertificateRequest,
    KeyPair,
    PrivateCertificate,
)

FORMATS = [crypto.FILETYPE_ASN1, crypto.FILETYPE_PEM]


@pytest.fixture(scope="module")
def authority() -> PrivateCertificate:
    """A certificate that signs others."""
    return KeyPair.generate().selfSignedCert(1, CN="the authority")


@pytest.fixture(scope="module")
def server() -> PrivateCertificate:
    """A certificate that another one will sign."""
    return KeyPair.generate().selfSignedCert(2, CN="server.example")


@pytest.mark.parametrize("format", FORMATS)
def test_a_request_for_the_same_name_and_key(server: PrivateCertificate, format: int) -> None:
    """A certificate asks for another of its own name and key, which Twisted can read."""
    data = server.certificateRequest(format)
    request = CertificateRequest.load(data, format)
    assert request.getSubject() == server.getSubject()
    theirs = twisted.internet.ssl.CertificateRequest.load(data, format)
    assert theirs.getSubject().commonName == b"server.example"


@pytest.mark.parametrize("format", FORMATS)
def test_a_request_is_signed(
    authority: PrivateCertificate, server: PrivateCertificate, format: int
) -> None:
    """An authority signs a request in its own name, and its key is added to the result."""
    asked: list[DN] = []

    def accept(name: DN) -> bool:
        asked.append(name)
        return True

    data = authority.signCertificateRequest(
        server.certificateRequest(format), accept, 77, format, format
    )
    signed = server.newCertificate(data, format)
    assert asked == [server.getSubject()]
    assert type(signed) is PrivateCertificate
    assert signed.privateKey is server.privateKey
    assert (signed.getSubject(), signed.serialNumber()) == (server.getSubject(), 77)
    assert signed.getIssuer() == authority.getSubject()
    signed.original.to_cryptography().verify_directly_issued_by(
        authority.original.to_cryptography()
    )


def test_what_is_not_accepted(authority: PrivateCertificate, server: PrivateCertificate) -> None:
    """A name that is not accepted is not signed; a certificate of another key is refused."""
    with pytest.raises(ValueError, match="was not accepted"):
        authority.signCertificateRequest(server.certificateRequest(), lambda name: False, 1)
    with pytest.raises(ValueError, match="the key is not that of the certificate"):
        server.newCertificate(authority.dump())
    assert Certificate.load(authority.dump()) == authority
