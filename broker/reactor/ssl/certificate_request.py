"""A request for a certificate, signed with the key of that certificate."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import crypto

from broker.reactor.ssl.distinguished_name import DistinguishedName

__all__ = ["ENCODINGS", "CertificateRequest"]

ENCODINGS = {
    crypto.FILETYPE_ASN1: serialization.Encoding.DER,
    crypto.FILETYPE_PEM: serialization.Encoding.PEM,
}


class CertificateRequest:
    """A request for a certificate (published).

    Attributes:
        original: the object of cryptography.
    """

    def __init__(self, original: x509.CertificateSigningRequest):
        self.original = original

    @classmethod
    def load(
        cls, requestData: bytes, requestFormat: int = crypto.FILETYPE_ASN1
    ) -> CertificateRequest:
        """Return the request from the output of `dump` (published).

        Raises:
            ValueError: it is not a request, or not signed with its own key.
        """
        if requestFormat == crypto.FILETYPE_PEM:
            request = x509.load_pem_x509_csr(requestData)
        else:
            request = x509.load_der_x509_csr(requestData)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed with the key that it is for")
        return cls(request)

    def getSubject(self) -> DistinguishedName:
        """Return the name that the certificate will be for (published)."""
        return DistinguishedName.of(self.original.subject)

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """Return the request in DER or in PEM (published)."""
        return self.original.public_bytes(ENCODINGS[format])
