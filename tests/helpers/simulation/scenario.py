"""One run: a server, its clients, what they do and what happens to them, until nothing is left.

Theory of operation. Clients connect and act, and the server acts towards each of them, while the
faults of the plan come. Then follow three acts. *Rest*: what is held is let go, and when nothing
moves any more, both ends of each connection that is still there must agree. *End*: all connections
are closed. *Nothing*: whatever is left then is a leak.
"""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

import broker
from broker.connection.broker import Broker
from broker.defer import Deferred, succeed
from broker.errors import ConnectionRefusedError
from broker.net.transports import StreamTransport
from broker.testing.ends import MemoryConnect, MemoryServer
from broker.testing.loop import SimulatedLoop
from broker.testing.network import Wire
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import Anonymous, UsernamePassword
from cred.portal import Portal
from simulation.desk import DeskAvatar
from simulation.faults import is_harmless, strike
from simulation.history import History
from simulation.inspection import agreement, leftovers, timers_of
from simulation.party import Office, Party
from simulation.plan import Fault, Plan
from simulation.rules import DRAINS
from simulation.values import HISTORY
from simulation.workload import Actor

__all__ = ["Scenario"]

FIRST_PORT = 40_000
"""The client of connection 0 connects from here; the others from the ports above."""

# A run takes simulated minutes at most; who still waits then waits for ever.
_PATIENCE = 300.0


class _Lobby(broker.Root):
    """The root of a server without login: each client meets the desk that is for it."""

    def __init__(self, scenario: Scenario):
        self._scenario = scenario

    def rootObject(self, end: Any) -> Any:
        """Return the desk of a connection."""
        return self._scenario.server_party(end).desk


class Scenario:
    """The run of one plan."""

    def __init__(self, plan: Plan, dice: random.Random, loop: SimulatedLoop, history: History):
        self._plan = plan
        self._dice = dice
        self._loop = loop
        self._history = history
        self._office = Office("server", history, is_strict=plan.is_strict)
        self._clients: list[Party] = []
        self._servers: dict[int, Party] = {}
        self._wires: dict[int, Wire] = {}
        self._connections: dict[int, Any] = {}
        self._actors: list[asyncio.Task[None]] = []
        self._avatars = 0
        self._drained: list[Party] = []
        self._hasty: set[str] = set()
        self._server: MemoryServer

    # The cast.

    async def play(self) -> None:
        """Let all happen."""
        HISTORY.set(self._history)
        plan = self._plan
        target = Portal(broker.realm(self._make_avatar)) if plan.login else _Lobby(self)
        if isinstance(target, Portal):
            target.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(alice="secret"))
            target.registerChecker(AllowAnonymousAccess())
        self._server = MemoryServer(target, plan.policy, self.server_party)
        clients = [asyncio.create_task(self._client(index)) for index in range(len(plan.profiles))]
        drain = asyncio.create_task(self._drain())
        await self._wait(clients, "clients")
        await self._wait(self._actors, "actors of the server")
        await self._wait([drain], "the drain")
        for party in self._parties():
            await self._wait(party.readers, "readers of streams")
        await self._rest()
        await self._end()
        await self._nothing()

    def _parties(self) -> list[Party]:
        return [*self._clients, *self._servers.values()]

    async def _wait(self, tasks: list[asyncio.Task[None]], who: str) -> None:
        """Wait for tasks, but not for ever."""
        if not tasks:
            return
        done, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in done:
            task.result()
        for task in late:
            self._history.record("wrong", "run", detail=f"{who} still wait after {_PATIENCE:g} s")
            task.cancel()

    def server_party(self, end: Broker) -> Party:
        """Return the server's party on a connection."""
        index = end.peer.address.port - FIRST_PORT
        party = self._servers.get(index)
        if party is None:
            party = self._servers[index] = Party(f"s{index}", self._office)
            self._office.parties[end] = party
            party.watch(end)
            party.on_meet = self._meet
        return party

    def _meet(self, party: Party) -> None:
        dice = random.Random(self._dice.getrandbits(64))
        steps = max(1, self._plan.steps // 2)
        actor = Actor(party, dice, steps, self._plan.pause)
        self._actors.append(asyncio.create_task(actor.act()))

    async def _make_avatar(self, avatar_id: Any, mind: Any) -> DeskAvatar:
        party = self.server_party(broker.current_call().connection.broker)
        if self._plan.is_realm_slow:
            await asyncio.sleep(0.05)
        self._avatars += 1
        avatar = DeskAvatar(party.desk, self._avatars)
        party.meet(mind)
        return avatar

    async def _client(self, index: int) -> None:
        plan = self._plan
        dice = random.Random(self._dice.getrandbits(64))
        party = Party(f"c{index}", Office(f"c{index}", self._history, is_strict=plan.is_strict))
        self._clients.append(party)
        await asyncio.sleep(dice.random() * plan.pause)
        kinds = {"": None, "anonymous": Anonymous(), "wrong": UsernamePassword(b"alice", b"wrong")}
        credentials = kinds.get(plan.login, UsernamePassword(b"alice", b"secret"))
        policy = plan.policy
        hello: Deferred[Any] = succeed(None)
        connect = MemoryConnect(
            lambda end: self._reach(index, party, end), credentials, party.desk, policy
        )
        try:
            connection = await connect
        except Exception as error:
            self._not_connected(party, error)
            return
        self._connections[index] = connection
        if plan.login:
            party.partner = connection.avatar
        else:
            party.partner = connection.root
            hello = party.greet()
        await Actor(party, dice, plan.steps, plan.pause).act()
        # From now on the server acts, too.
        await hello

    def _not_connected(self, party: Party, error: Exception) -> None:
        is_refused = self._plan.login == "wrong" and type(error).__name__ == "UnauthorizedLogin"
        if not is_refused and not self._was_harmed(party):
            party.wrong(f"it cannot connect: {error!r}")
        # It closes by itself, as it should.
        self._history.record("fault", party.name, detail="not connected")

    def _was_harmed(self, party: Party) -> bool:
        events = self._history.events
        return any(event.kind == "fault" and event.party[1:] == party.name[1:] for event in events)

    # The network.

    async def _reach(self, index: int, party: Party, end: Broker) -> None:
        plan, loop = self._plan, self._loop
        if self._server.is_closing:
            self._harm(index, "refused")
            raise ConnectionRefusedError(None, "the server does not listen")
        party.office.parties[end] = party
        party.watch(end)
        self._wires[index] = wire = Wire(
            loop,
            self._dice,
            plan.profiles[index],
            (party.name, f"s{index}"),
            (
                lambda: StreamTransport(lambda address: end, loop),
                lambda: StreamTransport(self._server.accept, loop),
            ),
            FIRST_PORT + index,
            lambda kind, name, size: self._history.record(kind, name, detail=size),
        )
        fault = plan.faults[index]
        if fault is not None:
            loop.arrive(loop.time() + fault.when, self._strike, index, fault)
        wire.begin()

    def _harm(self, index: int, what: str) -> None:
        self._history.record("fault", f"c{index}", detail=what)

    def _strike(self, index: int, fault: Fault) -> None:
        """Let a fault happen, unless all is over already."""
        wire = self._wires[index]
        if any(end.is_closed for end in wire.ends) or self._is_resting:
            return
        if not is_harmless(fault, self._plan.policy.offer_timeout):
            self._harm(index, fault.kind)
        strike(wire, fault, self._loop.time())

    async def _drain(self) -> None:
        plan = self._plan
        if plan.drain_at is None:
            return
        await asyncio.sleep(plan.drain_at)
        healthy = [party for party in self._clients if not self._was_harmed(party)]
        for index in range(len(plan.profiles)):
            self._harm(index, DRAINS)
        begun = self._loop.time()
        await self._server.close(drain=plan.drain)
        if self._loop.time() - begun < plan.drain:
            self._drained = healthy

    def _judge_drain(self) -> None:
        """Write down whose calls a draining server had to answer: nothing else has harmed them."""
        for party in self._drained:
            index = int(party.name[1:])
            faults = [
                event.detail
                for event in self._history.events
                if event.kind == "fault" and event.party == party.name
            ]
            if (
                index in self._wires
                and not self._wires[index].was_reset
                and faults[0] == faults[-2]
                and party.name not in self._hasty
            ):
                self._history.record("drained", party.name)

    # The acts after that.

    _is_resting = False

    async def _rest(self) -> None:
        """Let everything go, and compare what both ends of each connection have then."""
        self._is_resting = True
        alive = [
            (party, self._servers[index])
            for index, party in enumerate(sorted(self._clients, key=lambda party: party.name))
            if index in self._servers
            and not party.is_lost
            and not self._servers[index].is_lost
            and not self._was_harmed(party)
        ]
        if not alive:
            return
        for client, server in alive:
            self._let_go(client)
            self._let_go(server)
        gc.collect()
        await self._come_to_rest(alive)
        gc.collect()
        await self._come_to_rest(alive)
        for client, server in alive:
            self._compare(client, server)
            self._compare(server, client)
        if len(alive) == len(self._clients):
            self._check_timers(sum(timers_of(end) for end in _ends_of(alive)))

    async def _come_to_rest(self, alive: list[tuple[Party, Party]]) -> None:
        """Wait until nothing is on its way for a while, and all methods have ended that may."""
        # In our own dialect a cancel stops what runs; in PB's nothing does, and it ends by itself.
        is_ours = "msgpack/1" in self._plan.dialects
        calm = 0
        for _ in range(int(_PATIENCE)):
            await asyncio.sleep(1.0)
            is_moving = not all(self._wires[int(one.name[1:])].is_empty for one, _ in alive)
            is_running = any(end.session.running for end in _ends_of(alive))
            calm = 0 if is_moving or (is_running and not is_ours) else calm + 1
            if calm == 3:
                return

    def _let_go(self, party: Party) -> None:
        party.held.clear()
        party.streams.clear()
        for reference in party.office.subscribers:
            if reference.broker is party.broker:
                party.office.subscribers.discard(reference)

    def _compare(self, one: Party, other: Party) -> None:
        assert one.broker is not None
        assert other.broker is not None
        detail = agreement(one.broker, other.broker)
        self._history.record("quiet", one.name, detail=detail)

    def _check_timers(self, due: int) -> None:
        # One timer of the loop serves all timeouts.
        timeouts = self._loop.timeouts
        timers = len(self._loop.timers()) - bool(timeouts) + timeouts
        if timers != due:
            self._history.record("wrong", "run", detail=f"{timers} timers, not {due}")

    async def _end(self) -> None:
        """Close all connections."""
        for party in self._clients:
            index = int(party.name[1:])
            # A call that a fault has held up may come now, and is refused.
            self._harm(index, DRAINS if self._plan.server_ends else "the end")
            wire = self._wires.get(index)
            # A client that closes takes no answers that are still on their way.
            if not self._plan.server_ends and wire is not None and not wire.is_empty:
                self._hasty.add(party.name)
        if not self._plan.server_ends:
            for connection in self._connections.values():
                await asyncio.wait_for(connection.close(), _PATIENCE)
        await asyncio.wait_for(self._server.close(drain=1.0), _PATIENCE)
        for party in self._parties():
            if party.broker is not None:
                closed = asyncio.create_task(party.broker.connection.wait_closed())
                await self._wait([closed], f"those who see {party.name} closed")

    async def _nothing(self) -> None:
        """Write down all that is left."""
        self._judge_drain()
        parties = self._parties()
        ends = []
        for party in parties:
            if party.broker is not None:
                self._history.record("ended", party.name, detail=leftovers(party.broker))
                ends.append(weakref.ref(party.broker))
            party.broker = None
            party.held.clear()
            party.streams.clear()
            party.readers.clear()
            party.office.parties.clear()
        subscribers = sum(len(party.office.subscribers) for party in parties)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others and not self._plan.is_strict:
            # The published policy lets methods run on whose caller has gone.
            await asyncio.wait(others, timeout=60.0)
        await asyncio.sleep(1.0)
        self._connections.clear()
        self._wires.clear()
        self._loop.forget_arrivals()
        # A task keeps its context, and that the connection in which it was begun.
        self._actors.clear()
        for party in parties:
            # Not before: a method that runs on may still be told who its partner is.
            party.partner = None
        others = asyncio.all_tasks() - {asyncio.current_task()}
        timers = self._loop.timers()
        # A coroutine in a cycle is closed by the first pass; what it held goes in the next.
        for _ in range(3):
            gc.collect()
        left = {
            "tasks": [task.get_name() for task in others],
            "timers": len(timers),
            "subscribers": subscribers,
            "brokers": sum(end() is not None for end in ends),
            "observers": sum(len(ledger.observers) for p in parties for ledger in p.office.ledgers),
            "complaints of the loop": [_complaint(error) for error in self._loop.errors],
        }
        self._history.record("ended", "run", detail=left)


def _ends_of(pairs: list[tuple[Party, Party]]) -> list[Broker]:
    return [party.broker for pair in pairs for party in pair if party.broker is not None]


def _complaint(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}: {error!r}"
