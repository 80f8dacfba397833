"""The servers of a run of links, the connections to them, and what happens to both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import broker
from broker.connecting import Connecting
from broker.connection.broker import Broker
from broker.errors import ConnectionRefusedError
from broker.net.transports import StreamTransport
from broker.replies import KeptReplies
from broker.testing.ends import MemoryServer
from broker.testing.loop import SimulatedLoop
from broker.testing.network import Wire
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal
from simulation.faults import is_harmless, strike
from simulation.history import History
from simulation.links.place import Place, PlaceAvatar
from simulation.links.plan import ADDRESSES, LinkPlan, Restart
from simulation.plan import Fault, draw_fault
from simulation.rules import DRAINS

__all__ = ["Joint", "Servers"]

FIRST_PORT = 40_000
NAMES = "AB"
"""Of the addresses."""


class Joint:
    """One connection of a link.

    Attributes:
        number: of the connection, such as ``"0.3"`` for the third of the first link.
        server: the name of the server at the other end, such as ``"A2"`` for the second at A.
        client, other: both ends; ``other`` is None until the server has accepted it.
        wire: the network between them.
        is_harmed: whether anything has happened to it that may cost a call.
        lost: how many of its ends have been told that it has ended.
    """

    def __init__(self, number: str, server: str, client: Broker):
        self.number = number
        self.server = server
        self.client = client
        self.other: Broker | None = None
        self.wire: Wire
        self.is_harmed = False
        self.lost = 0


class Lobby(broker.Root):
    """The root of a server without a login: each connection has a place of its own."""

    def __init__(self, find: Callable[[Any], Place]):
        self._find = find

    def rootObject(self, end: Any) -> Any:
        """Return the place of a connection."""
        return self._find(end)


class Servers:
    """The servers.

    Args:
        plan, dice, loop, history: of the run.
        met: called with the number of a connection, the server's name for it, and the object that
            the client has introduced itself with.

    Attributes:
        joints: all connections, in their order.
        closing: what drains.
    """

    def __init__(
        self,
        plan: LinkPlan,
        dice: random.Random,
        loop: SimulatedLoop,
        history: History,
        met: Callable[[str, Any], object],
    ):
        self.joints: list[Joint] = []
        self.closing: list[asyncio.Task[None]] = []
        self.is_resting = False
        self._plan, self._dice, self._loop, self._history = plan, dice, loop, history
        self._met = met
        self._running: dict[int, tuple[str, MemoryServer]] = {}
        self._unreachable: set[int] = set()
        self._generations = [0] * plan.addresses
        self._counts: dict[int, int] = {}
        self._replies: list[KeptReplies] = []
        self._avatars = 0

    # Servers.

    def start(self, place: int) -> None:
        """Start a server at an address."""
        self._generations[place] += 1
        name = f"{NAMES[place]}{self._generations[place]}"
        target: Any = Lobby(self._place)
        if self._plan.login:
            target = Portal(broker.realm(self._make_avatar))
            target.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(alice="secret"))
            target.registerChecker(AllowAnonymousAccess())
        replies = broker.Replies(seconds=self._plan.keeps) if self._plan.keeps else None
        server = MemoryServer(target, self._plan.policy, self._accepted, replies)
        server.begin()
        if server._replies is not None:
            self._replies.append(server._replies)
        self._running[place] = name, server
        if self._plan.keeps:
            self._history.record("keeps", name, detail=self._plan.keeps)
        self._history.record("serves", name)

    async def restart(self, restart: Restart) -> None:
        """Let a server end as the plan says, and another one start."""
        await asyncio.sleep(restart.when)
        place = restart.place
        if place not in self._running or place in self._unreachable:
            return
        if restart.kind == "outage":
            name = self._running[place][0]
            self._unreachable.add(place)
            self._history.record("unreachable", name)
            for joint in self._alive(name):
                self.harm(joint, "outage")
                joint.wire.lose((self._dice.random(), self._dice.random()))
            await asyncio.sleep(restart.down)
            self._unreachable.discard(place)
            self._history.record("serves", name)
            return
        name, server = self._running.pop(place)
        self._history.record("gone", name, detail=restart.kind)
        if restart.kind == "kill":
            self._kill(name, server)
        else:
            self._drain(name, server, restart)
        await asyncio.sleep(restart.down)
        self.start(place)

    def _kill(self, name: str, server: MemoryServer) -> None:
        for joint in self._alive(name):
            self.harm(joint, "killed")
            joint.wire.ends[1].protocol.abortConnection()
        self._close(server, 0.0, 0.0)

    def _drain(self, name: str, server: MemoryServer, restart: Restart) -> None:
        for joint in self._alive(name):
            self.harm(joint, DRAINS)
        self._close(server, restart.drain, restart.after)

    def _close(self, server: MemoryServer, drain: float, after: float) -> None:
        self.closing.append(asyncio.create_task(server.close(drain=drain, after=after)))

    def end(self) -> None:
        """Close all servers in good order."""
        for place, (name, server) in list(self._running.items()):
            del self._running[place]
            self._history.record("gone", name, detail="the end")
            self._close(server, 1.0, 0.0)

    def forget(self) -> dict[str, Any]:
        """Forget all connections; return what the servers still have of calls that run once."""
        self.joints.clear()
        replies, self._replies = self._replies, []
        return {
            "calls with a key that run": sum(len(kept._running) for kept in replies),
            "who waits for them": sum(len(kept._idle) for kept in replies),
        }

    # Connections.

    def _alive(self, server: str) -> list[Joint]:
        return [each for each in self.joints if each.server == server and each.lost < 2]

    def harm(self, joint: Joint, what: str) -> None:
        """Write down that something happens to a connection that may cost a call."""
        joint.is_harmed = True
        self._history.record("fault", f"l{joint.number}", detail=what)

    async def reach(self, index: int, end: Broker, connecting: Connecting) -> None:
        """Connect a link."""
        place = ADDRESSES.index(str(connecting.place.location))
        if place not in self._running or place in self._unreachable:
            raise ConnectionRefusedError(None, "nobody listens")
        name, server = self._running[place]
        self._counts[index] = count = self._counts.get(index, 0) + 1
        joint = Joint(f"{index}.{count}", name, end)
        self.joints.append(joint)
        self._history.record("connects", f"l{joint.number}", detail=name)
        self._watch(joint, f"l{joint.number}", end)
        port = FIRST_PORT + len(self.joints) - 1
        loop = self._loop
        joint.wire = Wire(
            loop,
            self._dice,
            self._plan.profiles[index],
            (f"l{joint.number}", f"s{joint.number}"),
            (
                lambda: StreamTransport(lambda address: end, loop),
                lambda: StreamTransport(server.accept, loop),
            ),
            port,
            lambda kind, who, size: self._history.record(kind, who, detail=size),
        )
        connecting.reached()
        if self._dice.random() < self._plan.harm and not self.is_resting:
            fault = draw_fault(self._dice, "msgpack/1" in self._plan.dialects)
            if fault is not None:
                loop.arrive(loop.time() + fault.when, self._strike, joint, fault)
        joint.wire.begin()

    def _strike(self, joint: Joint, fault: Fault) -> None:
        if self.is_resting or any(end.is_closed for end in joint.wire.ends):
            return
        if not is_harmless(fault, self._plan.policy.offer_timeout):
            self.harm(joint, fault.kind)
        strike(joint.wire, fault, self._loop.time())

    def _watch(self, joint: Joint, name: str, end: Broker) -> None:
        def lost(result: object) -> None:
            joint.lost += 1
            self._history.record("lost", name, detail=type(end.reason).__name__)

        end.closed.addCallback(lost)

    def _joint_of(self, end: Broker) -> Joint:
        return self.joints[end.peer.address.port - FIRST_PORT]

    def _place(self, end: Broker) -> Place:
        name = f"s{self._joint_of(end).number}"
        return Place(name, self._history, lambda other: self._met(name, other))

    def _accepted(self, end: Broker) -> None:
        joint = self._joint_of(end)
        joint.other = end
        self._watch(joint, f"s{joint.number}", end)

    async def _make_avatar(self, avatar_id: Any, mind: Any) -> PlaceAvatar:
        end = broker.current_call().connection.broker
        self._avatars += 1
        return PlaceAvatar(self._place(end), self._avatars)

    # The end.

    def quiet(self) -> list[Joint]:
        """Return the connections that live, and to which nothing has happened."""
        return [
            each
            for each in self.joints
            if not each.lost and not each.is_harmed and each.other is not None
        ]
