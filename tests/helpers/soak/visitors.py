"""Those who come, do a few things of each kind, and go; whatever happens to them on the way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import broker
from broker.defer import CancelledError
from cred.error import LoginFailed
from soak.office import Card, Expected

__all__ = ["FAMILY", "Door", "Ear", "act", "visit"]

# What a connection may end with, or a call fail with, when there are faults on the wire.
FAMILY = (
    broker.PBConnectionLost, broker.ProtocolError, broker.ConnectError, broker.TLSError,
    broker.CallTimeout, broker.Error, broker.RemoteError, broker.DecodeError,
    broker.NoSuchMethod, broker.WrongArguments, LoginFailed, CancelledError, ConnectionError,
)  # fmt: skip
_SECONDS = 5.0


class Door:
    """One way in.

    Args:
        address: where.
        credentials: makes them, or None where there is no login.
        options: for ``connect``.
    """

    def __init__(self, address: str, credentials: Callable[[], Any] | None = None, **options: Any):
        self._address = address
        self._credentials = credentials
        self._options = options

    def connect(self) -> broker.Connect:
        """Return a connection that is to be made."""
        credentials = None if self._credentials is None else self._credentials()
        return broker.connect(self._address, credentials, timeout=_SECONDS, **self._options)

    def target(self, connection: broker.Connection) -> Any:
        """Return what is called."""
        return connection.root if self._credentials is None else connection.avatar


class Ear(broker.Referenceable):
    """What is told of events."""

    def remote_heard(self, text: str) -> str:
        """Take an event."""
        return text


async def visit(door: Door, dice: random.Random, acts: int, outcomes: Counter[str]) -> None:
    """Come, act, and go; each call and each connection is counted by its outcome."""
    try:
        async with door.connect() as connection:
            outcomes["connections"] += 1
            target = door.target(connection)
            for _ in range(acts):
                await act(target, dice, outcomes)
                if connection.is_closed:
                    break
            if dice.randrange(4) == 0:
                # Some go without saying so.
                connection.broker.transport.abortConnection()
    except FAMILY as error:
        outcomes[type(error).__name__] += 1


async def act(target: Any, dice: random.Random, outcomes: Counter[str]) -> None:
    """Do one thing."""
    outcomes["acts"] += 1
    try:
        async with broker.timeout(_SECONDS):
            await dice.choice(_ACTS)(target, dice)
    except FAMILY as error:
        outcomes[type(error).__name__] += 1


async def _echo(target: Any, dice: random.Random) -> None:
    text = "x" * dice.choice((1, 50, 3000, 100_000))
    await asyncio.gather(*(target.callRemote("echo", n, text) for n in range(dice.randrange(8))))


async def _desk(target: Any, dice: random.Random) -> None:
    desks = [await target.callRemote("desk") for _ in range(3)]
    await asyncio.gather(*(desk.callRemote("work", desk, Ear()) for desk in desks))


async def _copy(target: Any, dice: random.Random) -> None:
    await target.callRemote("copy", Card("a", [1, "b", {"c": b"d"}]))


async def _hold(target: Any, dice: random.Random) -> None:
    held = await target.callRemote("hold")
    await target.callRemote("change")
    del held


async def _subscribe(target: Any, dice: random.Random) -> None:
    ear = Ear()
    await target.callRemote("subscribe", ear)
    await target.callRemote("shout", "news")
    await target.callRemote("unsubscribe", ear)


async def _call_back(target: Any, dice: random.Random) -> None:
    await target.callRemote("call_back", Ear(), 5)


async def _give_up(target: Any, dice: random.Random) -> None:
    target.callRemote("later", 5.0).addErrback(lambda failure: None).cancel()
    await target.callRemote("later", dice.random() / 20)


async def _fail(target: Any, dice: random.Random) -> None:
    try:
        await target.callRemote("fail")
    except Expected:
        return


async def _send(target: Any, dice: random.Random) -> None:
    for _ in range(20):
        target.send("echo", "unanswered")


_ACTS: tuple[Callable[[Any, random.Random], Awaitable[None]], ...] = (
    _echo, _echo, _desk, _copy, _hold, _subscribe, _call_back, _give_up, _fail, _send,
)  # fmt: skip
