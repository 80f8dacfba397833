"""A soak: cycle after cycle of visitors, through a proxy that makes faults, to one server."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.certificates import Authority

import broker
from cred import UsernamePassword
from soak.gauge import Sample, measure
from soak.office import Root, portal_of
from soak.proxy import FaultProxy
from soak.visitors import FAMILY, Door, Ear, act, visit

__all__ = ["Outcome", "Size", "soak"]

# Until all who were cut off have gone.
_PATIENCE = 30.0
_POLICY = broker.Policy(close_timeout=1.0)


@dataclass(frozen=True)
class Size:
    """How large a soak is.

    Attributes:
        visitors: those who are there at a time.
        seconds: how long new ones come, each cycle.
        acts: what each does, at most.
    """

    visitors: int = 12
    seconds: float = 8.0
    acts: int = 12


@dataclass
class Outcome:
    """What came of a soak.

    Attributes:
        samples: one for each cycle.
        outcomes: connections, calls and what they failed with.
        faults: what the proxies did.
        pieces: how many they forwarded.
        errors: log lines that tell of a fault of ours.
    """

    samples: list[Sample] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    pieces: int = 0
    errors: list[str] = field(default_factory=list)


class _Errors(logging.Handler):
    """Keeps the first lines that tell of a fault of ours."""

    def __init__(self, lines: list[str]):
        super().__init__(logging.ERROR)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < 10:
            self._lines.append(self.format(record)[:2000])


# Fewer than three cannot be compared, however long each takes on a busy machine.
_CYCLES = 3


async def soak(
    seconds: float,
    seed: int,
    folder: Path,
    size: Size | None = None,
    root: Any = None,
    told: Callable[[Sample, list[str]], None] = lambda sample, errors: None,
) -> Outcome:
    """Soak for some time.

    Args:
        seconds: after this no further cycle begins, once there were three.
        seed: of what the visitors do and of the faults.
        folder: for certificates.
        size: how large it is.
        root: what is served without login.
        told: is told of each cycle, and of the errors until then.
    """
    size = size or Size()
    outcome = Outcome()
    logger = logging.getLogger("broker")
    handler = _Errors(outcome.errors)
    was_propagating, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    tracemalloc.start()
    try:
        async with _open(root or Root(), seed, folder) as stage:
            begin, dice = time.monotonic(), random.Random(seed)
            while len(outcome.samples) < _CYCLES or time.monotonic() - begin < seconds:
                await _cycle(stage, dice, size, outcome)
                strays = await stage.settle(outcome.errors)
                sample = measure(time.monotonic() - begin, stage.staying_brokers, strays)
                outcome.samples.append(sample)
                told(sample, outcome.errors)
            for proxy in stage.proxies:
                outcome.faults += proxy.faults
                outcome.pieces += proxy.pieces
    finally:
        tracemalloc.stop()
        logger.removeHandler(handler)
        logger.propagate = was_propagating
    return outcome


@dataclass
class _Stage:
    """All that is there for the whole time."""

    servers: list[broker.Server]
    proxies: list[FaultProxy]
    doors: list[Door]
    staying: list[tuple[Door, broker.Connection]]

    @property
    def staying_brokers(self) -> list[Any]:
        """Both ends of the connections that stay."""
        ends = [connection for _, connection in self.staying]
        for server in self.servers:
            ends += server.connections
        return [connection.broker for connection in ends]

    async def settle(self, errors: list[str]) -> int:
        """Wait until those who came have gone; return how many have not.

        A connection that should have stayed and has not is an error.
        """
        for proxy in self.proxies:
            await proxy.settle(_PATIENCE)
        ends = time.monotonic() + _PATIENCE
        while self._strays() and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        for door, connection in list(self.staying):
            try:
                # What was collected is told to the peer, and told back.
                await door.target(connection).callRemote("echo")
            except FAMILY:
                errors.append(f"a connection without faults ended: {connection.broker.reason!r}")
                self.staying.remove((door, connection))
        return self._strays()

    def _strays(self) -> int:
        return sum(len(server.connections) for server in self.servers) - len(self.staying)


@asynccontextmanager
async def _open(root: Any, seed: int, folder: Path) -> AsyncIterator[_Stage]:
    authority = Authority(folder)
    pair = authority.issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    trust = broker.TLS.client(ca=authority.ca_path)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain = await enter(broker.serve(root, "pb://127.0.0.1:0", policy=_POLICY))
        secret = await enter(
            broker.serve(portal_of(), "pbs://127.0.0.1:0", tls=tls, policy=_POLICY)
        )
        proxies = []
        for server in (plain, secret):
            port = int(server.addresses[0].rpartition(":")[2])
            proxies.append(FaultProxy(port, seed + len(proxies)))
            await proxies[-1].start()
            stack.push_async_callback(proxies[-1].close)
        ports = [proxy.port for proxy in proxies]
        doors = [
            Door(f"pb://127.0.0.1:{ports[0]}", policy=_POLICY.but(dialects=(dialect,)))
            for dialect in _POLICY.dialects
        ]
        doors.append(Door(f"pbs://127.0.0.1:{ports[1]}", _alice, tls=trust, policy=_POLICY))
        straight = [
            Door(plain.addresses[0], policy=_POLICY),
            Door(plain.addresses[0], policy=_POLICY.but(dialects=("pb",))),
            Door(secret.addresses[0], _alice, tls=trust, policy=_POLICY),
        ]
        staying = [(door, await enter(door.connect())) for door in straight]
        yield _Stage([plain, secret], proxies, doors, staying)


def _alice() -> UsernamePassword:
    return UsernamePassword("alice", "secret")


async def _cycle(stage: _Stage, dice: random.Random, size: Size, outcome: Outcome) -> None:
    ends = time.monotonic() + size.seconds

    async def come(own: random.Random) -> None:
        while time.monotonic() < ends:
            await visit(
                own.choice(stage.doors), own, own.randrange(size.acts) + 1, outcome.outcomes
            )

    async def stay(own: random.Random, door: Door, connection: broker.Connection) -> None:
        target, ear = door.target(connection), Ear()
        while time.monotonic() < ends:
            await act(target, own, outcome.outcomes)
            try:
                await target.callRemote("call_back", ear, 1)
            except FAMILY as error:
                outcome.outcomes[type(error).__name__] += 1
            await asyncio.sleep(own.random() / 10)

    def fresh() -> random.Random:
        return random.Random(dice.randrange(1 << 62))

    async with asyncio.TaskGroup() as group:
        for _ in range(size.visitors):
            group.create_task(come(fresh()))
        for door, connection in stage.staying:
            group.create_task(stay(fresh(), door, connection))
