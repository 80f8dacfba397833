"""The inspector of a server against a model, while its clients come, act and go in the simulation.

Theory of operation. The real server, clients and inspector run in the simulated loop, over its
network. Clients take and drop objects, begin and give up calls, read streams, follow caches and
subscribe; they leave, are cut off, or are kicked by the inspector. At any moment the inspector may
show nothing that never was there. At rest it must show what the model has.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections import Counter
from typing import Any, NamedTuple

import broker
from broker.connection.broker import Broker
from broker.inspection.contract import ORDERS, ConnectionSnapshot
from broker.inspection.inspector import Inspector
from broker.net.transports import StreamTransport
from broker.testing.ends import MemoryConnect, MemoryServer
from broker.testing.flow import Profile
from broker.testing.loop import SimulatedLoop
from broker.testing.network import Wire
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import Anonymous, UsernamePassword
from cred.portal import Portal
from simulation.visitor import Desk, Listener, Visitor

__all__ = ["ACTS", "Outcome", "run_census"]

_STEPS = 120
_MOST_VISITORS = 12
_FIRST_PORT = 40_000
_CALM, _PATIENCE = 3, 300
_USERS = {"alice": "secret", "bob": "other"}


class Outcome(NamedTuple):
    """How a run went.

    Attributes:
        faults: what the inspector showed that was not so.
        acts: how often each act was done.
        rests: how often all was compared.
        looks: how often the inspector was asked in between.
    """

    faults: list[str]
    acts: Counter[str]
    rests: int
    looks: int


class _Churn:
    """One run."""

    def __init__(self, dice: random.Random, loop: SimulatedLoop):
        self._dice = dice
        self._loop = loop
        self.faults: list[str] = []
        self.acts: Counter[str] = Counter()
        self.rests = self.looks = 0
        self._visitors: dict[int, Visitor] = {}
        self._arrived = self._kicked = 0
        self._policy = dice.choice((broker.STRICT, broker.PUBLISHED)).but(
            dialects=(dice.choice(("msgpack/1", "msgpack/1", "pb")),)
        )
        self._is_ours = self._policy.dialects == ("msgpack/1",)
        self._subscribers = broker.Subscribers()
        portal = Portal(broker.realm(lambda name, mind: Desk(self._subscribers)))
        portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(**_USERS))
        portal.registerChecker(AllowAnonymousAccess())
        self._server = MemoryServer(portal, self._policy, lambda end: None)
        self._inspector = Inspector(self._server)

    async def play(self) -> None:
        """Let it happen."""
        for _ in range(_STEPS):
            name = self._dice.choice(_ACTS)
            if name == "arrive" or self._visitors:
                self.acts[name] += await getattr(self, f"_{name}")()
            if self._dice.random() < 0.5:
                await self._look()
            if self._dice.random() < 0.25:
                await self._compare()
        await self._compare()
        for visitor in list(self._visitors.values()):
            await self._end(visitor, visitor.connection.close())
        await self._compare()
        self._inspector.stop()
        await self._server.close(drain=0)

    def _any(self) -> Visitor:
        return self._dice.choice(list(self._visitors.values()))

    # The acts. Each returns whether it was done.

    async def _arrive(self) -> bool:
        if len(self._visitors) >= _MOST_VISITORS:
            return False
        self._arrived += 1
        user = self._dice.choice((None, *_USERS))
        visitor = Visitor(self._arrived, user)
        credentials = Anonymous() if user is None else UsernamePassword(user, _USERS[user])

        async def reach(end: Broker) -> None:
            visitor.wire = Wire(
                self._loop,
                self._dice,
                Profile(latency=self._dice.choice((0.0, 0.01, 0.2)), pieces=(0, 7, 1448)),
                (f"c{visitor.number}", f"s{visitor.number}"),
                (
                    lambda: StreamTransport(lambda address: end, self._loop),
                    lambda: StreamTransport(self._server.accept, self._loop),
                ),
                _FIRST_PORT + visitor.number,
            )
            visitor.wire.begin()

        visitor.connection = await MemoryConnect(reach, credentials, None, self._policy)
        # How many calls a login takes is no matter of this.
        visitor.made = (await self._inspector.connection(visitor.number)).calls_received
        self._visitors[visitor.number] = visitor
        return True

    async def _leave(self) -> bool:
        visitor = self._any()
        await self._end(visitor, visitor.connection.close())
        return True

    async def _be_cut(self) -> bool:
        visitor = self._any()
        visitor.wire.cut()
        await self._end(visitor, visitor.connection.wait_closed())
        return True

    async def _kick(self) -> bool:
        visitor = self._any()
        count = await self._inspector.kick(number=visitor.number, reason="simulated")
        if count != 1:
            self.faults.append(f"kick of {visitor.number}: {count}")
        await self._end(visitor, visitor.connection.wait_closed())
        return True

    async def _kick_user(self) -> bool:
        # The server has seen the end of those that have left.
        await self._rest()
        user = self._dice.choice(list(_USERS))
        gone = [each for each in self._visitors.values() if each.user == user]
        count = await self._inspector.kick(user=user)
        if count != len(gone):
            self.faults.append(f"kick of {user}: {count}, not {len(gone)}")
        for visitor in gone:
            await self._end(visitor, visitor.connection.wait_closed())
        return bool(gone)

    async def _end(self, visitor: Visitor, ending: Any) -> None:
        del self._visitors[visitor.number]
        for call in visitor.calls:
            call.addErrback(lambda failure: None)
        await ending
        visitor.drop()

    async def _take(self) -> bool:
        visitor, is_other = self._any(), self._dice.random() < 0.5
        count = self._dice.randrange(1, 6)
        # Before the answer: they are on their way.
        visitor.given += count
        found = await visitor.call("things", count, is_other)
        (visitor.others if is_other else visitor.things).extend(found)
        return True

    async def _follow(self) -> bool:
        visitor = self._any()
        visitor.boards.append(await visitor.call("board"))
        return True

    async def _drop(self) -> bool:
        visitor = self._any()
        held = self._dice.choice((visitor.things, visitor.others, visitor.boards))
        del held[: self._dice.randrange(1, 4)]
        return True

    async def _wait(self) -> bool:
        visitor = self._any()
        visitor.calls.append(visitor.call("wait"))
        return True

    async def _give_up(self) -> bool:
        visitor = self._any()
        if not self._is_ours or not visitor.calls:
            # PB's dialect cannot cancel.
            return False
        call = visitor.calls.pop(self._dice.randrange(len(visitor.calls)))
        call.addErrback(lambda failure: None)
        call.cancel()
        return True

    async def _read(self) -> bool:
        visitor = self._any()
        if not self._is_ours:
            return False
        stream = broker.stream_of(await visitor.call("count"))
        for _ in range(self._dice.randrange(3)):
            await anext(stream)
        visitor.streams.append(stream)
        return True

    async def _stop_reading(self) -> bool:
        visitor = self._any()
        if not visitor.streams:
            return False
        await visitor.streams.pop().aclose()
        return True

    async def _subscribe(self) -> bool:
        visitor = self._any()
        await visitor.call("subscribe", Listener())
        visitor.listeners += 1
        return True

    async def _unsubscribe(self) -> bool:
        visitor = self._any()
        if not visitor.listeners:
            return False
        visitor.listeners -= 1
        await visitor.call("unsubscribe")
        return True

    # What the inspector shows.

    async def _look(self) -> None:
        """Look at any moment: nothing may be shown that never was."""
        self.looks += 1
        order = self._dice.choice(ORDERS)
        rows = await self._inspector.connections(order=order, most=1000)
        numbers = [row.number for row in rows]
        if len(set(numbers)) != len(numbers) or not set(numbers) <= {*range(1, self._arrived + 1)}:
            self.faults.append(f"connections {numbers} of {self._arrived}")
        for row in rows:
            visitor = self._visitors.get(row.number)
            if visitor is not None and not row.exports <= visitor.given:
                self.faults.append(f"{row.number}: {row.exports} objects of {visitor.given}")
            if visitor is not None and row.calls_received > visitor.made:
                self.faults.append(f"{row.number}: {row.calls_received} calls of {visitor.made}")

    async def _compare(self) -> None:
        """Compare all, when nothing is on its way any more."""
        self.rests += 1
        await self._rest()
        rows = await self._inspector.connections(most=1000)
        numbers = [row.number for row in rows]
        if numbers != sorted(self._visitors):
            self.faults.append(f"connections {numbers}, not {sorted(self._visitors)}")
            return
        for row in rows:
            visitor = self._visitors[row.number]
            shown = await self._inspector.connection(row.number)
            found, due = _found(shown), visitor.expected()
            wrong = {name: (found[name], due[name]) for name in due if found[name] != due[name]}
            if wrong:
                self.faults.append(f"connection {row.number}: {wrong}")
            if (row.exports, row.running) != (shown.exports, shown.running):
                self.faults.append(f"connection {row.number}: the list shows something else")
        await self._compare_sums(rows)

    async def _compare_sums(self, rows: list[ConnectionSnapshot]) -> None:
        now = await self._inspector.server(history=True)
        count = len(self._visitors)
        shown = (now.open, now.accepted, now.closed, now.running, now.unsent, now.calls, now.slow)
        running = sum(row.running for row in rows)
        due = (count, self._arrived, self._arrived - count, running, 0, 0.0, 0)
        if shown != due:
            self.faults.append(f"server: {shown}, not {due}")
        if not now.history or now.history[-1].connections != count:
            self.faults.append(f"the last sample: {now.history[-1:]}")

    async def _rest(self) -> None:
        gc.collect()
        calm = 0
        for _ in range(_PATIENCE):
            await asyncio.sleep(1.0)
            is_quiet = all(each.wire.is_empty for each in self._visitors.values())
            calm = calm + 1 if is_quiet else 0
            if calm == _CALM:
                return
        self.faults.append("it does not come to rest")


_ACTS = (
    *("arrive", "arrive", "arrive", "leave", "be_cut", "kick", "kick_user"),
    *("take", "take", "take", "follow", "follow", "drop", "drop"),
    *("wait", "wait", "give_up", "read", "read", "stop_reading", "subscribe", "unsubscribe"),
)
ACTS = frozenset(_ACTS)


def _found(shown: ConnectionSnapshot) -> dict[str, Any]:
    """Return what is compared of a connection, in the form of the model."""
    found = {name: getattr(shown, name) for name in shown.__struct_fields__}
    found["oldest_calls"] = [each.name for each in shown.oldest_calls]
    found["stream_list"] = [(each.is_outgoing, each.name) for each in shown.stream_list]
    return found


def run_census(seed: int) -> Outcome:
    """Run a seed from beginning to end."""
    dice = random.Random(seed)
    loop = SimulatedLoop(dice, most_turns=1_000_000)
    # What was there before is not looked through again and again.
    gc.freeze()
    with contextlib.closing(loop), contextlib.ExitStack() as undo:
        undo.callback(gc.unfreeze)

        async def play() -> Outcome:
            churn = _Churn(dice, loop)
            await churn.play()
            return Outcome(churn.faults, churn.acts, churn.rests, churn.looks)

        return loop.run_until_complete(play())
