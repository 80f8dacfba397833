"""What the parties of a run do: steps drawn by the dice, each an ordinary use of the library."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import broker
from broker.errors import CallTimeout
from simulation.desk import Item
from simulation.party import Party
from simulation.streams import Reading, Script, made, read
from simulation.values import CallingParcel, Ledger, LedgerCopy, Parcel

__all__ = ["Actor"]


class Actor:
    """Lets one party do a number of steps, some beside each other.

    Args:
        party: who acts; its partner is known.
        dice: decides what.
        steps: how many.
        pause: seconds between two steps at most.
    """

    def __init__(self, party: Party, dice: random.Random, steps: int, pause: float):
        self._party = party
        self._dice = dice
        self._steps = steps
        self._pause = pause
        self._numbers = 0

    async def act(self) -> None:
        """Do all steps; what the other side does to them is in the history."""
        beside = []
        for _ in range(self._steps):
            if self._party.is_lost:
                break
            step = self._dice.choice(STEPS)
            if self._dice.random() < 0.5:
                beside.append(asyncio.create_task(self._do(step)))
            else:
                await self._do(step)
            if self._dice.random() < 0.6:
                await asyncio.sleep(self._dice.random() * self._pause)
        if beside:
            await asyncio.wait(beside)

    async def _do(self, step: Callable[[Actor], Awaitable[None]]) -> None:
        try:
            await step(self)
        except Exception as error:  # each call's own end is in the history
            if not isinstance(error, EXPECTED):
                self._party.wrong(f"{step.__name__}: {error!r}")

    # What the steps are made of.

    def _value(self) -> Any:
        """Return something to send; often little, sometimes much."""
        dice = self._dice
        self._numbers += 1
        kind = dice.randrange(8)
        if kind == 0:
            return dice.randbytes(dice.choice((10, 900, 9_000, 40_000)))
        if kind == 1:
            return Parcel(self._numbers, ["content", self._numbers, None])
        if kind == 2:
            return [Parcel(self._numbers, b"x"), (1, 2.5, "text"), True]
        if kind == 3:
            return Item(self._party)
        return self._numbers

    def _call(self, name: str, *args: Any) -> Any:
        return self._party.call(self._party.partner, name, *args)

    def _delay(self) -> float:
        return self._dice.choice((0.0, 0.0, 0.001, 0.03, 0.4))

    # The steps.

    async def echo(self) -> None:
        """Get a value back."""
        value = self._value()
        returned = await self._call("echo", value)
        if isinstance(value, Item) and returned is not value:
            self._party.wrong(f"an item came home as {type(returned).__name__}")

    async def later(self) -> None:
        """Get a value back after a while."""
        await self._call(self._dice.choice(("later", "deferred")), self._delay(), self._value())

    async def burst(self) -> None:
        """Make calls of several kinds at once, and wait for all."""
        calls = []
        for _ in range(self._dice.randint(2, 8)):
            name = self._dice.choice(("echo", "echo", "later", "note", "deferred"))
            if name == "note":
                self._party.send(self._party.partner, "note", self._value())
                continue
            args = () if name == "echo" else (self._delay(),)
            calls.append(self._call(name, *args, self._value()))
        for call in calls:
            await asyncio.gather(call, return_exceptions=True)

    async def flood(self) -> None:
        """Make calls with much to say, so that each end holds the other's back."""
        for _ in range(3):
            self._party.fire(self._party.partner, "echo", self._dice.randbytes(35_000))
            self._party.fire(self._party.partner, "later", 0.001, 1)

    async def fail(self) -> None:
        """Call what raises."""
        name, is_meant = self._dice.choice((("fail", True), ("fail_later", True), ("fail", False)))
        args = (self._delay(), is_meant) if name == "fail_later" else (is_meant,)
        await self._call(name, *args)

    async def absent(self) -> None:
        """Call a method that is not there."""
        await self._call("absent", Item(self._party))

    async def unsendable(self) -> None:
        """Send what cannot be sent, with something that can, or ask for it."""
        if self._dice.random() < 0.5:
            await self._call("unsendable")
            return
        parcel = CallingParcel(0, None)
        parcel.party, parcel.reference = self._party, self._party.partner
        things = [Item(self._party), Ledger(self._party.office, 9), parcel, object()]
        await self._call("echo", things)

    async def hook(self) -> None:
        """Send what makes a call while it is sent."""
        parcel = CallingParcel(0, "made with a call")
        parcel.party, parcel.reference = self._party, self._party.partner
        await self._call("echo", parcel)

    async def hand_over(self) -> None:
        """Give a reference, to be called back and kept or not."""
        item, is_kept = Item(self._party), self._dice.random() < 0.5
        await self._call("take", item, is_kept, self._dice.randrange(3))

    async def fetch(self) -> None:
        """Get references, and keep some."""
        self._party.held.append(await self._call("give"))

    async def use(self) -> None:
        """Call a reference that is held, or send it home."""
        references = [held for held in self._party.held if not isinstance(held, LedgerCopy)]
        if not references:
            return
        reference = self._dice.choice(references)
        if self._dice.random() < 0.3:
            await self._call("echo", reference)
        else:
            name, args = self._dice.choice((("echo", ()), ("later", (self._delay(),))))
            await self._party.call(reference, name, *args, self._value())

    async def drop(self) -> None:
        """Let go of something that is held."""
        if self._party.streams and self._dice.random() < 0.5:
            self._party.streams.pop(self._dice.randrange(len(self._party.streams)))
        if self._party.held:
            self._party.held.pop(self._dice.randrange(len(self._party.held)))

    async def follow(self) -> None:
        """Get a cache, have it changed, and keep it or not."""
        which = self._dice.randrange(2)
        cache = await self._call("follow", which)
        if self._dice.random() < 0.6:
            self._party.held.append(cache)
        for _ in range(self._dice.randrange(3)):
            self._party.fire(self._party.partner, "change", which, self._dice.randrange(100))
        if self._dice.random() < 0.3:
            # A cache goes home as what it is a cache of.
            await self._call("echo", cache)

    async def subscribe(self) -> None:
        """Be told of events."""
        item = Item(self._party)
        await self._call("subscribe", item, item.number)
        await self._call("announce")

    async def announce(self) -> None:
        """Tell all of an event."""
        self._party.office.announce()

    async def page(self) -> None:
        """Get bytes in pages."""
        size = self._dice.choice((1, 5, 30))
        pages, called = self._party.page(size)
        await called
        end = self._party.broker
        assert end is not None
        waits = [
            asyncio.ensure_future(_until(each)) for each in (pages, end.connection.wait_closed())
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if waits[0].done() and b"".join(waits[0].result()) != bytes(range(250)) * size:
            self._party.wrong("pages came wrong")
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def give_up(self) -> None:
        """Cancel a call at any moment, by its task or its Deferred."""
        name, delay = self._dice.choice((("later", 40.0), ("later", 0.1), ("deferred", 0.1)))
        call = self._call(name, delay, self._value())
        await asyncio.sleep(self._delay())
        if self._dice.random() < 0.5:
            call.addErrback(lambda failure: None)
            call.cancel()
            return
        task = asyncio.ensure_future(_until(call))
        await asyncio.sleep(self._delay())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def run_late(self) -> None:
        """Make calls that have little time."""
        try:
            async with broker.timeout(self._dice.choice((0.001, 0.06, 0.3))):
                await self._call("echo", self._value())
                await self._call("later", self._dice.choice((0.05, 0.3, 40.0)), self._value())
        except CallTimeout:
            return

    # The steps with streams.

    async def rows(self) -> None:
        """Read the stream that a call returns: the call's promise, or what is in its result."""
        script, how = Script.draw(self._dice, self._party), Reading.draw(self._dice)
        if self._dice.random() < 0.5:
            with script.credit():
                rows = self._party.rows(script)
            await read(self._party, script.number, aiter(rows), how.begun())
            return
        with script.credit():
            called = self._call("table", self._delay(), tuple(script))
        table = [broker.stream_of(each) for each in await called]
        if self._dice.random() < 0.3:
            self._party.streams.append((script.number, table.pop()))
            return
        await read(self._party, script.number, table.pop(), how)

    async def store(self) -> None:
        """Send a stream, which the other side reads at once, or later, or never."""
        script, how = Script.draw(self._dice, self._party), Reading.draw(self._dice)
        items = made(self._party, script._replace(items=0, window=0))
        if self._dice.random() < 0.6:
            await self._call("store", script.number, tuple(how), items)
            return
        later = tuple(how) if self._dice.random() < 0.6 else None
        await self._call("keep", script.number, later, items)

    async def read_on(self) -> None:
        """Read a stream that was kept."""
        if self._party.streams:
            number, stream = self._party.streams.pop()
            how = Reading.draw(self._dice)
            reader = read(self._party, number, stream, how)
            del stream
            await reader

    async def read_less(self) -> None:
        """Give up a call that returns a stream, or the reading of it; or want no result."""
        script = Script.draw(self._dice, self._party)
        if self._dice.random() < 0.3:
            self._party.send(self._party.partner, "table", self._delay(), tuple(script))
            return
        if self._dice.random() < 0.5:
            with script.credit():
                called = self._call("table", self._delay(), tuple(script))
            called.addErrback(lambda failure: None)
            await asyncio.sleep(self._delay())
            called.cancel()
            return
        with script.credit():
            rows = self._party.rows(script)
        how = Reading.draw(self._dice)
        task = asyncio.ensure_future(read(self._party, script.number, aiter(rows), how.begun()))
        del rows
        await asyncio.sleep(self._delay())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def unsendable_rows(self) -> None:
        """Send a stream with something that cannot be sent, or ask for it."""
        script = Script.draw(self._dice, self._party)
        if self._dice.random() < 0.5:
            await self._call("unsendable_rows", tuple(script))
            return
        await self._call("echo", [made(self._party, script), object()])


async def _until(awaitable: Any) -> Any:
    return await awaitable


EXPECTED: tuple[type[Exception], ...] = (
    broker.Error,
    broker.RemoteError,
    broker.PBConnectionLost,
    broker.DeadReferenceError,
    broker.NoSuchMethod,
    broker.CannotJelly,
    broker.CallTimeout,
    ValueError,
)

STEPS: list[Callable[[Actor], Awaitable[None]]] = [
    *[Actor.echo] * 3,
    *[Actor.later] * 3,
    *[Actor.burst] * 3,
    *[Actor.use] * 3,
    *[Actor.follow] * 2,
    *[Actor.hand_over] * 2,
    *[Actor.fetch] * 2,
    *[Actor.give_up] * 2,
    *[Actor.drop] * 2,
    Actor.flood,
    Actor.fail,
    Actor.absent,
    Actor.unsendable,
    Actor.hook,
    Actor.subscribe,
    Actor.announce,
    Actor.page,
    Actor.run_late,
    *[Actor.rows] * 4,
    *[Actor.store] * 3,
    Actor.read_on,
    Actor.read_less,
    Actor.unsendable_rows,
]
