"""Certificates, keys and requests as published objects, based on pyOpenSSL and cryptography."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from OpenSSL import crypto

from broker.net.tls.issuing import unsigned
from broker.reactor.error import CertificateError
from broker.reactor.ssl.certificate_request import ENCODINGS, CertificateRequest
from broker.reactor.ssl.distinguished_name import DN, DistinguishedName
from broker.reactor.ssl.options import CertificateOptions, trustRootFromCertificates
from broker.reactor.ssl.public_key import PublicKey

__all__ = [
    "DN",
    "Certificate",
    "CertificateRequest",
    "DistinguishedName",
    "KeyPair",
    "PrivateCertificate",
    "PublicKey",
]

YEAR = 60 * 60 * 24 * 365


class KeyPair(PublicKey):
    """A private key, and its public key (published)."""

    @classmethod
    def load(cls, data: bytes, format: int = crypto.FILETYPE_ASN1) -> KeyPair:
        """Return the key from the output of `dump` (published)."""
        key: Any
        if format == crypto.FILETYPE_PEM:
            key = serialization.load_pem_private_key(data, None)
        else:
            key = serialization.load_der_private_key(data, None)
        return cls(crypto.PKey.from_cryptography_key(key))

    @classmethod
    def generate(cls, kind: int = crypto.TYPE_RSA, size: int = 2048) -> Self:
        """Return a new RSA or DSA key of `size` bits (published).

        Raises:
            ValueError: `kind` is not one of these.
        """
        if kind == crypto.TYPE_RSA:
            return cls(crypto.PKey.from_cryptography_key(rsa.generate_private_key(65537, size)))
        if kind == crypto.TYPE_DSA:
            return cls(crypto.PKey.from_cryptography_key(dsa.generate_private_key(size)))
        raise ValueError("a key is of crypto.TYPE_RSA or crypto.TYPE_DSA")

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """Return the private key, not encrypted, in DER or in PEM (published)."""
        key: Any = self.original.to_cryptography_key()
        data: bytes = key.private_bytes(
            ENCODINGS[format],
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        return data

    def inspect(self) -> str:
        """Return a description for people to read (published)."""
        return f"Key Pair with Hash: {self.keyHash()}"

    def requestObject(
        self, distinguishedName: DistinguishedName, digestAlgorithm: str = "sha256"
    ) -> CertificateRequest:
        """Return a request for a certificate of this key (published)."""
        builder = x509.CertificateSigningRequestBuilder(distinguishedName.to_name())
        return CertificateRequest(builder.sign(self._signer(), _digest(digestAlgorithm)))

    def certificateRequest(
        self,
        distinguishedName: DistinguishedName,
        format: int = crypto.FILETYPE_ASN1,
        digestAlgorithm: str = "sha256",
    ) -> bytes:
        """Return such a request in DER or in PEM (published)."""
        return self.requestObject(distinguishedName, digestAlgorithm).dump(format)

    def signRequestObject(
        self,
        issuerDistinguishedName: DistinguishedName,
        requestObject: CertificateRequest,
        serialNumber: int,
        secondsToExpiry: int = YEAR,
        digestAlgorithm: str = "sha256",
    ) -> Certificate:
        """Return the requested certificate, signed with this key (published).

        Its common name is also its alternative name, which clients check.
        """
        subject = requestObject.getSubject()
        now = datetime.datetime.now(datetime.UTC)
        builder = unsigned(
            subject.to_name(),
            issuerDistinguishedName.to_name(),
            requestObject.original.public_key(),
            now,
            now + datetime.timedelta(seconds=secondsToExpiry),
            serialNumber,
        )
        host = subject.get("commonName", b"").decode()
        if host and host.isascii():
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            builder = builder.add_extension(names, critical=False)
        return Certificate(
            crypto.X509.from_cryptography(builder.sign(self._signer(), _digest(digestAlgorithm)))
        )

    def signCertificateRequest(
        self,
        issuerDistinguishedName: DistinguishedName,
        requestData: bytes,
        verifyDNCallback: Callable[[DistinguishedName], bool],
        serialNumber: int,
        requestFormat: int = crypto.FILETYPE_ASN1,
        certificateFormat: int = crypto.FILETYPE_ASN1,
        secondsToExpiry: int = YEAR,
        digestAlgorithm: str = "sha256",
    ) -> bytes:
        """Return the certificate for a request, in DER or in PEM (published).

        Raises:
            ValueError: `verifyDNCallback` does not accept the requested name.
        """
        request = CertificateRequest.load(requestData, requestFormat)
        if not verifyDNCallback(request.getSubject()):
            raise ValueError("the name that the request asks for was not accepted")
        certificate = self.signRequestObject(
            issuerDistinguishedName, request, serialNumber, secondsToExpiry, digestAlgorithm
        )
        return certificate.dump(certificateFormat)

    def newCertificate(
        self, newCertData: bytes, format: int = crypto.FILETYPE_ASN1
    ) -> PrivateCertificate:
        """Return a certificate of this key together with this key (published)."""
        return PrivateCertificate.load(newCertData, self, format)

    def selfSignedCert(self, serialNumber: int, **kw: str | bytes) -> PrivateCertificate:
        """Return a certificate for the name `kw`, signed with its own key (published)."""
        name = DistinguishedName(**kw)
        certificate = self.signRequestObject(name, self.requestObject(name), serialNumber)
        return PrivateCertificate.fromCertificateAndKeyPair(certificate, self)

    def _signer(self) -> Any:
        return self.original.to_cryptography_key()


class Certificate:
    """A certificate, without a secret (published).

    Attributes:
        original: the object of pyOpenSSL.
    """

    def __init__(self, original: crypto.X509):
        self.original = original

    @classmethod
    def load(
        cls, requestData: bytes, format: int = crypto.FILETYPE_ASN1, args: tuple[object, ...] = ()
    ) -> Self:
        """Return the certificate in DER or in PEM (published).

        Raises:
            ValueError: it is not a certificate.
        """
        if format == crypto.FILETYPE_PEM:
            certificate = x509.load_pem_x509_certificate(requestData)
        else:
            certificate = x509.load_der_x509_certificate(requestData)
        return cls(crypto.X509.from_cryptography(certificate), *args)

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Return the certificate in PEM (published)."""
        return cls.load(data, crypto.FILETYPE_PEM)

    @classmethod
    def peerFromTransport(cls, transport: object) -> Self:
        """Return the certificate that the peer of a connection has sent (published).

        Raises:
            CertificateError: it has sent none, or none yet.
        """
        return cls(_certificate_of(transport, "getPeerCertificate"))

    @classmethod
    def hostFromTransport(cls, transport: object) -> Self:
        """Return the certificate that this end of a connection has sent (published).

        Raises:
            CertificateError: the transport does not provide it.
        """
        return cls(_certificate_of(transport, "getHostCertificate"))

    def dump(self, format: int = crypto.FILETYPE_ASN1) -> bytes:
        """Return the certificate in DER or in PEM (published)."""
        return self.original.to_cryptography().public_bytes(ENCODINGS[format])

    def dumpPEM(self) -> bytes:
        """Return the certificate in PEM (published)."""
        return self.dump(crypto.FILETYPE_PEM)

    def getSubject(self) -> DistinguishedName:
        """Return the name of its owner (published)."""
        return DistinguishedName.of(self.original.to_cryptography().subject)

    def getIssuer(self) -> DistinguishedName:
        """Return the name of the authority that signed it (published)."""
        return DistinguishedName.of(self.original.to_cryptography().issuer)

    def getPublicKey(self) -> PublicKey:
        """Return its public key (published)."""
        return PublicKey(self.original.get_pubkey())

    def serialNumber(self) -> int:
        """Return its serial number (published)."""
        return self.original.to_cryptography().serial_number

    def digest(self, method: str = "md5") -> bytes:
        """Return its digest, in pairs of hexadecimal digits with colons between (published)."""
        digest: bytes = self.original.digest(method)
        return digest

    def inspect(self) -> str:
        """Return a full description for people to read (published)."""
        return "\n".join(
            [
                "Certificate For Subject:",
                self.getSubject().inspect(),
                "",
                "Issuer:",
                self.getIssuer().inspect(),
                "",
                f"Serial Number: {self.serialNumber()}",
                f"Digest: {self.digest('sha256').decode()}",
                self.getPublicKey().inspect(),
            ]
        )

    def options(self, *authorities: Certificate) -> CertificateOptions:
        """Return a context factory for a client that trusts `authorities` (published).

        Raises:
            ValueError: `authorities` is empty.
        """
        if not authorities:
            raise ValueError("options needs certificates to trust")
        return CertificateOptions(trustRoot=trustRootFromCertificates(authorities))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.dump() == other.dump()

    def __hash__(self) -> int:
        return hash(self.dump())

    def __repr__(self) -> str:
        subject = self.getSubject().get("commonName", b"")
        issuer = self.getIssuer().get("commonName", b"")
        return f"<{type(self).__name__} Subject={subject.decode()} Issuer={issuer.decode()}>"


class PrivateCertificate(Certificate):
    """A certificate and its private key (published).

    Attributes:
        privateKey: a KeyPair.
    """

    privateKey: KeyPair

    @classmethod
    def load(  # type: ignore[override]
        cls, data: bytes, privateKey: KeyPair, format: int = crypto.FILETYPE_ASN1
    ) -> Self:
        """Return the certificate in DER or in PEM, with its key (published).

        Raises:
            ValueError: it is not a certificate, or the key does not belong to it.
        """
        return super().load(data, format)._with_key(privateKey)

    @classmethod
    def loadPEM(cls, data: bytes) -> Self:
        """Return the certificate and the key in one PEM text (published).

        Raises:
            ValueError: one of them is missing, or the key does not belong to the certificate.
        """
        return cls.load(data, KeyPair.load(data, crypto.FILETYPE_PEM), crypto.FILETYPE_PEM)

    @classmethod
    def fromCertificateAndKeyPair(
        cls, certificateInstance: Certificate, privateKey: KeyPair
    ) -> Self:
        """Return the two as one object (published).

        Raises:
            ValueError: the key does not belong to the certificate.
        """
        return cls(certificateInstance.original)._with_key(privateKey)

    def dumpPEM(self) -> bytes:
        """Return certificate and key in one PEM text: a secret (published)."""
        return self.dump(crypto.FILETYPE_PEM) + self.privateKey.dump(crypto.FILETYPE_PEM)

    def options(self, *authorities: Certificate) -> CertificateOptions:
        """Return a context factory that sends this certificate (published).

        With `authorities` the peer must have a certificate that they have signed.
        """
        return CertificateOptions(
            privateKey=self.privateKey.original,
            certificate=self.original,
            trustRoot=trustRootFromCertificates(authorities) if authorities else None,
        )

    def signRequestObject(
        self,
        certificateRequest: CertificateRequest,
        serialNumber: int,
        secondsToExpiry: int = YEAR,
        digestAlgorithm: str = "sha256",
    ) -> Certificate:
        """Return the requested certificate, signed by this certificate (published)."""
        return self.privateKey.signRequestObject(
            self.getSubject(), certificateRequest, serialNumber, secondsToExpiry, digestAlgorithm
        )

    def certificateRequest(
        self, format: int = crypto.FILETYPE_ASN1, digestAlgorithm: str = "sha256"
    ) -> bytes:
        """Return a request for a certificate of the same name and key (published)."""
        return self.privateKey.certificateRequest(self.getSubject(), format, digestAlgorithm)

    def newCertificate(
        self, newCertData: bytes, format: int = crypto.FILETYPE_ASN1
    ) -> PrivateCertificate:
        """Return another certificate of the same key (published).

        Raises:
            ValueError: it is not a certificate, or the key does not belong to it.
        """
        return self.privateKey.newCertificate(newCertData, format)

    def signCertificateRequest(
        self,
        requestData: bytes,
        verifyDNCallback: Callable[[DistinguishedName], bool],
        serialNumber: int,
        requestFormat: int = crypto.FILETYPE_ASN1,
        certificateFormat: int = crypto.FILETYPE_ASN1,
    ) -> bytes:
        """Return the certificate for a request, signed by this certificate (published).

        Raises:
            ValueError: `verifyDNCallback` does not accept the requested name.
        """
        return self.privateKey.signCertificateRequest(
            self.getSubject(),
            requestData,
            verifyDNCallback,
            serialNumber,
            requestFormat,
            certificateFormat,
        )

    def _with_key(self, key: KeyPair) -> Self:
        if not key.matches(self.getPublicKey()):
            raise ValueError("the key is not that of the certificate")
        self.privateKey = key
        return self


def _certificate_of(transport: object, method: str) -> crypto.X509:
    # Which of these published methods a transport has depends on the transport.
    ask = getattr(transport, method, None)
    certificate = ask() if ask is not None else None
    if not isinstance(certificate, crypto.X509):
        raise CertificateError
    return certificate


def _digest(name: str) -> Any:
    return getattr(hashes, name.upper())()
