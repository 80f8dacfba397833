"""Two brokers of one implementation joined in memory, and a transcript of what they say.

A scenario speaks to the implementation through published names only, which it finds in an
``Implementation``: so the same scenario runs with Twisted, to record, and with ours, to compare.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Implementation:
    """The published names that scenarios use, and what differs between implementations.

    Attributes:
        pb, portal, checkers, credentials, defer: modules.
        util: the module that has StringPager and CallbackPageCollector.
        set_dialects: called with a new broker and the dialects that it may speak.
    """

    pb: Any
    util: Any
    portal: Any
    checkers: Any
    credentials: Any
    defer: Any
    set_dialects: Callable[[Any, list[bytes]], None]


@dataclass
class Entry:
    """A step of the scenario, or bytes that a side wrote."""

    side: str
    data: bytes = b""
    step: str = ""


@dataclass
class Transport:
    """One end of the pipe: writes go to the transcript and, later, to the other broker."""

    link: Link
    side: str
    producer: Any = None
    disconnecting: bool = False

    def write(self, data: bytes) -> None:
        """Note the bytes and queue them."""
        self.link.entries.append(Entry(self.side, bytes(data)))
        self.link.queue.append((self.side, bytes(data)))

    def writeSequence(self, chunks: list[bytes]) -> None:
        """Write the chunks as one."""
        self.write(b"".join(chunks))

    def loseConnection(self) -> None:
        """Note that this side hangs up."""
        if not self.disconnecting:
            self.disconnecting = True
            self.link.entries.append(Entry(self.side, step="closes the connection"))

    abortConnection = loseConnection

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take a producer; ``Link.pump`` asks a pulled one for more when all is quiet."""
        self.producer = None if streaming else producer

    def unregisterProducer(self) -> None:
        """The producer has no more."""
        self.producer = None

    def getPeer(self) -> Any:
        """Nobody in particular."""
        return None

    getHost = getPeer


@dataclass
class Link:
    """A client and a server of one implementation, joined in memory."""

    lib: Implementation
    entries: list[Entry] = field(default_factory=list)
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    ended: bool = False

    def connect(
        self, root: Any, *, unsafe: bool = False, deliver: bool = True, **dialects: list[bytes]
    ) -> Any:
        """Connect the two and shake hands; ``client=`` and ``server=`` are dialects.

        Returns:
            The client factory.
        """
        self.server_factory = self.lib.pb.PBServerFactory(root, unsafeTracebacks=unsafe)
        self.client_factory = self.lib.pb.PBClientFactory()
        self.server = self.server_factory.buildProtocol(None)
        self.client = self.client_factory.buildProtocol(None)
        for side in ("client", "server"):
            known = dialects.get(side, [b"pb", b"none"])
            self.lib.set_dialects(getattr(self, side), known)
        self.transports = {side: Transport(self, side) for side in ("client", "server")}
        self.client.makeConnection(self.transports["client"])
        self.server.makeConnection(self.transports["server"])
        if deliver:
            self.pump()
        return self.client_factory

    def root(self, published: Any, **options: Any) -> Any:
        """Connect to this root; returns the reference to it."""
        return self.get(self.connect(published, **options).getRootObject())

    def play(self, scenario: Callable[[Link], None]) -> None:
        """Run a scenario, then let all go that it held."""
        scenario(self)
        gc.collect()
        if not self.ended:
            self.pump()

    def pump(self) -> None:
        """Deliver until both are quiet."""
        while self.queue or any(t.producer for t in self.transports.values()):
            while self.queue:
                side, data = self.queue.popleft()
                (self.client if side == "server" else self.server).dataReceived(data)
            for transport in self.transports.values():
                if transport.producer:
                    transport.producer.resumeProducing()

    def step(self, side: str, text: str) -> None:
        """Note in the transcript what this side does now."""
        self.entries.append(Entry(side, step=text))

    def get(self, deferred: Any) -> Any:
        """The result of a Deferred, once both are quiet."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.pump()
        assert results, "the Deferred has no result"
        return results.pop()

    def call(self, reference: Any, name: str, *args: Any, **keywords: Any) -> Any:
        """The result of a remote call, or its Failure."""
        side = "client" if reference.broker is self.client else "server"
        self.step(side, f"calls {name}")
        return self.get(reference.callRemote(name, *args, **keywords))

    def send(self, side: str, *message: Any) -> None:
        """Write a message as this side's broker writes its own."""
        getattr(self, side).sendCall(*message)
        self.pump()

    def fails(self, side: str, *message: Any) -> None:
        """Write a message (if any) that ends the connection at the other side."""
        if message:
            getattr(self, side).sendCall(*message)
        try:
            self.pump()
        except Exception:
            ended = True
        else:
            ended = any(transport.disconnecting for transport in self.transports.values())
        assert ended, "the other side took it"
        self.ended = True
        self.queue.clear()
        other = "server" if side == "client" else "client"
        self.entries.append(Entry(other, step="does not take it: the connection ends"))

    def collect(self, side: str, text: str) -> None:
        """Let garbage go, and what is said of it."""
        self.step(side, text)
        gc.collect()
        self.pump()
