"""A server for one session, and messages of a peer that it is fed with."""

from __future__ import annotations

from typing import Any

from broker.core.policy import STRICT
from broker.flavors.referenceable import Referenceable, Root
from jelly.codec import Reader, Writer
from jelly.errors import CannotJelly
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY
from support.memory import ROOT, make_end

__all__ = [
    "DICTIONARY",
    "Calling",
    "Later",
    "Pending",
    "Server",
    "feed",
    "message",
    "ready_server",
    "sent",
]
DICTIONARY: list[Any] = [b"dictionary"]


class Server(Root):
    """Writes down what is called, in order."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.kept: list[Any] = []

    def remote_echo(self, *args: Any, **kw: Any) -> Any:
        """Return the arguments."""
        self.log.append(args)
        return [*args, kw] if kw else args[0] if len(args) == 1 else list(args)

    def remote_keep(self, value: Any) -> None:
        """Keep a reference."""
        self.kept.append(value)

    def remote_fail(self) -> None:
        """Raise."""
        raise ValueError("because")

    def remote_bad(self) -> Any:
        """Return what cannot be sent."""
        return [Referenceable(), object()]

    def remote_make(self) -> Any:
        """Return something of the server's."""
        return Referenceable()

    async def remote_wait(self, value: Any) -> Any:
        """Be an async method."""
        self.log.append(value)

    def remote_exit(self) -> None:
        """Be told to stop."""
        raise KeyboardInterrupt


class Pending:
    """An awaitable that nobody steps."""

    def __await__(self) -> Any:
        """Have the shape of an awaitable."""
        yield


class Later(Server):
    """Answers later."""

    def remote_later(self, *args: Any) -> Any:
        """Return an awaitable."""
        return Pending()


def ready_server(root: Any = None, **policy: Any) -> Any:
    """A server's session after the handshake, with what it is fed as a client's expressions."""
    session = make_end(STRICT.but(**policy), False)
    session.start()
    session.data_to_send()
    if root is not None:
        session.translator.exports.name(ROOT, root)
    feed(session, b"none", [b"version", 6])
    session.data_to_send()
    session.host.events.clear()
    return session


def feed(session: Any, *expressions: Any, pump: bool = True) -> None:
    """Let a session have expressions as bytes of ``none``."""
    writer = Writer(Limits(), NONE_VOCABULARY)
    session.receive(b"".join(map(writer.encode, expressions)))
    if pump:
        session.pump()


def sent(session: Any) -> list[Any]:
    """What a session in ``none`` sends, as expressions."""
    reader = Reader(Limits(), NONE_VOCABULARY)
    reader.feed(session.data_to_send())
    return reader.read()


def message(request_id: int, name: bytes, *args: Any, target: Any = ROOT, answer: int = 1) -> Any:
    """A call as an expression."""
    return [b"message", request_id, target, name, answer, [b"tuple", *args], DICTIONARY]


# Calls that hooks make.


class Calling(Referenceable):
    """Makes a call while it is sent."""

    def __init__(self, session: Any, error: bool = False):
        self.session = session
        self.error = error
        self.request_ids: list[int] = []

    def jellyFor(self, jellier: Any) -> Any:
        """Call, twice over, and be sent."""
        call = self.session.outgoing.call
        self.request_ids.append(call(ROOT, "echo", ("inner",), {}))
        if self.error:
            raise CannotJelly("not this one")
        return super().jellyFor(jellier)
