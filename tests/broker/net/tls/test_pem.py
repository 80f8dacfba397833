"""PEM: texts with certificates and keys, and the errors of other texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority, Pair

from broker.errors import ConfigError
from broker.net.tls.pem import called, read_certificates, read_private_key


def test_a_chain(authority: Authority, pair: Pair) -> None:
    """All certificates of a text are read, in their order."""
    pem = pair.certificate_path.read_bytes() + authority.ca_path.read_bytes()
    assert read_certificates(pem, "certificate") == [pair.certificate, authority.certificate]
    assert read_certificates(pair.certificate, "certificate") == [pair.certificate]


def test_a_key(pair: Pair) -> None:
    """A key is read from a path or a text, or given as it is."""
    for source in (pair.key_path, str(pair.key_path), pair.key_path.read_bytes(), pair.key):
        assert read_private_key(source).private_numbers() == pair.key.private_numbers()


def test_what_is_not_there(tmp_path: Path) -> None:
    """The error of a file that cannot be read names it, and its purpose."""
    with pytest.raises(ConfigError, match=r"^cannot read the CA certificate .*/no\.pem: No such"):
        read_certificates(tmp_path / "no.pem", "CA certificate")


def test_names() -> None:
    """A path is named by itself, any other source by its type."""
    assert called(Path("server.key"), "the key") == "server.key"
    assert called(b"secret", "the key") == "the key"
