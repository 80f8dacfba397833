"""Twisted's Perspective Broker: its factories, in its default reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.portal import IRealm, Portal
from twisted.internet import defer, reactor, ssl, task, threads
from twisted.spread import pb
from twisted.spread.util import StringPager
from zope.interface import implementer

from bench import answers, workloads
from bench.side import Options, Program, play

PAGE = 64 * 1024
CREDENTIALS = {"password": UsernamePassword(b"alice", b"secret"), "anonymous": Anonymous()}


class Root(answers.PerspectiveBrokerAnswers, pb.Root):
    """Answers, and tells its subscribers of events."""

    def __init__(self) -> None:
        self._subscribers: list[pb.RemoteReference] = []
        self._collector = Collector()

    def remote_subscribe(self, listener: pb.RemoteReference) -> None:
        """Tell the listener of events from now on."""
        self._subscribers.append(listener)

    def remote_publish(self, count: int) -> defer.Deferred[None]:
        """Send events; each to all, when all have answered the one before."""
        return defer.ensureDeferred(self._publish(count))

    async def _publish(self, count: int) -> None:
        for number in range(count):
            await defer.gatherResults(
                [each.callRemote("event", number, answers.TEXT) for each in self._subscribers]
            )

    def remote_tell(self, count: int) -> None:
        """Send events, and wait for nobody."""
        for number in range(count):
            for each in self._subscribers:
                each.callRemote("event", number, answers.TEXT, pbanswer=False)

    def remote_async_echo(self, value: object) -> defer.Deferred[object]:
        """Return what came, from a coroutine."""
        return defer.ensureDeferred(self._async_echo(value))

    async def _async_echo(self, value: object) -> object:
        return value

    def remote_wait(self) -> defer.Deferred[None]:
        """Answer never."""
        return defer.Deferred()

    def remote_collector(self) -> Collector:
        """Return what takes pages."""
        return self._collector

    def remote_collected(self) -> int:
        """Return how many bytes have come in pages since the last time."""
        return self._collector.taken()


class Collector(answers.Pages, pb.Referenceable):
    """Counts what comes in pages."""


class Listener(answers.Listener, pb.Referenceable):
    """Hears events."""


@implementer(IRealm)
class Realm:
    """Lets everybody be an Avatar."""

    def requestAvatar(self, avatar_id: bytes, mind: object, *interfaces: Any) -> tuple[Any, ...]:
        """Return interface, avatar and logout."""
        return pb.IPerspective, pb.Avatar(), lambda: None


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, target: pb.RemoteReference):
        self.call = target.callRemote
        self._target = target

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have a function hear events."""
        return self.call("subscribe", Listener(hear))

    async def close(self) -> None:
        """Close the connection."""
        lost: defer.Deferred[object] = defer.Deferred()
        self._target.notifyOnDisconnect(lost.callback)
        self._target.broker.transport.loseConnection()
        await lost

    async def page(self, data: bytes) -> int:
        """Send data page by page; return what has come."""
        sent: defer.Deferred[None] = defer.Deferred()
        collector = await self.call("collector")
        StringPager(collector, data, PAGE, sent.callback, None)
        await sent
        return await self.call("collected")


class TwistedSide:
    """Twisted's library."""

    workloads = workloads.WORKLOADS
    piece = 256 * 1024
    form = ""

    def __init__(self, options: Options, clock: Any):
        self._options = options
        self._clock = clock
        self._context: Any = None
        if options.certificates and options.server:
            trusted = ssl.Certificate.loadPEM(options.certificate.read_bytes())
            self._context = ssl.optionsForClientTLS("127.0.0.1", trustRoot=trusted)
        elif options.certificates:
            pem = options.certificate.read_bytes() + options.key.read_bytes()
            self._context = ssl.PrivateCertificate.loadPEM(pem).options()

    async def serve(self) -> int:
        """Serve a Root, or a portal."""
        options = self._options
        checkers = [
            InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret"),
            AllowAnonymousAccess(),
        ]
        factory = pb.PBServerFactory(Portal(Realm(), checkers) if options.login else Root())
        where = (0, factory)
        if self._context is None:
            port = self._clock.listenTCP(*where, interface="127.0.0.1")
        else:
            port = self._clock.listenSSL(*where, self._context, interface="127.0.0.1")
        return int(port.getHost().port)

    async def connect(self, port: int) -> Client:
        """Connect, and log in if the options say so."""
        options = self._options
        factory = pb.PBClientFactory()
        where = ("127.0.0.1", port, factory)
        if self._context is None:
            self._clock.connectTCP(*where)
        else:
            self._clock.connectSSL(*where, self._context)
        if options.login:
            target = await factory.login(CREDENTIALS[options.login])
        else:
            target = await factory.getRootObject()
        workloads.check(target.broker.currentDialect, options.dialect.encode())
        return Client(target)

    def together(self, chains: list[Any]) -> Awaitable[Any]:
        """Wait for coroutines."""
        return defer.gatherResults([defer.ensureDeferred(chain) for chain in chains])

    def promise(self) -> tuple[Awaitable[Any], Callable[[Any], object]]:
        """Return a Deferred, and what fires it."""
        fired: defer.Deferred[Any] = defer.Deferred()
        return fired, fired.callback

    async def in_thread(self, function: Callable[[], object]) -> None:
        """Run a function in a thread of the reactor's pool."""
        await threads.deferToThread(function)


def run(program: Program, options: Options) -> None:
    """Run a program of this library."""

    def begin(clock: Any) -> defer.Deferred[None]:
        return defer.ensureDeferred(program(lambda options: TwistedSide(options, clock)))

    task.react(begin, (), reactor)


def main(options: Options) -> None:
    """Be the side that the options describe."""
    run(lambda make: play(make(options), options), options)


if __name__ == "__main__":
    main(Options.given())
