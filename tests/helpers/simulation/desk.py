"""The objects that are called: at clients and servers the same, so that calls go both ways.

Every method takes the number of its call first, writes into the history when it starts and when it
is over, and returns ``(number, value)``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import broker
from broker import pb
from broker.defer import Deferred
from simulation.streams import Reading, Script, made, read
from simulation.values import Refusal, fingerprint

if TYPE_CHECKING:
    from simulation.party import Party

__all__ = ["Desk", "DeskAvatar", "Item"]


class Item(broker.Referenceable):
    """Stays where it is; the other side gets a reference."""

    def __init__(self, party: Party):
        self.party = party
        self.number = party.office.next()

    def another(self) -> Item:
        """Return one more item of the same party."""
        return Item(self.party)

    def begin(self, call: int) -> None:
        """Write down that a method starts."""
        self.party.history.record("start", self.party.name, call)

    def end(self, call: int, how: str, what: Any) -> None:
        """Write down that a method is over."""
        self.party.history.record("finish", self.party.name, call, (how, what))

    def returned(self, call: int, value: Any) -> Any:
        """Return what a method returns."""
        self.end(call, "returned", fingerprint(value))
        return call, value

    def remote_echo(self, call: int, value: Any) -> Any:
        """Return a value at once."""
        self.begin(call)
        return self.returned(call, value)

    async def remote_later(self, call: int, delay: float, value: Any) -> Any:
        """Return a value after a while."""
        self.begin(call)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.end(call, "cancelled", "")
            raise
        return self.returned(call, value)

    def remote_event(self, number: int) -> None:
        """Hear of an event."""
        self.party.history.record("heard", self.party.name, detail=(self.number, number))

    def remote_note(self, call: int, value: Any) -> None:
        """Take a value, one way."""
        self.begin(call)
        self.end(call, "returned", "None")


class Desk(Item):
    """What the two sides of a connection give each other first."""

    def remote_hello(self, call: int, desk: Any) -> Any:
        """Take the caller's desk."""
        self.begin(call)
        self.party.meet(desk)
        return self.returned(call, None)

    def remote_deferred(self, call: int, delay: float, value: Any) -> Deferred[Any]:
        """Return a value after a while, by a Deferred of one's own."""
        self.begin(call)
        deferred: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_later(
            delay, lambda: deferred.callback(self.returned(call, value))
        )
        return deferred

    def remote_fail(self, call: int, is_meant: bool) -> Any:
        """Raise at once."""
        self.begin(call)
        self._raise(call, is_meant)

    async def remote_fail_later(self, call: int, delay: float, is_meant: bool) -> Any:
        """Raise after a while."""
        self.begin(call)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.end(call, "cancelled", "")
            raise
        self._raise(call, is_meant)

    def _raise(self, call: int, is_meant: bool) -> None:
        if is_meant:
            self.end(call, "raised", "simulation.values.Refusal")
            raise Refusal(f"call {call} is refused")
        self.party.office.raised += 1
        self.end(call, "raised", self.party.office.unregistered)
        raise ValueError(f"call {call} fails")

    def remote_take(self, call: int, item: Any, is_kept: bool, times: int) -> Any:
        """Take a reference, call it, and keep it or not."""
        self.begin(call)
        for _ in range(times):
            self.party.fire(item, "echo", "called back")
        if is_kept:
            self.party.held.append(item)
        return self.returned(call, None)

    def remote_give(self, call: int) -> Any:
        """Return a reference."""
        self.begin(call)
        return self.returned(call, Item(self.party))

    def remote_unsendable(self, call: int) -> Any:
        """Return a reference together with what cannot be sent."""
        self.begin(call)
        self.party.office.raised += 1
        self.end(call, "raised", "jelly.errors.CannotJelly")
        return call, [Item(self.party), object()]

    def remote_follow(self, call: int, which: int) -> Any:
        """Return a cache."""
        self.begin(call)
        return self.returned(call, self.party.office.ledgers[which])

    def remote_change(self, call: int, which: int, entry: int) -> Any:
        """Change a cache, and tell all who follow it."""
        self.begin(call)
        self.party.office.ledgers[which].write(entry)
        return self.returned(call, None)

    def remote_subscribe(self, call: int, item: Any, name: str) -> Any:
        """Tell a reference of events."""
        self.begin(call)
        item.name = name
        self.party.office.subscribers.add(item)
        return self.returned(call, None)

    def remote_announce(self, call: int) -> Any:
        """Tell all who subscribed of an event."""
        self.begin(call)
        self.party.office.announce()
        return self.returned(call, None)

    def remote_rows(self, call: int, script: Any) -> Any:
        """Return a stream, and nothing else."""
        self.begin(call)
        self.end(call, "returned", "item")
        return made(self.party, Script.read(script))

    async def remote_table(self, call: int, delay: float, script: Any) -> Any:
        """Return a stream after a while, with something else."""
        self.begin(call)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self.end(call, "cancelled", "")
            raise
        return self.returned(call, [made(self.party, Script.read(script))])

    def remote_unsendable_rows(self, call: int, script: Any) -> Any:
        """Return a stream together with what cannot be sent."""
        self.begin(call)
        self.party.office.raised += 1
        self.end(call, "raised", "jelly.errors.CannotJelly")
        return call, [made(self.party, Script.read(script)), object()]

    async def remote_store(self, call: int, number: str, how: Any, lines: Any) -> Any:
        """Read a stream, and return how many items it had."""
        self.begin(call)
        try:
            taken = await read(self.party, number, broker.stream_of(lines), Reading(*how))
        except asyncio.CancelledError:
            self.end(call, "cancelled", "")
            raise
        return self.returned(call, taken)

    def remote_keep(self, call: int, number: str, how: Any, lines: Any) -> Any:
        """Keep a stream for later, or read it after this call has returned."""
        self.begin(call)
        stream = broker.stream_of(lines)
        if how is None:
            self.party.streams.append((number, stream))
        else:
            reader = read(self.party, number, stream, Reading(*how))
            self.party.readers.append(asyncio.create_task(reader))
        return self.returned(call, None)

    def remote_page(self, collector: Any, call: int, size: int) -> Any:
        """Send bytes in pages."""
        self.begin(call)
        pb.StringPager(collector, bytes(range(250)) * size, 700)
        return self.returned(call, None)


class DeskAvatar(broker.Avatar):
    """A desk that one has to log in for."""

    def __init__(self, desk: Desk, number: int):
        self.desk = desk
        self.number = number
        desk.party.history.record("login", desk.party.name, detail=number)

    def logout(self) -> None:
        """Write down that the peer has dropped it."""
        party = self.desk.party
        party.history.record("logout", party.name, detail=self.number)


def _at_desk(name: str) -> Any:
    def method(self: DeskAvatar, *args: Any) -> Any:
        return getattr(self.desk, f"remote_{name}")(*args)

    async def coroutine(self: DeskAvatar, *args: Any) -> Any:
        return await getattr(self.desk, f"remote_{name}")(*args)

    is_async = asyncio.iscoroutinefunction(getattr(Desk, f"remote_{name}"))
    return coroutine if is_async else method


for _name in dir(Desk):
    if _name.startswith("remote_"):
        _short = _name.removeprefix("remote_")
        if _short != "MessageReceived" and _name != "remoteMessageReceived":
            setattr(DeskAvatar, f"perspective_{_short}", _at_desk(_short))
