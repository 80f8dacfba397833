"""A user's program, as its author would annotate it; ``mypy --strict`` finds nothing to say."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, assert_type

import broker
import cred
from broker import pb, reactor
from broker.defer import Deferred, DeferredLock
from broker.failure import Failure
from broker.reactor import endpoints, protocol, service, task, threads


@broker.register
@dataclasses.dataclass
class Message(broker.Copyable, broker.RemoteCopy):
    """A copy at both ends."""

    sender: str
    text: str


@broker.register
class RoomFull(broker.Error):
    """Crosses with its text."""


class RemoteRoom(broker.RemoteCache):
    """What a client holds of a room."""

    names: list[str]

    def observe_entered(self, name: str) -> None:
        """Follow a change."""
        self.names.append(name)


broker.register(RemoteRoom, name="chat.Room")


class Room(broker.Cacheable):
    """What the server owns."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.observers: list[broker.RemoteCacheObserver] = []

    def getTypeToCopyFor(self, perspective: object) -> str:
        """Name the class that follows."""
        return "chat.Room"

    def getStateToCacheAndObserveFor(
        self, perspective: object, observer: broker.RemoteCacheObserver
    ) -> dict[str, list[str]]:
        """Give the state as it is."""
        self.observers.append(observer)
        return {"names": self.names}

    def stoppedObserving(self, perspective: object, observer: broker.RemoteCacheObserver) -> None:
        """Forget who follows."""
        self.observers.remove(observer)


class Screen(broker.Referenceable):
    """The client's object."""

    def remote_show(self, message: Message) -> None:
        """Show a message."""
        print(message.text)


class User(broker.Avatar):
    """What the server does for one user."""

    def __init__(self, chat: Chat, name: str, screen: broker.RemoteReference):
        self.chat = chat
        self.name = name
        self.screen = screen

    async def perspective_say(self, text: str) -> int:
        """Tell everybody."""
        caller: broker.Peer = broker.current_call().peer
        assert caller.avatar_id == self.name
        self.chat.screens.send("show", Message(self.name, text))
        return len(self.chat.screens)

    def perspective_later(self) -> Deferred[int]:
        """Answer later."""
        return Deferred()

    async def logout(self) -> None:
        """Runs once."""
        self.chat.screens.discard(self.screen)


class Chat:
    """The application."""

    def __init__(self) -> None:
        self.screens = broker.Subscribers()

    async def enter(self, avatar_id: Any, mind: Any) -> User:
        """Make the avatar."""
        self.screens.add(mind)
        return User(self, avatar_id, mind)


class Tokens:
    """A checker: no base class, no declaration."""

    credentialInterfaces: Iterable[Any] = (cred.IUsernamePassword,)

    async def requestAvatarId(self, credentials: cred.UsernamePassword) -> str:
        """Return who it is."""
        if credentials.password != b"token":
            raise cred.UnauthorizedLogin("wrong token")
        return "somebody"


@broker.realm
def guests_only(avatar_id: Any, mind: Any) -> broker.Avatar:
    """A realm that is a plain function."""
    return broker.Avatar()


async def server(certificate: Path, key: Path) -> None:
    """Serve over TLS and plain TCP, in both ways."""
    chat = Chat()
    portal = cred.Portal(broker.realm(chat.enter), [Tokens(), cred.AllowAnonymousAccess()])
    tls = broker.TLS.server(certificate, key, client_ca="ca.pem")
    policy = broker.STRICT.but(max_calls=10)
    async with broker.serve(portal, "pbs://127.0.0.1:0", tls=tls, policy=policy) as running:
        first: str = running.addresses[0]
        for connection in running.connections:
            print(first, connection.peer.certificate, connection.dialect, connection.stats)
        await running.serve_forever(handle_signals=False)
    root: broker.Server = await broker.serve(broker.Root())
    await root.close(drain=1)


async def client(address: str) -> None:
    """Log in, call, and be told."""
    credentials = cred.UsernamePassword("alice", "token")
    tls = broker.TLS.client(ca="ca.pem", pin=None)
    async with broker.connect(address, credentials, mind=Screen(), tls=tls) as connection:
        user: broker.RemoteReference = connection.avatar
        heard: int = await user.callRemote("say", "hello", loud=True)
        try:
            async with broker.timeout(1.0):
                both: list[int] = await asyncio.gather(
                    user.callRemote("say", "a"), user.callRemote("say", "b")
                )
        except (broker.CallTimeout, RoomFull):
            return
        except broker.RemoteError as error:
            kind: str = error.remoteType
            print(kind, heard, both)
        user.send("say", "no answer wanted")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(user.callRemote("say", "in a task"))
        print(task.result())
        user.notifyOnDisconnect(lambda reference: print(reference.luid))
    connection = await broker.connect(address, timeout=3)
    await connection.close()
    await connection.wait_closed()


def callbacks(root: broker.RemoteReference) -> Deferred[None]:
    """Use the published style."""

    def length(text: str) -> int:
        return len(text)

    measured: Deferred[int] = root.callRemote("name").addCallback(length)
    return measured.addCallback(print)


def typed_callbacks(number: Deferred[int], lock: DeferredLock) -> None:
    """A callback's types are the Deferred's: what it takes, what it returns, its arguments."""

    def scaled(value: int, factor: float, *, offset: float = 0) -> float:
        return value * factor + offset

    def later(value: int) -> Deferred[bytes]:
        return Deferred()

    async def fetched(name: str) -> bytes:
        return name.encode()

    assert_type(number.addCallback(str), Deferred[str])
    assert_type(number.addCallback(scaled, 2.5, offset=1), Deferred[float])
    assert_type(number.addCallback(later), Deferred[bytes])
    assert_type(number.addErrback(lambda failure: failure.getErrorMessage()), Deferred[int | str])
    assert_type(number.addBoth(print), Deferred[None])
    assert_type(lock.run(fetched, "a"), Deferred[bytes])
    assert_type(lock.run(len, "a"), Deferred[int])


def handled(failure: Failure) -> type[Exception]:
    """An errback gets back one of the classes that it asks for."""
    assert_type(failure.check("broker.errors.Error"), str | None)
    return failure.trap(RoomFull, ValueError)


async def futures(number: Deferred[int]) -> None:
    """A future of asyncio has the type of its Deferred, and a Deferred that of its future."""
    future = number.asFuture(asyncio.get_running_loop())
    assert_type(future, asyncio.Future[int])
    assert_type(Deferred.fromFuture(future), Deferred[int])
    assert_type(Deferred.fromCoroutine(asyncio.sleep(1, "text")), Deferred[str])


class Line(protocol.Protocol):
    """A protocol of the reactor."""

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data.upper())


class Lines(protocol.ClientFactory):
    """Its factory, at both ends."""

    def buildProtocol(self, addr: object) -> Line:
        """Make one."""
        return Line()

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """Stop."""
        reactor.stop()


def on_the_reactor() -> service.MultiService:
    """Use the reactor: the module itself is passed on as one."""
    port = reactor.listenTCP(0, Lines())
    reactor.connectTCP("localhost", 8787, Lines()).stopConnecting()
    endpoint = endpoints.HostnameEndpoint(reactor, "localhost", 8787)
    assert_type(endpoints.connectProtocol(endpoint, Line()), Deferred[Line])
    assert_type(protocol.ClientCreator(reactor, Line).connectTCP("localhost", 1), Deferred[Line])
    assert_type(threads.deferToThread(len, "abc"), Deferred[int])
    assert_type(task.deferLater(reactor, 0.5, len, "abc"), Deferred[int])
    assert_type(task.deferLater(reactor, 0.5), Deferred[None])
    assert_type(task.coiterate(iter([1, 2])).addCallback(list), Deferred[list[int]])
    port.stopListening().addCallback(print)
    services = service.MultiService()
    listening = endpoints.serverFromString(reactor, "tcp:8787")
    service.StreamServerEndpointService(listening, Lines()).setServiceParent(services)
    service.ClientService(endpoint, Lines(), clock=reactor).setServiceParent(services)
    return services


def published() -> Awaitable[broker.RemoteReference]:
    """Use the published factories."""
    factory = pb.PBClientFactory()
    factory.login(cred.Anonymous(), Screen())
    return factory.getRootObject()


if __name__ == "__main__":
    asyncio.run(client("pbs://localhost"))
