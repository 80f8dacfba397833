"""``pb cert``: what it writes, and what it refuses."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from broker.cluster.nodes import is_of_a_node
from broker.commands.cert import cert
from broker.net.tls.settings import TLS
from cred.certificates import fingerprint_of


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Run ``pb cert`` for the files of a folder; return its status and all that it prints."""

    def run_it(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cert, [*arguments, "--dir", str(tmp_path)])
        return result.exit_code, result.output.replace(f"{tmp_path}/", "")

    return run_it


def certificate(path: Path) -> x509.Certificate:
    """Read a certificate."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def days_of(path: Path) -> int:
    """Return for how many days from now a certificate is valid, rounded."""
    left = certificate(path).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return round(left / datetime.timedelta(days=1))


def test_all_three(run: Any, tmp_path: Path) -> None:
    """An authority signs for a server and a client, and both are usable for TLS."""
    status, printed = run("ca", "--name", "Acme")
    assert (status, printed.splitlines()[0].rpartition(" ")[0]) == (
        0,
        "wrote ca.pem and ca.key, valid until",
    )
    assert run("server", "localhost", "127.0.0.1")[0] == 0
    status, printed = run("client", "alice@example.com")
    shown = fingerprint_of(certificate(tmp_path / "alice@example.com.pem"))
    assert (status, printed.splitlines()[1]) == (0, f"the fingerprint of its key is {shown}")
    TLS.server(tmp_path / "server.pem", tmp_path / "server.key", client_ca=tmp_path / "ca.pem")
    TLS.client(
        ca=tmp_path / "ca.pem",
        certificate=tmp_path / "alice@example.com.pem",
        key=tmp_path / "alice@example.com.key",
    )
    for name in ("server.pem", "alice@example.com.pem"):
        certificate(tmp_path / name).verify_directly_issued_by(certificate(tmp_path / "ca.pem"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode != 0o644} == {
        name for name, mode in modes.items() if mode == 0o600
    } == {"ca.key", "server.key", "alice@example.com.key"}  # fmt: skip


def test_a_node(run: Any, tmp_path: Path) -> None:
    """A node's certificate is for a server and for a client, with its names; others are not."""
    run("ca")
    assert run("node", "localhost", "127.0.0.1")[0] == 0
    run("server", "localhost")
    files = tmp_path / "node.pem", tmp_path / "node.key"
    TLS.server(*files, client_ca=tmp_path / "ca.pem")
    TLS.client(ca=tmp_path / "ca.pem", certificate=files[0], key=files[1])
    made = certificate(files[0])
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert (is_of_a_node(made), is_of_a_node(certificate(tmp_path / "server.pem"))) == (True, False)
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    status, printed = run("node", "spiffe://a/b", "--out", "other")
    assert (status, "is not a host name" in printed) == (2, True), printed


def test_lifetimes(run: Any, tmp_path: Path) -> None:
    """An authority lasts ten years, a server's certificate 397 days, or as many as asked."""
    run("ca")
    run("server", "localhost")
    run("server", "localhost", "--out", "short", "--days", "7")
    assert [days_of(tmp_path / f"{name}.pem") for name in ("ca", "server", "short")] == [
        3650,
        397,
        7,
    ]
    assert run("server", "localhost", "--days", "398")[0] == 2


def test_a_name_that_is_no_file_name(run: Any, tmp_path: Path) -> None:
    """A URI's slashes and colons do not reach the file system; --out gives another name."""
    run("ca")
    assert run("client", "spiffe://acme/alice")[0] == 0
    assert run("client", "spiffe://acme/bob", "--out", "bob")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("*.key")) == [
        "bob.key",
        "ca.key",
        "spiffe___acme_alice.key",
    ]


def test_nothing_is_overwritten(run: Any, tmp_path: Path) -> None:
    """What is there stays, unless --force says otherwise."""
    run("ca")
    before = (tmp_path / "ca.key").read_bytes()
    assert run("ca") == (2, "pb cert: ca.key exists already; --force replaces it\n")
    assert (tmp_path / "ca.key").read_bytes() == before
    assert run("ca", "--force")[0] == 0
    assert (tmp_path / "ca.key").read_bytes() != before


def test_no_authority(run: Any) -> None:
    """Without an authority nothing is signed, and the command says how to make one."""
    assert run("server", "localhost") == (
        2,
        "pb cert: there is no ca.pem: make an authority first, with  pb cert ca\n",
    )


def test_the_key_of_another_authority(run: Any, tmp_path: Path) -> None:
    """Certificate and key of an authority must belong together."""
    run("ca")
    other = (tmp_path / "ca.key").read_bytes()
    run("ca", "--force")
    (tmp_path / "ca.key").write_bytes(other)
    assert run("client", "alice") == (2, "pb cert: ca.key is not the key of ca.pem\n")


@pytest.mark.parametrize(
    "arguments, error",
    [
        (("server", "alice@example.com"), "'alice@example.com' is not a host name or an address"),
        (("client", " alice"), "' alice' is not a name: it is empty, or has spaces around it"),
    ],
)
def test_wrong_names(run: Any, arguments: tuple[str, ...], error: str) -> None:
    """A name of the wrong kind is refused."""
    run("ca")
    assert run(*arguments) == (2, f"pb cert: {error}\n")
