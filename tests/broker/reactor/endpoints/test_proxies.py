"""Endpoints through proxies: a real proxy, in the published face, with TLS and by descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.proxies import free_port, pproxy

from broker import pb
from broker.errors import ConfigError, ConnectError, ConnectionRefusedError
from broker.failure import Failure
from broker.reactor import Reactor
from broker.reactor.endpoints import (
    SOCKS4,
    SOCKS5,
    HostnameEndpoint,
    HTTPConnect,
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
)
from broker.reactor.protocol import Protocol

Run = Callable[[], None]


@pytest.fixture(scope="module")
def proxy() -> Iterator[int]:
    """A real proxy without a login."""
    with pproxy() as port:
        yield port


@pytest.fixture(scope="module")
def guarded() -> Iterator[int]:
    """A real proxy that asks for a login."""
    with pproxy("me:secret") as port:
        yield port


class Echo(pb.Root):
    """What is served."""

    def remote_echo(self, text: str) -> str:
        """Return it."""
        return text


def outcome(reactor: Reactor, run: Run, client: Callable[[int], Any], server: str = "") -> Any:
    """Serve, call through the endpoint of a client, and return the answer or the error."""
    ports: list[Any] = []
    endpoint = serverFromString(reactor, server or "tcp:0:interface=127.0.0.1")
    endpoint.listen(pb.PBServerFactory(Echo())).addCallback(ports.append)
    factory = pb.PBClientFactory()
    outcomes: list[Any] = []

    def ended(result: Any) -> None:
        outcomes.append(getattr(result, "value", result))
        factory.disconnect()
        reactor.stop()

    made = client(ports[0].getHost().port).connect(factory)
    made.addCallback(lambda _: factory.getRootObject())
    made.addCallback(lambda root: root.callRemote("echo", "hello"))
    made.addBoth(ended)
    run()
    return outcomes[0]


@pytest.mark.parametrize("kind", [HTTPConnect, SOCKS5, SOCKS4])
@pytest.mark.parametrize("below", [TCP4ClientEndpoint, HostnameEndpoint])
def test_wrapped(reactor: Reactor, run: Run, proxy: int, kind: Any, below: Any) -> None:
    """A PB client factory gets its connection through the proxy of another endpoint."""
    to_proxy = below(reactor, "127.0.0.1", proxy)
    assert outcome(reactor, run, lambda port: kind(to_proxy, "127.0.0.1", port)) == "hello"


@pytest.mark.parametrize("kind", ["http", "socks5", "socks4"])
def test_described(reactor: Reactor, run: Run, proxy: int, kind: str) -> None:
    """So it does by a description."""
    text = f"{kind}:127.0.0.1:{{}}:endpoint=tcp\\:127.0.0.1\\:{proxy}"
    assert outcome(reactor, run, lambda port: clientFromString(reactor, text.format(port))) == (
        "hello"
    )


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize(("name", "is_right"), [("localhost", True), ("other.example", False)])
def test_tls(
    reactor: Reactor, run: Run, proxy: int, kind: str, name: str, is_right: bool, tmp_path: Path
) -> None:
    """TLS goes over it, and the certificate must be for the server's name."""
    authority = Authority(tmp_path)
    pair = authority.issue(("localhost",))
    server = f"ssl:0:interface=127.0.0.1:privateKey={pair.key_path}:certKey={pair.certificate_path}"
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "ca.pem").write_bytes(authority.ca_path.read_bytes())

    def client(port: int) -> Any:
        below = f"{kind}\\:localhost\\:{port}\\:endpoint=tcp\\\\\\:127.0.0.1\\\\\\:{proxy}"
        return clientFromString(
            reactor, f"tls:{name}:{port}:trustRoots={tmp_path}/trusted:endpoint={below}"
        )

    if is_right:
        assert outcome(reactor, run, client, server) == "hello"
        return

    class Waiting(Protocol):
        """Keeps the reason of the end."""

        def connectionLost(self, reason: Failure = None) -> None:
            reasons.append(reason.value)
            reactor.stop()

    reasons: list[BaseException] = []
    ports: list[Any] = []
    serverFromString(reactor, server).listen(pb.PBServerFactory(Echo())).addCallback(ports.append)
    connectProtocol(client(ports[0].getHost().port), Waiting())
    run()
    assert "other.example" in str(reasons[0])


@pytest.mark.parametrize(("password", "is_right"), [("secret", True), ("wrong", False)])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_login(
    reactor: Reactor, run: Run, guarded: int, kind: str, password: str, is_right: bool
) -> None:
    """The proxy gets the user and the password; if it refuses them, the error says so."""
    text = (
        f"{kind}:127.0.0.1:{{}}:endpoint=tcp\\:127.0.0.1\\:{guarded}:username=me:"
        f"password={password}"
    )
    found = outcome(reactor, run, lambda port: clientFromString(reactor, text.format(port)))
    if is_right:
        assert found == "hello"
    else:
        assert isinstance(found, ConnectError)
        assert "wrong password?" in str(found)


def test_no_proxy_there(reactor: Reactor, run: Run) -> None:
    """An endpoint fails with the error of the attempt."""
    to_proxy = TCP4ClientEndpoint(reactor, "127.0.0.1", free_port())
    found = outcome(reactor, run, lambda port: SOCKS5(to_proxy, "127.0.0.1", port))
    assert isinstance(found, ConnectionRefusedError)
    assert "the proxy" in str(found)


def test_what_cannot_work(reactor: Reactor) -> None:
    """Other endpoints, other reactors, and what the kind of proxy does not know are refused."""
    to_proxy = TCP4ClientEndpoint(reactor, "127.0.0.1", 9)
    with pytest.raises(TypeError, match="by a TCP endpoint"):
        HTTPConnect(UNIXClientEndpoint(reactor, "/x"), "h", 1)
    with pytest.raises(TypeError, match="by a TCP endpoint"):
        HTTPConnect(SOCKS5(to_proxy, "h", 1), "h", 1)
    with pytest.raises(ConfigError, match="SOCKS 4 has no IPv6"):
        SOCKS4(to_proxy, "::1", 1)
    with pytest.raises(ConfigError, match="a user and a password"):
        SOCKS5(to_proxy, "h", 1, "me")

    class Foreign:
        def connectTCP(self, *args: Any, **kw: Any) -> Any:
            """Connect."""

    with pytest.raises(TypeError, match="a reactor of this library"):
        SOCKS5(TCP4ClientEndpoint(Foreign(), "127.0.0.1", 9), "h", 1)  # type: ignore[arg-type]
