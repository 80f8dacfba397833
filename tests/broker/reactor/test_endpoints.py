"""Endpoints, TLS options and certificates, on real sockets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL, crypto
from support.certificates import Authority, Pair

from broker.defer import succeed
from broker.net import sockets
from broker.reactor import Reactor, ssl
from broker.reactor.endpoints import (
    HostnameEndpoint,
    NoProtocol,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
    wrapClientTLS,
)
from broker.reactor.error import (
    CannotListenError,
    CertificateError,
    ConnectingCancelledError,
    ConnectionRefusedError,
)
from broker.reactor.protocol import ClientCreator, Factory, Protocol

Run = Callable[[], None]
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA, whose certificate is the only ``.pem`` file of its folder."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A server's certificate for localhost."""
    return authority.issue()


def loaded(pair: Pair) -> ssl.PrivateCertificate:
    """The certificate and its key as the published object."""
    pem = pair.certificate_path.read_bytes() + pair.key_path.read_bytes()
    return ssl.PrivateCertificate.loadPEM(pem)


class Asking(Protocol):
    """Says hello, keeps one answer, and reports the end."""

    def __init__(self, ended: Callable[[Any], object]):
        self.ended = ended
        self.answer = b""
        self.shown: Any = None

    def connectionMade(self) -> None:
        """Say hello."""
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        """Keep the answer, and close."""
        self.answer += data
        if self.transport.peer_certificate is not None:
            self.shown = ssl.Certificate.peerFromTransport(self.transport)
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Report the end."""
        self.ended(reason)


class Answering(Protocol):
    """Answers in capitals."""

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data.upper())


def ask(reactor: Reactor, run: Run, server: Any, client: Callable[[int], Any]) -> Asking:
    """Listen at one endpoint, connect to the other, ask; return the protocol at its end."""
    reasons: list[Any] = []
    asking = Asking(lambda reason: (reasons.append(reason), reactor.stop()))
    ports: list[Any] = []
    server.listen(Factory.forProtocol(Answering)).addCallback(ports.append)
    number = getattr(ports[0].getHost(), "port", 0)
    made: list[Any] = []
    connectProtocol(client(number), asking).addCallbacks(
        made.append, lambda failure: (reasons.append(failure), reactor.stop())
    )
    run()
    asking.reason = reasons[0].value  # type: ignore[attr-defined]
    assert made in ([asking], [])
    return asking


def test_tcp(reactor: Reactor, run: Run) -> None:
    """A protocol is connected from one description to another."""
    server = serverFromString(reactor, f"tcp:0:interface={HOST}")
    asking = ask(reactor, run, server, lambda port: clientFromString(reactor, f"tcp:{HOST}:{port}"))
    assert asking.answer == b"HELLO"


def test_unix(reactor: Reactor, run: Run, tmp_path: Path) -> None:
    """UNIX descriptions work, with a path that must be quoted."""
    path = quoteStringArgument(str(tmp_path / "so:cket"))
    server = serverFromString(reactor, f"unix:{path}:mode=600")
    asking = ask(
        reactor, run, server, lambda _: clientFromString(reactor, f"unix:{path}:lockfile=1")
    )
    assert asking.answer == b"HELLO"


def test_tls(reactor: Reactor, run: Run, authority: Authority, pair: Pair, tmp_path: Path) -> None:
    """ssl: and tls: descriptions use TLS, and the client verifies the server."""
    (tmp_path / "ca.pem").write_bytes(authority.ca_path.read_bytes())
    server = serverFromString(
        reactor,
        f"ssl:0:interface={HOST}:privateKey={pair.key_path}:certKey={pair.certificate_path}",
    )
    asking = ask(
        reactor,
        run,
        server,
        lambda port: clientFromString(reactor, f"tls:localhost:{port}:trustRoots={tmp_path}"),
    )
    assert asking.answer == b"HELLO"
    assert asking.shown == ssl.Certificate.loadPEM(pair.certificate_path.read_bytes())


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ("ssl:localhost:{port}:caCertsDir={folder}", None),
        ("ssl:127.0.0.1:{port}:caCertsDir={folder}", None),
        ("ssl:localhost:{port}:caCertsDir={folder}:hostname=example.org", "example.org"),
        ("ssl:localhost:{port}", "not signed by a trusted CA"),
        ("tls:example.org:1:trustRoots={folder}:endpoint=tcp\\:127.0.0.1\\:{port}", "example.org"),
        ("tls:localhost:1:trustRoots={folder}:endpoint=tcp\\:127.0.0.1\\:{port}", None),
    ],
)
def test_who_is_met(
    reactor: Reactor,
    run: Run,
    authority: Authority,
    pair: Pair,
    tmp_path: Path,
    description: str,
    problem: str | None,
) -> None:
    """A certificate must be for the host, or for the given name, and of a trusted CA."""
    (tmp_path / "ca.pem").write_bytes(authority.ca_path.read_bytes())
    server = serverFromString(
        reactor,
        f"ssl:0:interface={HOST}:privateKey={pair.key_path}:certKey={pair.certificate_path}",
    )
    asking = ask(
        reactor,
        run,
        server,
        lambda port: clientFromString(reactor, description.format(port=port, folder=tmp_path)),
    )
    assert asking.answer == (b"" if problem else b"HELLO")
    assert problem is None or problem in str(asking.reason)  # type: ignore[attr-defined]


@pytest.mark.parametrize("shows", [True, False])
def test_client_certificate(
    reactor: Reactor, run: Run, authority: Authority, pair: Pair, shows: bool
) -> None:
    """A server that trusts an authority for its clients accepts those with a certificate."""
    ca = ssl.Certificate.loadPEM(authority.ca_path.read_bytes())
    options = ssl.optionsForClientTLS(
        "localhost",
        trustRoot=ca,
        clientCertificate=loaded(authority.issue(["me"], client=True)) if shows else None,
    )
    context = loaded(pair).options(ca)
    server = TCP4ServerEndpoint(reactor, 0, interface=HOST)
    server.listen = lambda factory: maybe(  # type: ignore[method-assign]
        reactor.listenSSL(0, factory, context, interface=HOST)
    )
    asking = ask(
        reactor,
        run,
        server,
        lambda port: wrapClientTLS(options, HostnameEndpoint(reactor, "localhost", port)),
    )
    assert asking.answer == (b"HELLO" if shows else b"")


def maybe(port: Any) -> Any:
    """A Deferred that has the port."""
    return succeed(port)


def test_failing(reactor: Reactor, run: Run) -> None:
    """A connection that fails, gets no protocol or is cancelled reports why."""
    seen: list[Any] = []
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface=HOST)
    number = port.getHost().port
    taken = TCP4ServerEndpoint(reactor, number, interface=HOST)
    taken.listen(Factory.forProtocol(Protocol)).addErrback(lambda f: seen.append(f.type))

    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    def next_one(failure: Any) -> None:
        seen.append(failure.type)
        if len(seen) == 2:
            TCP4ClientEndpoint(reactor, HOST, number).connect(Refusing()).addErrback(next_one)
        elif len(seen) == 3:
            given_up = HostnameEndpoint(reactor, HOST, number).connect(
                Factory.forProtocol(Protocol)
            )
            given_up.addErrback(next_one)
            given_up.cancel()
        else:
            reactor.stop()

    TCP4ClientEndpoint(reactor, HOST, 1).connect(Factory.forProtocol(Protocol)).addErrback(next_one)
    run()
    assert seen == [CannotListenError, ConnectionRefusedError, NoProtocol, ConnectingCancelledError]


@pytest.mark.parametrize(("given", "used"), [(None, 0.25), (0.5, 0.5)])
@pytest.mark.parametrize("is_tls", [False, True])
def test_attempt_delay(
    reactor: Reactor,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    given: float | None,
    used: float,
    is_tls: bool,
) -> None:
    """A HostnameEndpoint tries the next address after `attemptDelay` seconds, TLS or not."""
    delays: list[float] = []

    async def refuse(resolved: Any, *, ends: float, local: Any, delay: float) -> None:
        delays.append(delay)
        raise OSError(111, "refused")

    monkeypatch.setattr(sockets, "connect_first", refuse)
    endpoint: Any = HostnameEndpoint(reactor, HOST, 1, attemptDelay=given)
    if is_tls:
        endpoint = wrapClientTLS(ssl.optionsForClientTLS(HOST), endpoint)
    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda f: reactor.stop())
    run()
    assert delays == [used]


def test_wrapping(reactor: Reactor) -> None:
    """TLS works over TCP endpoints only; others are refused."""
    with pytest.raises(TypeError, match="over a TCP endpoint"):
        wrapClientTLS(ssl.CertificateOptions(), UNIXClientEndpoint(reactor, "/a"))


def test_client_creator(reactor: Reactor, run: Run) -> None:
    """A ClientCreator connects single protocols, made with its arguments, or reports why not."""
    seen: list[Any] = []
    port = reactor.listenTCP(0, Factory.forProtocol(Answering), interface=HOST)
    creator = ClientCreator(reactor, Asking, lambda reason: reactor.stop())
    creator.connectTCP(HOST, port.getHost().port).addCallback(seen.append)
    creator.connectTCP(HOST, 1).addErrback(lambda f: seen.append(f.type))
    creator.connectUNIX("/no/such/socket").addErrback(lambda f: seen.append(f.type.__name__))
    dropped = creator.connectTCP(HOST, port.getHost().port)
    dropped.addErrback(lambda f: seen.append(f.type.__name__))
    dropped.cancel()
    run()
    assert {"CancelledError", "ConnectError", ConnectionRefusedError} <= set(seen)
    assert [one.answer for one in seen if isinstance(one, Asking)] == [b"HELLO"]


# Certificates and options, without a socket.


def test_keys_and_certificates() -> None:
    """A key signs its own certificate and a request for another; all can be read from PEM."""
    key = ssl.KeyPair.generate()
    own = key.selfSignedCert(7, CN="localhost", organizationName="us")
    assert own.serialNumber() == 7
    assert own.getSubject() == {"commonName": b"localhost", "organizationName": b"us"}
    assert own.getSubject() == own.getIssuer()
    assert own.getSubject().CN == b"localhost"
    again = ssl.PrivateCertificate.loadPEM(own.dumpPEM())
    assert again == own
    assert again.privateKey.matches(key)
    assert again.options().getContext() is not None
    other = ssl.KeyPair.load(ssl.KeyPair.generate().dump())
    assert not other.matches(key)
    data = other.certificateRequest(ssl.DN(CN="client"))
    signed = key.signCertificateRequest(own.getSubject(), data, lambda dn: dn.CN == b"client", 8)
    assert ssl.Certificate.load(signed).getIssuer() == own.getSubject()
    assert other.newCertificate(signed).serialNumber() == 8
    with pytest.raises(ValueError, match="not accepted"):
        key.signCertificateRequest(own.getSubject(), data, lambda dn: False, 9)
    with pytest.raises(ValueError, match="key is not"):
        key.newCertificate(signed)
    with pytest.raises(CertificateError):
        ssl.Certificate.peerFromTransport(object())
    with pytest.raises(AttributeError, match="colour"):
        ssl.DN(colour="red")
    assert "localhost" in own.inspect()
    assert own.digest("sha256").count(b":") == 31


def test_refused_options(pair: Pair) -> None:
    """Settings that contradict each other are refused at once."""
    key = loaded(pair).privateKey.original
    versions = ssl.TLSVersion
    for wrong, kw in [
        (ValueError, {"privateKey": key}),
        (ValueError, {"verify": True}),
        (ValueError, {"extraCertChain": [loaded(pair).original]}),
        (TypeError, {"verify": True, "caCerts": [], "trustRoot": ssl.platformTrust()}),
        (TypeError, {"trustRoot": "everybody"}),
        (TypeError, {"method": SSL.TLS_METHOD, "raiseMinimumTo": versions.TLSv1_3}),
        (ValueError, {"lowerMaximumSecurityTo": versions.TLSv1_1}),
    ]:
        with pytest.raises(wrong):
            ssl.CertificateOptions(**kw)
    with pytest.raises(TypeError, match="text for host names"):
        ssl.optionsForClientTLS(b"localhost")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="certificate"):
        ssl.trustRootFromCertificates([key])


def test_versions_and_protocols(pair: Pair, authority: Authority) -> None:
    """The bounds on versions hold, and both ends agree on a protocol, in memory."""
    ca = ssl.Certificate.loadPEM(authority.ca_path.read_bytes())
    served = loaded(pair)
    server = ssl.CertificateOptions(
        privateKey=served.privateKey.original,
        certificate=served.original,
        acceptableProtocols=[b"pb/2", b"pb/1"],
        lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_2,
    )
    for host, fits in [("localhost", True), ("example.org", False)]:
        options = ssl.optionsForClientTLS(host, trustRoot=ca, acceptableProtocols=[b"pb/1"])
        near, far = options.clientConnectionForTLS(None), server.serverConnectionForTLS(None)
        near.set_connect_state()
        far.set_accept_state()
        assert shaken(near, far) is fits
        if fits:
            assert near.get_alpn_proto_negotiated() == b"pb/1"
            assert near.get_protocol_version_name() == "TLSv1.2"
            assert far.get_servername() == b"localhost"
        alone = SSL.Connection(options.getContext(), None)
        alone.set_connect_state()
        other = server.serverConnectionForTLS(None)
        other.set_accept_state()
        assert shaken(alone, other) is fits


def shaken(near: SSL.Connection, far: SSL.Connection) -> bool:
    """Let two ends shake hands; tell whether both agreed."""
    done = set()
    for _ in range(8):
        for end, other in ((near, far), (far, near)):
            try:
                end.do_handshake()
                done.add(end)
            except SSL.WantReadError:
                pass
            except SSL.Error:
                return False
            with suppress(SSL.WantReadError):
                other.bio_write(end.bio_read(65536))
    return len(done) == 2 and isinstance(near.get_peer_certificate(), crypto.X509)
