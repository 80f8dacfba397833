"""What both ends of a run prove with who they are: certificates, and a token with its key."""

from __future__ import annotations

import datetime
import ipaddress
import json
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import OKPKey

__all__ = ["AUDIENCE", "ISSUER", "write_identities"]

ISSUER, AUDIENCE = "https://issuer.example", "bench"


def write_identities(folder: Path) -> None:
    """Write what the ways of logging in need.

    ``server.pem`` and ``server.key``: RSA-2048, for 127.0.0.1, its own authority; ``client.pem``
    and ``client.key``: RSA-2048, signed by that; ``keys.json`` and ``token.txt``: a JSON Web Key
    Set with an Ed25519 key, and alice's token, which is signed with it.
    """
    server = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([host, x509.DNSName("localhost")])
    authority = (
        _begun("localhost", server)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .issuer_name(_name("localhost"))
        .sign(server, hashes.SHA256())
    )
    _write(folder, "server", authority, server)
    client = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = _begun("alice", client).issuer_name(authority.subject).sign(server, hashes.SHA256())
    _write(folder, "client", signed, client)
    _write_token(folder)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _begun(common: str, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _write(folder: Path, name: str, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def _write_token(folder: Path) -> None:
    key = OKPKey.generate_key("Ed25519", {"kid": "bench"})
    keys = {"keys": [key.as_dict(private=False)]}
    (folder / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    claims = {"sub": "alice", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
    header = {"alg": "Ed25519", "kid": "bench"}
    token = jwt.encode(header, claims, key, algorithms=["Ed25519"])
    (folder / "token.txt").write_text(token, encoding="ascii")
