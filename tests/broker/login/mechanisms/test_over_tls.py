"""Logins over real sockets and real TLS, with certificates of the openssl command's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL
from support.openssl_ca import Authority, Files
from support.ways_in import ScramUsers, tokens

import broker
import cred
from broker.core.policy import STRICT
from cred.certificates import CertificateChecker

ALICE = cred.UsernamePassword("alice", "secret")
DIALECTS = [("msgpack/1",), ("pb",)]


class Desk(broker.Avatar):
    """Knows who is calling."""

    def perspective_caller(self) -> list[Any]:
        """Return what is known of them."""
        peer = broker.current_call().peer
        shown = None if peer.certificate is None else peer.certificate.serial_number
        return [peer.avatar_id, peer.mechanism, peer.address.host, shown]


class Office:
    """A server with a CA for its clients, another for itself, and a checker of each kind.

    Attributes:
        clients: the CA of the clients.
    """

    def __init__(self, folder: Path):
        self.clients = Authority(folder, "clients")
        servers = Authority(folder, "servers")
        self._ca = servers.ca
        self._files = servers.issue("IP:127.0.0.1", usage="serverAuth")
        checkers = [
            CertificateChecker(by="email"),
            ScramUsers(alice="secret"),
            tokens(good=cred.Identity("bob")),
        ]
        self._portal = cred.Portal(broker.realm(lambda avatar_id, mind: Desk()), checkers)

    def serve(self, *, optional: bool = True) -> broker.Serve:
        """Serve, and ask for certificates."""
        certificate, key = self._files.certificate, self._files.key
        tls = broker.TLS.server(
            certificate, key, client_ca=self.clients.ca, client_optional=optional
        )
        return broker.serve(self._portal, "pbs://127.0.0.1:0", tls=tls)

    def tls(self, files: Files | None = None) -> broker.TLS:
        """Return what a client needs, with a certificate if it has one."""
        if files is None:
            return broker.TLS.client(ca=self._ca)
        return broker.TLS.client(ca=self._ca, certificate=files.certificate, key=files.key)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """The office; its certificates are made once."""
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def alice(office: Office) -> Files:
    """A client's certificate and key."""
    return office.clients.issue("email:alice@example.org", common_name="mallory")


@pytest.mark.parametrize("dialects", DIALECTS)
async def test_who_is_calling(office: Office, alice: Files, dialects: tuple[str, ...]) -> None:
    """A method knows its caller's name, way in, address, and certificate if one was shown."""
    serial = x509.load_pem_x509_certificate(alice.certificate.read_bytes()).serial_number
    expected = [
        (cred.ClientCertificate(), alice, ["alice@example.org", "certificate", serial]),
        (ALICE, None, ["alice", "SCRAM-SHA-256-PLUS", None]),
        (cred.Token("good"), None, ["bob", "token", None]),
        (ALICE, alice, ["alice", "SCRAM-SHA-256-PLUS", serial]),
    ]

    policy = STRICT.but(dialects=dialects)
    async with office.serve() as server:
        for credentials, files, (name, mechanism, shown) in expected:
            async with broker.connect(
                server.addresses[0], credentials, tls=office.tls(files), policy=policy
            ) as connection:
                assert connection.peer.mechanism == mechanism
                answer = await connection.avatar.callRemote("caller")
                assert answer == [name, mechanism, "127.0.0.1", shown]


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("stranger", "unknown ca"),
        ("server", "unsupported certificate"),
        ("expired", "certificate expired"),
    ],
)
async def test_certificates_that_let_nobody_in(
    office: Office, tmp_path: Path, how: str, told: str, optional: bool
) -> None:
    """Of another CA, for servers only, or too old: the client hears of it in connect."""
    ca = Authority(tmp_path, "strangers") if how == "stranger" else office.clients
    usage = "serverAuth" if how == "server" else "clientAuth"
    bad = ca.issue("email:alice@example.org", usage=usage, days=-1 if how == "expired" else 30)

    async with office.serve(optional=optional) as server:
        with pytest.raises(broker.TLSError) as caught:
            await broker.connect(server.addresses[0], cred.ClientCertificate(), tls=office.tls(bad))
        assert str(caught.value) == f"server refused the connection (TLS alert: {told})"


async def test_without_a_certificate(office: Office) -> None:
    """Who wants to be known by a certificate and has shown none is told what it takes."""
    async with office.serve() as server:
        with pytest.raises(cred.LoginFailed, match=r"takes: SCRAM.*; you gave a client cert"):
            await broker.connect(server.addresses[0], cred.ClientCertificate(), tls=office.tls())
    async with office.serve(optional=False) as server:
        with pytest.raises(broker.TLSError, match="server requires a client certificate"):
            await broker.connect(server.addresses[0], ALICE, tls=office.tls())


async def test_tls_12_has_nothing_to_bind_to(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There SCRAM is done without binding; a client that insists on it does not log in."""
    limit = SSL.Context.set_min_proto_version

    def only_12(context: SSL.Context, version: int) -> None:
        limit(context, version)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)

    with monkeypatch.context() as patched:
        patched.setattr(SSL.Context, "set_min_proto_version", only_12)
        tls = office.tls()

    async with office.serve() as server:
        address = server.addresses[0]
        async with broker.connect(address, ALICE, tls=tls) as connection:
            assert connection.peer.mechanism == "SCRAM-SHA-256"
        with pytest.raises(cred.LoginFailed, match="for SCRAM-SHA-256-PLUS only"):
            await broker.connect(address, cred.Scram("alice", "secret", bound=True), tls=tls)
