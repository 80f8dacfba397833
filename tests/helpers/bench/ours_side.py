"""broker: ``serve``, ``connect``, ``await``, in asyncio's own loop or in uvloop's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import broker
from bench import answers, workloads
from bench.asyncio_side import AsyncioSide, runner
from bench.side import Options, Program, play
from broker.defer import Deferred, gatherResults
from broker.pb import StringPager
from cred import Portal

if TYPE_CHECKING:
    from bench.ways import Way

PAGE = 64 * 1024


class Root(answers.PerspectiveBrokerAnswers, broker.Root):
    """Answers, and tells its subscribers of events."""

    remote_integers = answers.Answers.integers
    remote_pieces = answers.Answers.pieces

    def __init__(self) -> None:
        self._subscribers = broker.Subscribers()
        self._collector = Collector()

    def remote_subscribe(self, listener: broker.RemoteReference) -> None:
        """Tell the listener of events from now on."""
        self._subscribers.add(listener)

    async def remote_publish(self, count: int) -> None:
        """Send events; each to all, when all have answered the one before."""
        for number in range(count):
            await gatherResults(
                [each.callRemote("event", number, answers.TEXT) for each in self._subscribers]
            )

    def remote_tell(self, count: int) -> None:
        """Send events, and wait for nobody."""
        for number in range(count):
            self._subscribers.send("event", number, answers.TEXT)

    def remote_typed(self) -> broker.Referenceable:
        """Return what answers behind a contract."""
        return broker.servant(Echoes)(TypedAnswers())

    async def remote_async_echo(self, value: object) -> object:
        """Return what came, from a coroutine."""
        return value

    def remote_wait(self) -> Deferred[None]:
        """Answer never."""
        return Deferred()

    def remote_collector(self) -> Collector:
        """Return what takes pages."""
        return self._collector

    def remote_collected(self) -> int:
        """Return how many bytes have come in pages since the last time."""
        return self._collector.taken()


class Echoes(Protocol):
    """The contract of a method that returns its argument."""

    async def echo(self, text: str) -> str:
        """Return what came."""


class TypedAnswers:
    """Answers behind the contract `Echoes`, with a plain method, as the untyped one is."""

    def echo(self, text: str) -> str:
        """Return what came."""
        return text


class Collector(answers.Pages, broker.Referenceable):
    """Counts what comes in pages."""


class Listener(answers.Listener, broker.Referenceable):
    """Hears events."""


class Client:
    """Calls what the server serves over one connection."""

    def __init__(self, connection: broker.Connection, target: broker.RemoteReference):
        self.call = target.callRemote
        self.connection = connection

    async def typed(self) -> Callable[[str], Awaitable[str]]:
        """Return the method of a proxy."""
        reference: broker.RemoteReference = await self.call("typed")
        return reference.of(Echoes).echo

    def subscribe(self, hear: Callable[[int, str], object]) -> Awaitable[Any]:
        """Have a function hear events."""
        return self.call("subscribe", Listener(hear))

    async def page(self, data: bytes) -> int:
        """Send data page by page; return what has come."""
        sent: Deferred[None] = Deferred()
        collector = await self.call("collector")
        StringPager(collector, data, PAGE, sent.callback, None)
        await sent
        return await self.call("collected")

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    def stream(self, name: str, count: int) -> AsyncIterator[Any]:
        """Call a method that returns a stream."""
        return aiter(self.call(name, count))


class OurSide(AsyncioSide):
    """This library."""

    workloads = workloads.WORKLOADS
    piece = 64 * 1024

    def __init__(self, options: Options):
        self._options = options
        self._policy = broker.STRICT
        if options.dialect == "pb":
            self._policy = broker.STRICT.but(dialects=("pb",))
        self._way = _way(options.login) if options.login else None
        self._tls = _tls(options, self._way) if options.certificates else None
        if options.general:
            # Not at the top: it needs names that older versions lack, and they are measured too.
            from bench.general_path import use_general_path

            use_general_path()

    @property
    def form(self) -> str:
        """Which compiled modules run."""
        # Not at the top: older versions lack it, and are measured too.
        from broker.acceleration import describe

        return describe()

    async def serve(self) -> int:
        """Serve a Root, or a portal."""
        options = self._options
        self.server = await broker.serve(
            Root() if self._way is None else _portal(self._way, options.folder),
            f"{_scheme(options)}://127.0.0.1:0",
            tls=self._tls,
            policy=self._policy,
            **_observed(options),
        )
        return urlsplit(self.server.addresses[0]).port or 0

    async def connect(self, port: int) -> Client:
        """Connect, and log in if the options say so."""
        options = self._options
        connection = await broker.connect(
            f"{_scheme(options)}://127.0.0.1:{port}",
            None if self._way is None else self._way.credentials(options.folder),
            tls=self._tls,
            policy=self._policy,
        )
        workloads.check(connection.dialect, options.dialect)
        return Client(connection, connection.avatar if options.login else connection.root)

    def promise(self) -> tuple[Awaitable[Any], Callable[[Any], object]]:
        """Return a Deferred, and what fires it."""
        fired: Deferred[Any] = Deferred()
        return fired, fired.callback


def _way(name: str) -> Way:
    # Not at the top: a side without a login needs none of what the ways import.
    from bench.ways import WAYS

    return WAYS[name]


def _observed(options: Options) -> dict[str, Any]:
    observers: list[Any] = []
    # Not at the top: older versions lack them, and are measured too.
    if options.metrics:
        from broker.prometheus import Metrics

        observers.append(Metrics())
    if options.observer:
        from bench.idle_observer import IdleObserver

        observers.append(IdleObserver())
    return {"observers": observers} if observers else {}


def _portal(way: Way, folder: Path) -> Portal:
    @broker.realm
    def realm(avatar_id: str, mind: object) -> broker.Avatar:
        return broker.Avatar()

    return Portal(realm, [way.checker(folder)])


def _tls(options: Options, way: Way | None) -> broker.TLS:
    certificate, key, folder = options.certificate, options.key, options.folder
    with_certificate = way is not None and way.with_certificate
    if options.server is None:
        client_ca = certificate if with_certificate else None
        return broker.TLS.server(certificate, key, client_ca=client_ca)
    if not with_certificate:
        return broker.TLS.client(ca=certificate)
    own, own_key = folder / "client.pem", folder / "client.key"
    return broker.TLS.client(ca=certificate, certificate=own, key=own_key)


def _scheme(options: Options) -> str:
    plain = "ws" if options.ws else "pb"
    return f"{plain}s" if options.certificates else plain


def run(program: Program, options: Options) -> None:
    """Run a program of this library, in asyncio's loop or in uvloop's."""
    with runner(options.uvloop) as running:
        running.run(program(OurSide))


def main(options: Options) -> None:
    """Be the side that the options describe."""
    run(lambda make: play(make(options), options), options)


if __name__ == "__main__":
    main(Options.given())
