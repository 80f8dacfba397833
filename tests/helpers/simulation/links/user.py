"""A program with a link: its recipes, its task, and what it does with them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import broker
from broker.connection.broker import Broker
from cred.credentials import Anonymous, UsernamePassword
from simulation.history import History
from simulation.links.acts import STEPS, Acts, Step
from simulation.links.caller import Caller, Made
from simulation.links.place import Place
from simulation.links.plan import ADDRESSES, LinkPlan

__all__ = ["User"]

_TIMEOUT = 10.0


class User:
    """One link and its program.

    Args:
        index: of the link.
        plan, history: of the run.
        dice: decides what it does.
        number_of: returns the number of the connection of a Broker.

    Attributes:
        name: for the history.
        link: the link.
        recipes: those that it holds, with their names.
        visits: what it does on each connection.
    """

    def __init__(
        self,
        index: int,
        plan: LinkPlan,
        dice: random.Random,
        history: History,
        number_of: Callable[[Broker], str],
    ):
        self.name = f"l{index}"
        self._plan, self._dice, self._history = plan, dice, history
        self._number_of = number_of
        credentials: Any = {
            "": None,
            "password": UsernamePassword(b"alice", b"secret"),
            "anonymous": Anonymous(),
        }[plan.login]
        if credentials is not None and dice.random() < 0.5:
            given = credentials
            credentials = lambda: given  # noqa: E731 - one name for both forms
        self.link = broker.Link(
            ADDRESSES[: plan.addresses],
            credentials,
            policy=plan.policy,
            timeout=_TIMEOUT,
            retry=broker.Retry(first=plan.first, most=plan.most),
            patience=1000.0,
        )
        self.first = self.link.avatar if plan.login else self.link.root
        self.link.task(self._visit)
        self._recipes = 0
        self.recipes: list[tuple[str, Any]] = []
        self.visits: list[asyncio.Task[None]] = []
        self._reader: asyncio.Task[None] | None = None

    @property
    def bound(self) -> float:
        """Seconds after which it must be connected again once its server is back."""
        after = max([each.after for each in self._plan.restarts], default=0.0)
        return 3 * self._plan.most + after + _TIMEOUT + 5.0

    async def use(self) -> None:
        """Connect, and do all steps."""
        self._history.record("link", self.name, detail=self.bound)
        self._reader = asyncio.create_task(self._read())
        for _ in range(self._dice.randrange(4)):
            self.add_recipe()
        await self.link.__aenter__()
        own = Place(self.name, self._history)
        await LinkActs(self, self._plan, self._dice, own).act()

    def add_recipe(self) -> None:
        """Make a recipe of the avatar or of another recipe; sometimes it is a function."""
        self._recipes += 1
        name = f"{self.name}.r{self._recipes}"
        on = self.first
        if self.recipes and self._dice.random() < 0.4:
            on = self._dice.choice(self.recipes)[1]
        if on is self.first and self._dice.random() < 0.3:
            recipe = self.link.recipe(lambda reference: reference.callRemote("made", name))
        else:
            recipe = on.recipe("made", name)
        self.recipes.append((name, recipe))

    async def _read(self) -> None:
        async for state in self.link.states():
            self._history.record("state", self.name, detail=type(state).__name__)

    async def _visit(self, connection: Any) -> None:
        """Introduce oneself on a connection, and make calls on it; the task of the link."""
        number = self._number_of(connection.broker)
        name = f"l{number}"
        self._history.record("up", name)
        caller, dice = Caller(name, self._history), random.Random(self._dice.getrandbits(64))
        target = connection.avatar if self._plan.login else connection.root
        own = Place(name, self._history)
        steps = dice.randrange(self._plan.steps)
        acts = Acts(caller, target, dice, own, steps, self._plan.pause, f"{name} to its server")
        caller.watch(acts.call("hello", own))
        # The acts see for themselves that the connection has gone, and all their calls end.
        acting = asyncio.create_task(acts.act())
        self.visits.append(acting)
        try:
            await asyncio.shield(acting)
        finally:
            acts.is_over = True

    async def close(self) -> dict[str, Any]:
        """Close the link; return what is left of it."""
        await self.link.__aexit__(None, None, None)
        if self._reader is not None:
            await self._reader
        kept = self.link._kept
        self.recipes.clear()
        return {
            "calls that wait": len(kept._waiting),
            "keys": len(kept._keys._open),
            "terms": len(kept._terms._coming),
            "connections": len(kept.first._made),
            "tasks": len(self.link._others),
        }


class LinkActs(Acts):
    """Lets a program use its link.

    Args:
        user: the program.
        plan, dice: of the run.
        own: its object.
    """

    kind = "linked"

    def __init__(self, user: User, plan: LinkPlan, dice: random.Random, own: Place):
        # A call that a server has refused while it drained is made behind newer ones.
        line = None if plan.drains else f"{user.name} to its servers"
        caller = Caller(user.name, user._history)
        super().__init__(caller, user.first, dice, own, plan.steps, plan.pause, line)
        self._user = user

    def steps(self) -> list[Step]:
        """Return what a link can do."""
        return LINK_STEPS

    def call(self, name: str, *args: Any) -> Made:
        """Make a call on the first reference of the link, or on a recipe."""
        target, line = self._chosen()
        return self.caller.call(target, name, *args, line=line, kind=self.kind)

    def _chosen(self) -> tuple[Any, str | None]:
        recipes = self._user.recipes
        if not recipes or self.dice.random() < 0.5:
            return self.target, self.line
        name, target = self.dice.choice(recipes)
        return target, self.line and f"{self.line} by {name}"

    async def buy(self) -> None:
        """Make a call that runs at most once."""
        thing = self.dice.choice(("small", "small", "large", "here"))
        target, _ = self._chosen()
        async with broker.once():
            made = self.caller.call(target, "buy", self.delay(), thing, kind="once")
        if self.dice.random() < 0.1 and made.promise is not None:
            over = self.caller.watch(made)
            await asyncio.sleep(self.delay())
            made.promise.cancel()
            await over
        await self.caller.watch(made)

    async def recipe(self) -> None:
        """Make a recipe, or drop one."""
        if self._user.recipes and self.dice.random() < 0.4:
            self._user.recipes.pop(self.dice.randrange(len(self._user.recipes)))
        else:
            self._user.add_recipe()

    async def hand_over(self) -> None:
        """Pass a reference of the link."""
        recipes = [target for _, target in self._user.recipes]
        if recipes:
            target, line = self._chosen()
            made = self.caller.call(
                target, "take", self.dice.choice(recipes), line=line, kind=self.kind
            )
            await self.caller.watch(made)

    async def close_it(self) -> None:
        """Close the connection."""
        connection = self._user.link.connection
        if connection is not None:
            number = self._user._number_of(connection.broker)
            self.caller.history.record("fault", f"l{number}", detail="client closes")
            await connection.close()

    async def wait(self) -> None:
        """Let time pass, so that something happens to the connection."""
        await asyncio.sleep(self.dice.random())


LINK_STEPS: list[Step] = [
    *STEPS,
    *[LinkActs.buy] * 5,
    *[LinkActs.recipe] * 2,
    LinkActs.hand_over,
    LinkActs.close_it,
    *[LinkActs.wait] * 2,
]
