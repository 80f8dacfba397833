"""The two APIs of one engine, so that each behaviour is written once and tested through both.

A ``face`` serves, connects and calls, on real sockets of the loopback, with or without TLS. When
the test has ended, its connections are closed. Then nothing may remain at either end: no reference,
no cache, no call, no task.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from OpenSSL import SSL
from support import promise_house
from support.certificates import Authority, Pair

import broker
from broker import pb, reactor
from broker.reactor import ssl


class Link:
    """A client's connection.

    Attributes:
        reference: the object that the client calls first: the root, or the avatar.
        near, far: the Brokers of the client and of the server.
    """

    def __init__(self, reference: Any, near: Any, far: Any):
        self.reference: Any = reference
        self.near = near
        self.far = far

    async def close(self) -> None:
        """Close from the client's side; return when both ends have ended."""
        self.near.transport.loseConnection()
        await self.ended()

    async def ended(self) -> None:
        """Wait until both ends have ended."""
        await self.near.closed
        await self.far.closed


class Face(Protocol):
    """The API through which an application uses the engine."""

    is_published: bool

    async def serve(self, target: Any) -> Any:
        """Serve a Root or a Portal on a free port; return the server for ``connect``."""

    async def connect(self, server: Any, credentials: Any = None, mind: Any = None) -> Link:
        """Connect, and log in if there are credentials."""

    async def outcome(self, deferred: Any) -> Any:
        """Return the result of a call, or raise its error."""

    async def trapped(self, deferred: Any, *kinds: Any) -> BaseException:
        """Return the error of a call, which must be of one of the kinds."""

    async def close(self) -> None:
        """Close all connections and servers."""


class Faces:
    """The common part of both APIs: what they opened, and the check that nothing remains."""

    def __init__(self, authority: Authority | None, pair: Pair | None):
        self.authority = authority
        self.pair = pair
        self.links: list[Link] = []

    async def close(self) -> None:
        """Close what the test has left open."""
        for link in self.links:
            if not link.near.disconnected:
                link.near.transport.loseConnection()
        for link in self.links:
            await link.ended()
            link.reference = None
        await self.close_servers()

    async def close_servers(self) -> None:
        """Stop listening."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Close what the test has left open; then nothing may remain."""
        await self.close()
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        assert self.left() == {}

    def left(self) -> dict[str, int]:
        """Return what the Brokers of all connections still hold, by place."""
        found: dict[str, int] = {}
        for link in self.links:
            for side, end in (("near", link.near), ("far", link.far)):
                translator = end.session.translator
                found[f"{side} exports"] = len(translator.exports)
                found[f"{side} imports"] = len(translator.imports)
                found[f"{side} published"] = len(translator.cacheables)
                found[f"{side} held"] = len(translator.remote_caches)
                found[f"{side} waiting"] = len(end.session.outgoing.open_calls) + len(
                    end.calls.waiting
                )
                found[f"{side} running"] = end.session.running + len(end._running_methods or ())
        return {where: count for where, count in found.items() if count}


class AsyncioFace(Faces):
    """``broker.serve`` and ``broker.connect``; everything is awaited."""

    is_published = False

    def __init__(self, authority: Authority | None, pair: Pair | None, *, is_web: bool = False):
        super().__init__(authority, pair)
        self.is_web = is_web
        self.servers: list[broker.Server] = []

    async def serve(self, target: Any, policy: broker.Policy = broker.STRICT) -> broker.Server:
        """Serve; the default is the strict policy."""
        tls, scheme = None, "ws" if self.is_web else "pb"
        if self.pair is not None:
            tls = broker.TLS.server(self.pair.certificate_path, self.pair.key_path)
            scheme += "s"
        path = "/pb" if self.is_web else ""
        address = f"{scheme}://127.0.0.1:0{path}"
        server = await broker.serve(target, address, tls=tls, policy=policy)
        self.servers.append(server)
        return server

    async def connect(
        self, server: broker.Server, credentials: Any = None, mind: Any = None
    ) -> Link:
        """Connect, and log in if there are credentials."""
        tls = None if self.authority is None else broker.TLS.client(ca=self.authority.ca_path)
        connection = await broker.connect(server.addresses[0], credentials, mind=mind, tls=tls)
        near = connection.broker
        reference = connection.root if credentials is None else connection.avatar
        here = near.transport.getHost()
        (far,) = [other.broker for other in server.connections if other.peer.address == here]
        link = Link(reference, near, far)
        self.links.append(link)
        return link

    async def outcome(self, deferred: Any) -> Any:
        """Await it."""
        return await deferred

    async def trapped(self, deferred: Any, *kinds: Any) -> BaseException:
        """Await it, and catch the error."""
        with pytest.raises(kinds) as caught:
            await deferred
        return caught.value

    async def close_servers(self) -> None:
        """Close all servers."""
        for server in self.servers:
            await server.close(drain=5)


class NotingServerFactory(pb.PBServerFactory):
    """Remembers its Brokers."""

    def __init__(self, root: Any):
        super().__init__(root)
        self.brokers: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        """Make a Broker, and remember it."""
        made = super().buildProtocol(addr)
        self.brokers.append(made)
        return made


class VerifyingContextFactory(ssl.ClientContextFactory):
    """Trusts one CA."""

    def __init__(self, ca_path: Path):
        self.ca_path = ca_path

    def getContext(self) -> SSL.Context:
        """Verify the peer's certificate."""
        context = super().getContext()
        context.load_verify_locations(str(self.ca_path))
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: bool(arguments[4]))
        return context


class PublishedFace(Faces):
    """The reactor, the factories and callbacks."""

    is_published = True

    def __init__(self, authority: Authority | None, pair: Pair | None):
        super().__init__(authority, pair)
        self.ports: list[Any] = []

    async def serve(self, target: Any) -> Any:
        """Listen, with the published policy."""
        factory = NotingServerFactory(target)
        if self.pair is None:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            context = ssl.DefaultOpenSSLContextFactory(
                str(self.pair.key_path), str(self.pair.certificate_path)
            )
            port = reactor.listenSSL(0, factory, context, interface="127.0.0.1")
        self.ports.append(port)
        return port

    async def connect(self, server: Any, credentials: Any = None, mind: Any = None) -> Link:
        """Connect, and log in if there are credentials."""
        factory = pb.PBClientFactory()
        number = server.getHost().port
        if self.authority is None:
            reactor.connectTCP("127.0.0.1", number, factory)
        else:
            context = VerifyingContextFactory(self.authority.ca_path)
            reactor.connectSSL("127.0.0.1", number, factory, context)
        root = factory.getRootObject
        try:
            reference = await self.outcome(
                root() if credentials is None else factory.login(credentials, mind)
            )
        except Exception:
            factory.disconnect()
            raise
        near = reference.broker
        here = near.transport.getHost()
        (far,) = [other for other in server.factory.brokers if other.transport.getPeer() == here]
        link = Link(reference, near, far)
        self.links.append(link)
        return link

    async def outcome(self, deferred: Any) -> Any:
        """Receive the result by callbacks."""
        told = asyncio.get_running_loop().create_future()

        def failed(failure: Any) -> None:
            try:
                failure.raiseException()
            except BaseException as error:
                told.set_exception(error)

        deferred.addCallbacks(told.set_result, failed)
        return await told

    async def trapped(self, deferred: Any, *kinds: Any) -> BaseException:
        """Trap the error in an errback, as published programs do."""
        trapped: list[Any] = []

        def errback(failure: Any) -> None:
            trapped.append(failure.trap(*kinds))
            failure.raiseException()

        with pytest.raises(BaseException) as caught:
            await self.outcome(deferred.addErrback(errback))
        assert trapped, f"not trapped: {caught.value!r}"
        return caught.value

    async def close_servers(self) -> None:
        """Close all ports, and the clients of failed logins."""
        for port in self.ports:
            await port.stopListening()
            for far in port.factory.brokers:
                if not far.disconnected:
                    far.transport.loseConnection()
                await far.closed


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return Authority(tmp_path_factory.mktemp("behaviour"))


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    """A certificate for the loopback."""
    return authority.issue()


FACES = [
    "asyncio-tcp",
    "asyncio-tls",
    "asyncio-ws",
    "asyncio-wss",
    "published-tcp",
    "published-tls",
]


def made_face(name: str, authority: Authority, pair: Pair) -> AsyncioFace:
    """The asyncio API over one kind of transport."""
    is_secure, is_web = name in ("tls", "wss"), name in ("ws", "wss")
    return AsyncioFace(authority if is_secure else None, pair if is_secure else None, is_web=is_web)


@pytest.fixture(params=FACES)
def face(
    request: pytest.FixtureRequest, authority: Authority, pair: Pair, at_end: list[Any]
) -> Faces:
    """One API of the engine, over one kind of transport."""
    name, _, transport = request.param.partition("-")
    made: Faces
    if name == "asyncio":
        made = made_face(transport, authority, pair)
    else:
        made = PublishedFace(authority, pair) if transport == "tls" else PublishedFace(None, None)
    at_end.append(made.finish)
    return made


@pytest.fixture(params=["tcp", "tls", "ws"])
def asyncio_face(
    request: pytest.FixtureRequest, authority: Authority, pair: Pair, at_end: list[Any]
) -> AsyncioFace:
    """The asyncio API, for behaviours that only it has."""
    made = made_face(request.param, authority, pair)
    at_end.append(made.finish)
    return made


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function for the log lines so far; each must be one short line."""
    caplog.set_level(logging.WARNING)

    def read() -> list[str]:
        found = []
        for record in caplog.records:
            line = record.getMessage()
            assert record.exc_info is None, "a traceback"
            assert record.name.startswith("broker.")
            assert "\n" not in line
            assert len(line.encode()) <= 400
            found.append(re.sub(r"127\.0\.0\.1:\d+", "PEER", line))
        caplog.clear()
        return found

    return read


@pytest.fixture(
    params=[(dialect, face) for dialect in promise_house.DIALECTS for face in promise_house.FACES],
    ids="-".join,
)
def at(request: pytest.FixtureRequest, at_end: list[Any]) -> promise_house.Setting:
    """A pair, in each dialect and face, that is opened by the test."""
    setting = promise_house.Setting(*request.param)
    at_end.append(setting.finish)
    return setting
