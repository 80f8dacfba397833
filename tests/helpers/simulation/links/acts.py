"""What the ends of a connection do to each other: calls, and chains of calls on promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import broker
from broker.flavors.promise import when_settled
from simulation.links.caller import Caller, Made
from simulation.links.place import Place

__all__ = ["Acts", "Step"]

SOURCES: list[tuple[str, int | str | None]] = [
    ("place", None),
    ("place", None),
    ("place_later", None),
    ("place_later", None),
    ("places", 1),
    ("table", "place"),
    ("same", None),
    ("back", None),
    ("back", None),
    ("number", None),
    ("places", 0),
    ("fail", None),
    ("fail_later", None),
    ("absent", None),
]
"""Methods, and the element of the result that is called."""

_WITH_DELAY = frozenset({"place_later", "places", "table", "back", "fail_later"})


class Acts:
    """Lets one end do a number of steps, some beside each other.

    Args:
        caller: the end.
        target: what it calls; a reference, or one of a link.
        dice: decides what.
        own: an object of this end, which the other side may return.
        steps: how many.
        pause: seconds between two steps at most.
        line: the line of direct calls; None if they have no order.
    """

    kind = ""

    def __init__(
        self,
        caller: Caller,
        target: Any,
        dice: random.Random,
        own: Place,
        steps: int,
        pause: float,
        line: str | None,
    ):
        self.caller = caller
        self.target = target
        self.dice = dice
        self.own = own
        self.line = line
        self.is_over = False
        self._steps = steps
        self._pause = pause

    async def act(self) -> None:
        """Do all steps."""
        beside = []
        for _ in range(self._steps):
            if self.is_over:
                break
            step = self.dice.choice(self.steps())
            if self.dice.random() < 0.5:
                beside.append(asyncio.create_task(step(self)))
            else:
                await step(self)
            if self.dice.random() < 0.6:
                await asyncio.sleep(self.dice.random() * self._pause)
        if beside:
            for task in (await asyncio.wait(beside))[0]:
                task.result()

    def steps(self) -> list[Step]:
        """Return the steps of which each is as likely as another."""
        return STEPS

    # What the steps are made of.

    def delay(self) -> float:
        """Return some seconds."""
        return self.dice.choice((0.0, 0.0, 0.001, 0.03, 0.4))

    def value(self) -> Any:
        """Return something to send."""
        return self.dice.choice((1, "text", None, b"x" * 900, b"y" * 20_000, self.own))

    def call(self, name: str, *args: Any) -> Made:
        """Make a call directly."""
        return self.caller.call(self.target, name, *args, line=self.line, kind=self.kind)

    # The steps.

    async def echo(self) -> None:
        """Get a value back, at once or later."""
        name = self.dice.choice(("echo", "later", "deferred"))
        args = () if name == "echo" else (self.delay(),)
        await self.caller.watch(self.call(name, *args, self.value()))

    async def burst(self) -> None:
        """Make calls of several kinds at once, and wait for all."""
        made = []
        for _ in range(self.dice.randint(2, 6)):
            name = self.dice.choice(("echo", "echo", "later", "fail"))
            args = {"echo": (1,), "later": (self.delay(), 2), "fail": ()}[name]
            made.append(self.call(name, *args))
        for each in made:
            await self.caller.watch(each)

    async def give_up(self) -> None:
        """Cancel a call at any moment."""
        made = self.call("later", self.dice.choice((0.1, 40.0)), self.value())
        over = self.caller.watch(made)
        await asyncio.sleep(self.delay())
        if made.promise is not None:
            made.promise.cancel()
        await over

    async def chain(self) -> None:
        """Make calls on the result of a call, before and after it has come."""
        name, step = self.dice.choice(SOURCES)
        args: list[Any] = [self.delay()] if name in _WITH_DELAY else []
        if name == "back":
            args.append(self.own)
        source = self.call(name, *args)
        if source.promise is None:
            return
        await self._go_on(source, step, self.dice.randint(0, 2))

    async def _go_on(self, source: Made, step: int | str | None, depth: int) -> None:
        """Make calls on a promise, wait for some of them, and then call what it became."""
        target = source.promise if step is None else source.promise[step]
        line = f"promise of {source.number}"
        made: list[Made] = []
        deeper: list[asyncio.Task[None]] = []
        for _ in range(self.dice.randint(1, 5)):
            kind = self.dice.randrange(10)
            if kind < 6:
                made.append(self._call_on(target, source, line))
            elif kind == 6:
                self.caller.send(target, "note", 3, line=line, sources=(source.number,))
            elif kind == 7:
                made.append(await self._pass(target, source, line))
            elif depth:
                next_name, next_step = self.dice.choice(SOURCES[:7])
                args = (self.delay(),) if next_name in _WITH_DELAY else ()
                inner = self.caller.call(
                    target, next_name, *args, line=line, sources=(source.number,)
                )
                if inner.promise is not None:
                    going = self._go_on(inner, next_step, depth - 1)
                    deeper.append(asyncio.create_task(going))
            if self.dice.random() < 0.3:
                await asyncio.sleep(self.delay())
        if self.dice.random() < 0.15:
            self.dice.choice([source, *[each for each in made if each.promise]]).promise.cancel()
        if step is not None:
            # Perhaps nobody uses the element.
            target.addErrback(lambda failure: None)
        del target
        overs = [self.caller.watch(each) for each in made]
        result = await self.caller.watch(source)
        found = result[step] if step is not None and result is not None else result
        if isinstance(found, broker.RemoteReference):
            # Behind the calls on the promise.
            for _ in range(self.dice.randint(0, 2)):
                direct = self.caller.call(found, "echo", "direct", line=line)
                overs.append(self.caller.watch(direct))
        del found, result
        for over in overs:
            await over
        for task in deeper:
            await task

    def _call_on(self, target: Any, source: Made, line: str) -> Made:
        name = self.dice.choice(("echo", "echo", "later", "deferred", "fail"))
        args = {"echo": (self.value(),), "fail": ()}.get(name, (self.delay(), 4))
        return self.caller.call(target, name, *args, line=line, sources=(source.number,))

    async def _pass(self, target: Any, source: Made, line: str) -> Made:
        """Make a call on a promise, or directly, with another promise among its arguments."""
        name, step = self.dice.choice(SOURCES)
        args: list[Any] = [self.delay()] if name in _WITH_DELAY else []
        if name == "back":
            args.append(self.own)
        other = self.call(name, *args)
        if other.promise is None:
            return other
        passed = other.promise if step is None else other.promise[step]
        if self.dice.random() < 0.5:
            sources = (other.number,)
            made = self.caller.call(self.target, "take", passed, line=self.line, sources=sources)
        else:
            sources = (source.number, other.number)
            made = self.caller.call(target, "take", passed, line=line, sources=sources)
        self.caller.await_it(other)
        if step is not None:
            # The call may fail for another reason.
            when_settled(passed, lambda result: None)
        return made

    async def late(self) -> None:
        """Make a chain that has little time."""
        async with broker.timeout(self.dice.choice((0.001, 0.06, 0.3))):
            # A task keeps the deadline; the block would cancel what this one waits for.
            chain = asyncio.create_task(self.chain())
        await chain


Step = Callable[[Any], Awaitable[None]]

STEPS: list[Step] = [
    *[Acts.chain] * 5,
    *[Acts.echo] * 2,
    Acts.burst,
    Acts.give_up,
    Acts.late,
]
