"""Who takes part: programs, and their ends of connections, which write down how calls end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count
from typing import Any

import broker
from broker import pb
from broker.connection.broker import Broker
from broker.defer import Deferred, succeed
from broker.errors import DeadReferenceError
from simulation.desk import Desk
from simulation.endings import ending
from simulation.history import History
from simulation.streams import Script
from simulation.values import Ledger, fingerprint

__all__ = ["Office", "Party"]


class Office:
    """What one program has, whatever connections it has.

    Attributes:
        name: for the history.
        ledgers: caches.
        subscribers: who is told of events.
        raised: how many errors its methods raised that the log has to tell of.
    """

    def __init__(self, name: str, history: History, *, is_strict: bool):
        self.name = name
        self.history = history
        self.raised = 0
        self.subscribers = broker.Subscribers()
        self.ledgers = [Ledger(self, number) for number in range(2)]
        self.parties: dict[Any, Party] = {}
        self._numbers = count(1)
        # What the policy shows of an error that is not registered.
        self.unregistered = "twisted.spread.pb.RemoteError" if is_strict else "builtins.ValueError"

    def next(self) -> str:
        """Return a name that no other thing has."""
        return f"{self.name}.{next(self._numbers)}"

    def announce(self) -> None:
        """Tell all who subscribed of an event."""
        number = next(self._numbers)
        names = tuple(reference.name for reference in self.subscribers)
        self.history.record("event", self.name, detail=(number, names))
        self.subscribers.send("event", number)


class Party:
    """One end of one connection.

    Attributes:
        name: for the history.
        office: of its program.
        broker: its end, once there is one.
        partner: the other side's desk, once it is known.
        held: references and caches of the other side's.
        streams: streams of the other side's that are not read yet, with their numbers.
        readers: tasks that read streams beside everything else.
        on_meet: called once the partner is known.
    """

    def __init__(self, name: str, office: Office):
        self.name = name
        self.office = office
        self.history = office.history
        self.broker: Broker | None = None
        self.partner: Any = None
        self.desk = Desk(self)
        self.held: list[Any] = []
        self.streams: list[tuple[str, broker.RemoteStream[Any]]] = []
        self.readers: list[asyncio.Task[Any]] = []
        self.on_meet: Callable[[Party], object] = lambda party: None

    @property
    def is_lost(self) -> bool:
        """Whether its connection has ended."""
        return self.broker is None or bool(self.broker.disconnected)

    def meet(self, desk: Any) -> None:
        """Get to know the other side's desk."""
        self.partner = desk
        self.on_meet(self)

    def watch(self, end: Broker) -> None:
        """Write down when the connection ends."""
        self.broker = end
        end.closed.addCallback(
            lambda result: self.history.record("lost", self.name, detail=_reason_of(end))
        )

    def call(self, reference: Any, name: str, *args: Any) -> Deferred[Any]:
        """Make a call, write down how it ends, and return a Deferred that ends as it does."""
        number = self.history.invoke(self.name, name)
        try:
            deferred = reference.callRemote(name, number, *args)
        except DeadReferenceError:
            self._outcome(number, "not run", "DeadReferenceError")
            raise
        return deferred.addCallbacks(
            self._answered, self._failed, callbackArgs=(number,), errbackArgs=(number,)
        )

    def fire(self, reference: Any, name: str, *args: Any) -> None:
        """Make a call, and let it end as it may."""
        with contextlib.suppress(DeadReferenceError):
            self.call(reference, name, *args).addErrback(lambda failure: None)

    def greet(self) -> Deferred[Any]:
        """Give the other side one's desk; the Deferred fires when that call is over."""
        try:
            called = self.call(self.partner, "hello", self.desk)
        except DeadReferenceError:
            return succeed(None)
        return called.addErrback(lambda failure: None)

    def page(self, size: int) -> tuple[Deferred[Any], Deferred[Any]]:
        """Ask for pages; return the Deferreds of all of them, and of the call."""
        number = self.history.invoke(self.name, "page")
        pages: Deferred[Any] = Deferred()
        collector = pb.CallbackPageCollector(pages.callback)
        try:
            called = self.partner.callRemote("page", collector, number, size)
        except DeadReferenceError:
            self._outcome(number, "not run", "DeadReferenceError")
            raise
        called.addCallbacks(
            self._answered, self._failed, callbackArgs=(number,), errbackArgs=(number,)
        )
        return pages, called

    def rows(self, script: Script) -> Deferred[Any]:
        """Ask for a stream, which is the whole result; return the promise of it."""
        number = self.history.invoke(self.name, "rows")
        try:
            called = self.partner.callRemote("rows", number, tuple(script))
        except DeadReferenceError:
            self._outcome(number, "not run", "DeadReferenceError")
            raise
        called.addCallbacks(
            lambda stream: self._answered((number, stream), number),
            self._failed,
            errbackArgs=(number,),
        )
        return called  # type: ignore[no-any-return]

    def send(self, reference: Any, name: str, *args: Any) -> None:
        """Make a call one way."""
        reference.send(name, self.history.invoke(self.name, name, one_way=True), *args)

    def wrong(self, text: str) -> None:
        """Write down what must not be."""
        self.history.record("wrong", self.name, detail=text)

    def _answered(self, answer: Any, number: int) -> Any:
        if not isinstance(answer, tuple) or answer[0] != number:
            self.wrong(f"call {number} was given the answer {answer!r:.100}")
        self._outcome(number, "answer", fingerprint(answer[1]))
        return answer[1]

    def _failed(self, failure: Any, number: int) -> Any:
        self._outcome(number, *ending(failure))
        return failure

    def _outcome(self, number: int, kind: str, what: str) -> None:
        self.history.record("outcome", self.name, number, (kind, what))


def _reason_of(end: Broker) -> str:
    return type(end.reason).__name__
