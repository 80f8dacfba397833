"""One run of links: what they do, and what happens to their servers, until nothing is left.

Theory of operation. Links connect, and their programs make calls on them; on each connection both
ends call each other, too. Meanwhile servers end and start again, and connections have faults. Then
follow three acts. *Rest*: each link must be connected again, and both ends of a healthy connection
must agree. *End*: all is closed. *Nothing*: whatever is left then is a leak.
"""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

from broker.connection.broker import Broker
from broker.testing.loop import SimulatedLoop
from simulation.history import History
from simulation.inspection import agreement, leftovers
from simulation.links.acts import Acts
from simulation.links.caller import Caller
from simulation.links.place import Place
from simulation.links.plan import LinkPlan
from simulation.links.servers import Joint, Servers
from simulation.links.user import User
from simulation.rules import DRAINS
from simulation.values import HISTORY

__all__ = ["LinkScenario"]

# Seconds; who still waits then waits for ever.
_PATIENCE = 400.0


class LinkScenario:
    """The run of one plan."""

    def __init__(self, plan: LinkPlan, dice: random.Random, loop: SimulatedLoop, history: History):
        self._plan, self._dice, self._loop, self._history = plan, dice, loop, history
        self._servers = Servers(plan, dice, loop, history, self._met)
        self._users: list[User] = []
        self._actors: list[asyncio.Task[None]] = []

    async def play(self) -> None:
        """Let all happen."""
        HISTORY.set(self._history)
        plan, servers = self._plan, self._servers
        for place in range(plan.addresses):
            servers.start(place)
        self._users += map(self._user, range(len(plan.profiles)))
        users = [asyncio.create_task(user.use()) for user in self._users]
        restarts = [asyncio.create_task(servers.restart(each)) for each in plan.restarts]
        await self._wait(restarts, "what happens to servers")
        await self._wait(users, "users")
        await self._wait([each for user in self._users for each in user.visits], "visits")
        await self._wait(self._actors, "actors of the servers")
        del users, restarts
        await self._rest()
        await self._end()

    async def _wait(self, tasks: list[asyncio.Task[None]], who: str) -> None:
        """Wait for tasks, but not for ever."""
        if not tasks:
            return
        done, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in done:
            if not task.cancelled():
                task.result()
        for task in late:
            self._history.record("wrong", "run", detail=f"{who} still wait after {_PATIENCE:g} s")
            task.cancel()

    def _user(self, index: int) -> User:
        dice = random.Random(self._dice.getrandbits(64))
        user = User(index, self._plan, dice, self._history, self._number_of)
        user.link._connect._reach = self._reach_of(index)  # type: ignore[method-assign]
        return user

    def _reach_of(self, index: int) -> Any:
        return lambda end, connecting: self._servers.reach(index, end, connecting)

    def _number_of(self, end: Broker) -> str:
        return next(each.number for each in self._servers.joints if each.client is end)

    def _met(self, name: str, other: Any) -> None:
        """Let the server act towards a client that has introduced itself."""
        plan, dice = self._plan, random.Random(self._dice.getrandbits(64))
        steps = dice.randrange(max(1, plan.steps // 2))
        caller, own = Caller(name, self._history), Place(name, self._history)
        acts = Acts(caller, other, dice, own, steps, plan.pause, f"{name} to its client")
        other.broker.closed.addCallback(lambda result: setattr(acts, "is_over", True))
        self._actors.append(asyncio.create_task(acts.act()))

    # The acts after that.

    async def _rest(self) -> None:
        """Let the links connect, and compare both ends of each healthy connection."""
        self._servers.is_resting = True
        ends = self._loop.time() + max(user.bound for user in self._users) + 1.0
        while self._loop.time() < ends and not all(map(self._is_up, self._users)):
            await asyncio.sleep(0.5)
        for _ in range(2):
            gc.collect()
            await self._come_to_rest()
        for user in self._users:
            recipes = tuple(name for name, _ in user.recipes)
            self._history.record("rest", user.name, detail=recipes)
        for joint in self._servers.quiet():
            one, other = joint.client, joint.other
            assert other is not None
            names = f"l{joint.number}", f"s{joint.number}"
            self._history.record("quiet", names[0], detail=agreement(one, other))
            self._history.record("quiet", names[1], detail=agreement(other, one))

    def _is_up(self, user: User) -> bool:
        return user.link.connection is not None

    async def _come_to_rest(self) -> None:
        """Wait until nothing is on its way for a while, and all methods have ended that may."""
        is_ours = "msgpack/1" in self._plan.dialects
        calm = 0
        for _ in range(int(_PATIENCE)):
            await asyncio.sleep(1.0)
            joints = self._servers.quiet()
            is_moving = not all(joint.wire.is_empty for joint in joints)
            is_running = any(end.session.running for joint in joints for end in _ends_of(joint))
            calm = 0 if is_moving or (is_running and not is_ours) else calm + 1
            if calm == 3:
                return

    async def _end(self) -> None:
        """Close all, and write down what is left."""
        servers = self._servers
        for joint in servers.joints:
            if joint.lost < 2:
                servers.harm(joint, DRAINS if self._plan.server_ends else "the end")
        if self._plan.server_ends:
            servers.end()
            await asyncio.sleep(self._dice.random() * 3.0)
        for user in self._users:
            self._history.record("closes", user.name)
            left = await asyncio.wait_for(user.close(), _PATIENCE)
            self._history.record("ended", user.name, detail=left)
        servers.end()
        await self._wait(servers.closing, "servers that close")
        await self._wait(self._actors, "actors of the servers")
        await self._wait([each for user in self._users for each in user.visits], "visits")
        ends = []
        for joint in servers.joints:
            for name, end in (("l", joint.client), ("s", joint.other)):
                if end is not None:
                    what = leftovers(end)
                    self._history.record("ended", f"{name}{joint.number}", detail=what)
                    ends.append(weakref.ref(end))
        self._actors.clear()
        self._users.clear()
        servers.closing.clear()
        left = servers.forget()
        del joint, end, user
        await self._nothing(ends, left)

    async def _nothing(self, ends: list[Any], left: dict[str, Any]) -> None:
        """Write down what is left of the run."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others and not self._plan.is_strict:
            # The published policy lets methods run on whose caller has gone.
            await asyncio.wait(others, timeout=60.0)
        del others
        await asyncio.sleep(1.0)
        self._loop.forget_arrivals()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        timers = self._loop.timers()
        for _ in range(3):
            gc.collect()
        left |= {
            "tasks": [task.get_name() for task in others],
            "timers": len(timers),
            "brokers": sum(end() is not None for end in ends),
            "complaints of the loop": [str(error) for error in self._loop.errors],
        }
        self._history.record("ended", "run", detail=left)


def _ends_of(joint: Joint) -> list[Broker]:
    return [end for end in (joint.client, joint.other) if end is not None]
