"""Streams of a run: what their generators do, how they are read, and what is written down then."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NamedTuple

import broker
from broker.errors import DeadReferenceError, PBConnectionLost, ServerDraining
from simulation.values import Parcel, Refusal

if TYPE_CHECKING:
    from simulation.party import Party

__all__ = ["Reading", "Script", "made", "read"]

_PULLED = 1024
"""Items that are made ahead in PB's dialects: one queue, two pulls, and what the reader has."""
_ITEMS, _WINDOW, _LARGE = 256, 256 * 1024, 1024 * 1024
"""The usual credit, and the bytes of a stream of pieces."""


class Script(NamedTuple):
    """What a generator does.

    Attributes:
        number: of the stream; no other has it.
        count: how many items it yields.
        kind: of these items.
        size: of each, about.
        waits_at, seconds: before which item it waits, and how long.
        ending: ``"returns"``, ``"raises"``, or ``"unsendable"``: then an item that cannot be sent
            follows.
        items, window: the first credit, or 0 for the usual one.
    """

    number: str
    count: int
    kind: str
    size: int
    waits_at: int
    seconds: float
    ending: str
    items: int
    window: int

    @classmethod
    def draw(cls, dice: random.Random, party: Party) -> Script:
        """Return any script, of a stream that will have something to do with a party."""
        count = dice.choice((0, 1, 4, 12, 12, 40, 40, 300))
        return cls(
            number=party.office.next(),
            count=count,
            kind=dice.choice(("list", "list", "text", "bytes", "parcel", "item")),
            size=dice.choice((0, 0, 900, 9_000)) if count < 100 else 0,
            waits_at=dice.randrange(count + 1),
            seconds=dice.choice((0.0, 0.0, 0.001, 0.3, 12.0)),
            ending=dice.choice(("returns", "returns", "returns", "raises", "unsendable")),
            items=dice.choice((0, 0, 1, 3)),
            window=dice.choice((0, 0, 10_000)),
        )

    @classmethod
    def read(cls, fields: Any) -> Script:
        """Return the script that was sent."""
        return cls(*fields)

    def credit(self) -> contextlib.AbstractContextManager[None]:
        """Ask for the first credit in the calls inside."""
        return broker.credit(self.items or None, self.window or None)

    def item(self, place: int, party: Party) -> tuple[Any, int]:
        """Return an item, and its size."""
        text = f"{self.number}.{place} "
        filled = text + "x" * self.size
        match self.kind:
            case "list":
                return [self.number, place], 0
            case "text":
                return filled, len(filled)
            case "bytes":
                return filled.encode(), len(filled)
            case "parcel":
                return Parcel(place, filled), len(filled)
        return party.desk.another(), 0


def made(party: Party, script: Script) -> AsyncIterator[Any]:
    """Return the generator of a script, and write down what its reader may expect.

    The credit of arguments, and of ends that have not read the terms of the other, is the usual.
    """
    assert party.broker is not None
    is_ours = party.broker.session.translator.has_streams
    items = script.items or _ITEMS
    window = (script.window or _WINDOW) + _LARGE * (script.kind == "bytes")
    bounds = (items, window) if is_ours else (_PULLED, 1 << 40)
    detail = (script.number, script.count, script.ending, *bounds)
    party.history.record("stream", party.name, detail=detail)
    return _generate(party, script)


async def _generate(party: Party, script: Script) -> AsyncIterator[Any]:
    record, name, number = party.history.record, party.name, script.number
    record("begun", name, detail=(number,))
    how = "closed"
    try:
        for place in range(script.count):
            if place == script.waits_at:
                await asyncio.sleep(script.seconds)
            item, size = script.item(place, party)
            record("yield", name, detail=(number, place, size))
            yield item
            del item
        if script.waits_at == script.count:
            await asyncio.sleep(script.seconds)
        if script.ending == "unsendable":
            yield object()
        elif script.ending == "raises":
            how = "raised"
            raise Refusal(f"stream {number} is refused")
        how = "returned"
    finally:
        record("over", name, detail=(number, how))


class Reading(NamedTuple):
    """How a stream is read.

    Attributes:
        most: how many items are read, or -1 for all.
        way: how it is left then: ``"break"``, ``"stop"`` or ``"block"``, at the end of ``async
            with``.
        waits_at, seconds: before which item the reader waits, and how long.
    """

    most: int
    way: str
    waits_at: int
    seconds: float

    @classmethod
    def draw(cls, dice: random.Random) -> Reading:
        """Return any way to read."""
        return cls(
            most=dice.choice((-1, -1, -1, 0, 1, 5, 20)),
            way=dice.choice(("break", "stop", "block")),
            waits_at=dice.choice((0, 1, 3, 10)),
            seconds=dice.choice((0.0, 0.0, 0.02, 0.5, 3.0)),
        )

    def begun(self) -> Reading:
        """Return one that takes the first step at once: a promise tells its error only there."""
        return self._replace(most=self.most or 1, waits_at=self.waits_at or 1)


async def read(party: Party, number: str, stream: Any, how: Reading) -> int:
    """Read a stream, write down what came and how it ended, and return the number of items.

    Args:
        party: who reads.
        number: of the stream.
        stream: a RemoteStream, or the iterator of the promise of one.
        how: how much of it, and how it is left.
    """
    party.history.record("reading", party.name, detail=(number,))
    end, what, taken = "stopped", how.way, 0
    try:
        async with contextlib.AsyncExitStack() as block:
            if how.way == "block":
                await block.enter_async_context(stream)
            while taken != how.most:
                if taken == how.waits_at:
                    await asyncio.sleep(how.seconds)
                item = await anext(stream)
                place, size = _place(number, item, taken)
                party.history.record("taken", party.name, detail=(number, place, size))
                taken += 1
                del item
            if how.way == "stop":
                await stream.aclose()
    except StopAsyncIteration:
        end, what = "complete", ""
    except asyncio.CancelledError:
        end, what = "cancelled", ""
        raise
    except (PBConnectionLost, DeadReferenceError, ServerDraining) as error:
        end, what = "lost", type(error).__name__
    except Exception as error:
        end, what = "raised", repr(error)
    finally:
        party.history.record("read out", party.name, detail=(number, end, what))
    return taken


def _place(number: str, item: Any, taken: int) -> tuple[int, int]:
    """Return which item it is, and its size; -1 for what is of another stream."""
    match item:
        case [str(found), int(place)]:
            return (place if found == number else -1), 0
        case Parcel():
            return _place(number, item.content, taken)
        case bytes():
            return _place(number, item.decode(), taken)
        case str():
            found, _, place = item.partition(" ")[0].rpartition(".")
            return (int(place) if found == number else -1), len(item)
    return taken, 0
