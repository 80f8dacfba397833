"""Objects that are followed, by a follower whose connection stalls, ends and returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import broker
from broker.core.policy import STRICT, Policy
from broker.flavors.followed import call_again, keep
from support.memory import BrokerPair, ManualScheduler

__all__ = ["BOTH", "BOTH_IDS", "Board", "BoardView", "Library", "Line", "ledger_of"]

BOTH = [STRICT, STRICT.but(dialects=("pb",))]
"""The strict policy in both dialects."""
BOTH_IDS = ["msgpack", "pb"]


class Board(broker.Resumable):
    """Pieces that are put, and taken away."""

    def __init__(self) -> None:
        self.pieces: dict[str, Any] = {}

    def getTypeToCopy(self) -> str:
        """Be called as the view is."""
        return "followed_world.Board"

    def getStateToCopy(self) -> dict[str, Any]:
        """Return the pieces."""
        return {"pieces": dict(self.pieces)}

    def put(self, place: str, piece: Any) -> None:
        """Put a piece."""
        self.pieces[place] = piece
        self.change("put", place, piece)

    def take(self, place: str) -> None:
        """Take a piece away."""
        self.pieces.pop(place, None)
        self.change("took", place)


@broker.register("followed_world.Board")
class BoardView(broker.RemoteCache):
    """The pieces at a follower."""

    pieces: dict[str, Any]

    def observe_put(self, place: str, piece: Any) -> None:
        """Follow."""
        self.pieces[place] = piece

    def observe_took(self, place: str) -> None:
        """Follow."""
        self.pieces.pop(place, None)

    def observe_resynced(self) -> None:
        """Count."""
        object.__setattr__(self, "resyncs", getattr(self, "resyncs", 0) + 1)


class Library(broker.Root):
    """Hands the objects out."""

    def __init__(self, *objects: Any) -> None:
        self.objects = list(objects)

    def remote_get(self, number: int = 0) -> Any:
        """Return one."""
        return self.objects[number]

    def remote_listed(self) -> Any:
        """Return all."""
        return ["all", *self.objects]

    def remote_forget(self, view: Any) -> None:
        """Take one home."""


class Line:
    """A follower's connection to a Library.

    Args:
        library: the server's root.
        policy: of both ends.

    Attributes:
        pair: the ends of the present connection.
    """

    def __init__(self, library: Library, policy: Policy = STRICT, chunk: int | None = None) -> None:
        self._library = library
        self._policy = policy
        self._chunk = chunk
        self.pair: BrokerPair
        self.is_stalled = False
        self.connect()

    def connect(self) -> None:
        """Begin a new connection."""
        self.pair = BrokerPair(self._library, policy=self._policy, scheduler=ManualScheduler())
        self.is_stalled = False
        self._transport = self.pair.transport(self.pair.server)
        self._write, self._take = self._transport.write, self._transport.take

    def follow(self, number: int = 0) -> Any:
        """Return the view of one of the objects."""
        return self.pair.call("get", number)

    def stall(self) -> None:
        """Take nothing of the server from now on."""
        transport, write = self._transport, self._write

        def hold(data: bytes) -> None:
            write(data)
            transport.unsent += len(data)

        self.is_stalled = True
        transport.write = hold  # type: ignore[method-assign]
        transport.take = lambda: b""  # type: ignore[method-assign]

    def flow(self) -> None:
        """Take everything again."""
        if self.is_stalled:
            self.is_stalled = False
            transport = self._transport
            transport.write, transport.take = self._write, self._take  # type: ignore[method-assign]
            transport.unsent = 0
            transport.on_drained()
        self.exchange()

    def sip(self) -> None:
        """Take what is unsent; what the server then sends is not taken."""
        if not self.is_stalled:
            self.stall()
        transport = self._transport
        transport.take = self._take  # type: ignore[method-assign]
        self.exchange()
        transport.take = lambda: b""  # type: ignore[method-assign]
        transport.unsent = 0
        transport.on_drained()

    def exchange(self) -> None:
        """Let bytes cross."""
        self.pair.exchange(self._chunk)

    @property
    def unsent(self) -> int:
        """Bytes that the server has written and the follower has not taken."""
        return self._transport.unsent

    @property
    def is_ended(self) -> bool:
        """Whether the server has ended the connection."""
        return self._transport.is_aborted or self._transport.is_losing

    def cut(self) -> None:
        """End the connection."""
        self.pair.cut()

    def again(self, view: Any, number: int = 0) -> Any:
        """Begin a new connection, and follow again with a view, as a Link does."""
        self.connect()
        return self.go_on(view, lambda: self.pair.root.callRemote("get", number))

    def go_on(self, view: Any, make: Callable[[], Any]) -> Any:
        """Make a call again for a view."""
        keep(view, True)
        return self.pair.get(call_again(view, self.pair.client, make))


def ledger_of(owner: broker.Resumable) -> Any:
    """Return the changes and the followers of a Resumable."""
    return vars(owner)["_broker_ledger"]
