"""TLS settings: the accepted values, and the errors of others."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from support.certificates import Authority

from broker.errors import ConfigError
from broker.net.tls.settings import TLS
from broker.net.tls.verify import pin_of


def shake_hands(client: TLS, server: TLS) -> bool:
    """Join the two in memory; return whether they accept each other."""
    ours, theirs = client.filter("localhost"), server.filter()
    for _ in range(3):
        theirs.receive(ours.data_to_send())
        ours.receive(theirs.data_to_send())
    return ours.is_open and theirs.is_open


def test_every_kind_of_source(authority: Authority, pair) -> None:
    """Paths, str or Path, PEM bytes and objects are all accepted."""
    pem, key = pair.certificate_path.read_bytes(), pair.key_path.read_bytes()
    for server in (
        TLS.server(pair.certificate_path, pair.key_path),
        TLS.server(str(pair.certificate_path), str(pair.key_path)),
        TLS.server(pem, key),
        TLS.server(pair.certificate, pair.key),
    ):
        for ca in (authority.ca_path, authority.ca_path.read_bytes(), authority.certificate):
            assert shake_hands(TLS.client(ca=ca), server)


@pytest.mark.parametrize("optional", [True, False])
def test_tickets_and_client_certificates(authority: Authority, pair, optional: bool) -> None:
    """A resumed connection has no verified client certificate, so a server has one of the two."""
    with pytest.raises(ConfigError) as caught:
        TLS.server(
            pair.certificate_path,
            pair.key_path,
            client_ca=authority.ca_path,
            client_optional=optional,
            tickets=True,
        )
    assert str(caught.value) == (
        "give client_ca= or tickets=, not both: a client that resumes a session does not show its"
        " certificate again"
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_every_kind_of_pin(server_tls: TLS, pair, as_text: bool) -> None:
    """A pin is 32 bytes, or hexadecimal with or without colons."""
    pin = pin_of(pair.certificate)
    shown = pin.hex(":").upper() if as_text else pin
    assert shake_hands(TLS.client(pin=shown), server_tls)


def test_settings_are_frozen(server_tls: TLS) -> None:
    """Settings cannot change under a connection."""
    with pytest.raises(AttributeError):
        server_tls.pin = b""  # type: ignore[misc]


@pytest.mark.row("D-ciphers")
def test_ciphers(server_tls: TLS) -> None:
    """Exactly the nine suites of ECDHE with AES-GCM or ChaCha20 are offered."""
    assert sorted(server_tls.filter()._connection.get_cipher_list()) == [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ]


def test_missing_file(pair, tmp_path) -> None:
    """The error of a missing file names it, and the fix."""
    missing = tmp_path / "no.pem"
    with pytest.raises(ConfigError) as caught:
        TLS.server(missing, pair.key_path)
    assert str(caught.value) == (
        f"cannot read the certificate {missing}: No such file or directory;"
        " give the path of a PEM file"
    )
    with pytest.raises(ConfigError, match="cannot read the key"):
        TLS.server(pair.certificate_path, missing)
    with pytest.raises(ConfigError, match="cannot read the CA certificate"):
        TLS.client(ca=missing)


def test_files_of_another_kind(pair, tmp_path) -> None:
    """The error of a file with other content names it."""
    other = tmp_path / "other.txt"
    other.write_text("hello")
    with pytest.raises(ConfigError, match=r"other\.txt holds no certificate in PEM form"):
        TLS.server(other, pair.key_path)
    with pytest.raises(ConfigError, match=r"other\.txt holds no private key in PEM form"):
        TLS.server(pair.certificate_path, other)
    with pytest.raises(ConfigError, match="the key holds no private key"):
        TLS.server(pair.certificate_path, b"hello")


def test_encrypted_key(pair, tmp_path) -> None:
    """An encrypted key is refused with the command that decrypts it."""
    path = tmp_path / "secret.key"
    path.write_bytes(
        pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    with pytest.raises(ConfigError, match=r"secret\.key is encrypted: .* openssl pkey"):
        TLS.server(pair.certificate_path, path)


def test_key_of_another_certificate(authority: Authority, pair) -> None:
    """A key that does not belong to the certificate is refused, with both files named."""
    other = authority.issue()
    with pytest.raises(ConfigError) as caught:
        TLS.server(pair.certificate_path, other.key_path)
    assert str(caught.value).startswith(f"{other.key_path} is not the key of")
    assert str(pair.certificate_path) in str(caught.value)
    with pytest.raises(ConfigError, match="is not the key of"):
        TLS.server(pair.certificate_path, object())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ca": b"", "pin": bytes(32)}, "give ca= or pin=, not both"),
        ({"certificate": b""}, "needs both certificate= and key="),
        ({"key": b""}, "needs both certificate= and key="),
        ({"pin": "xyz"}, "pin= is not hexadecimal"),
        ({"pin": "00"}, "pin= must be the SHA-256 of a public key"),
        ({"pin": bytes(20)}, "pin= must be the SHA-256 of a public key"),
    ],
)
def test_contradictions(settings, text: str) -> None:
    """Settings that contradict each other or are incomplete are refused."""
    with pytest.raises(ConfigError, match=text):
        TLS.client(**settings)


def test_the_other_ends_settings(server_tls: TLS, client_tls: TLS) -> None:
    """A server cannot use a client's settings, nor a client a server's."""
    with pytest.raises(ConfigError, match=r"a server needs TLS\.server"):
        client_tls.filter_maker(is_server=True)
    with pytest.raises(ConfigError, match=r"a client needs TLS\.client"):
        server_tls.filter_maker(is_server=False)


def test_a_client_must_know_the_host(client_tls: TLS) -> None:
    """Without a host name a client has nothing to verify, except with a pin."""
    with pytest.raises(ConfigError, match="must know the host name"):
        client_tls.filter()
    with pytest.raises(ConfigError, match="cannot be written in ASCII"):
        client_tls.filter("ü" * 80 + ".example")
    assert TLS.client(pin=bytes(32)).filter().data_to_send()


def test_international_host(client_tls: TLS) -> None:
    """A host name in other letters is asked for in ASCII."""
    assert b"xn--bcher-kva.example" in client_tls.filter("bücher.example").data_to_send()


def test_numeric_host_is_not_asked_for(client_tls: TLS) -> None:
    """The name extension is for names: an address is not sent, a name is."""
    assert b"127.0.0.1" not in client_tls.filter("127.0.0.1").data_to_send()
    assert b"localhost" in client_tls.filter("localhost").data_to_send()
    assert b"localhost." not in client_tls.filter("localhost.").data_to_send()
