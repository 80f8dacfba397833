"""Presence: who subscribes to what, by leases in the engine that each node renews for its own.

Theory of operation. A node renews the leases of its subscribers three times in their length. When
the last subscription of a member ends here, its lease is renewed once more, and not again: so it
ends a whole length later, unless the member comes back. A watcher asks the engine once a second,
and at once when something changes here, and reports the differences.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator

from broker.cancelling import end_tasks
from broker.errors import ConfigError
from broker.topics.engine import Engine, Lease
from broker.topics.items import Joined, Left, Members
from broker.traces import log_error

__all__ = ["Presence"]

logger = logging.getLogger("broker.topics")

_EVERY = 1.0
_RENEWALS = 3
_GUESTS = "\0"


class Presence:
    """The members on this node, and the watchers of all members.

    Args:
        engine: keeps the leases.
        seconds: the length of a lease.
        is_told: whether the engine is told who is here.
    """

    def __init__(self, engine: Engine, seconds: float, *, is_told: bool = True):
        self._engine = engine
        self._is_kept = "presence" in engine.capabilities
        self._is_told = is_told
        self._seconds = seconds
        self._guests = _GUESTS + secrets.token_hex(8)
        self._here: Counter[tuple[str, str]] = Counter()
        # Leases to note before the next renewal.
        self._due: dict[tuple[str, str], Lease] = {}
        self._has_due = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def enter(self, pattern: str, member: str | None) -> None:
        """Note a subscription of a member, or of a guest."""
        if not self._is_kept or not self._is_told:
            return
        key = pattern, self._guests if member is None else member
        self._here[key] += 1
        if member is None or self._here[key] == 1:
            self._note(key, self._here[key] if member is None else 1)

    def leave(self, pattern: str, member: str | None) -> None:
        """Note the end of a subscription."""
        if not self._is_kept or not self._is_told:
            return
        key = pattern, self._guests if member is None else member
        self._here[key] -= 1
        left = self._here[key]
        if not left:
            del self._here[key]
        if member is None or not left:
            self._note(key, left if member is None else 1)

    async def members(self, topic: str) -> Members:
        """Return who subscribes to a topic; ConfigError as of `watch`."""
        self._check()
        names: set[str] = set()
        guests = 0
        for lease in await self._engine.members(topic):
            if lease.member.startswith(_GUESTS):
                guests += lease.count
            else:
                names.add(lease.member)
        return Members(sorted(names), guests)

    def watch(self, pattern: str) -> AsyncGenerator[Joined | Left, None]:
        """Return an iterator of who is present, and then who comes and goes.

        Raises:
            ConfigError: the engine keeps no presence, or is not told.
        """
        self._check()
        return self._watch(pattern)

    async def _watch(self, pattern: str) -> AsyncGenerator[Joined | Left, None]:
        known: set[tuple[str, str]] = set()
        while True:
            changed = self._changed
            leases = await self._engine.members(pattern)
            found = {
                (lease.topic, lease.member)
                for lease in leases
                if not lease.member.startswith(_GUESTS)
            }
            for key in sorted(found - known):
                yield Joined(*key)
            for key in sorted(known - found):
                yield Left(*key)
            known = found
            try:
                async with asyncio.timeout(min(_EVERY, self._seconds / _RENEWALS)):
                    await changed.wait()
            except TimeoutError:
                continue

    def _check(self) -> None:
        if not self._is_kept:
            raise ConfigError("this engine does not know who is present")
        if not self._is_told:
            raise ConfigError("Topics(presence=False): the engine is not told who is present")

    async def close(self) -> None:
        """Renew nothing more."""
        await end_tasks(self._task)

    def _note(self, key: tuple[str, str], count: int) -> None:
        self._due[key] = Lease(*key, count)
        self._has_due.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        every = self._seconds / _RENEWALS
        while True:
            try:
                async with asyncio.timeout_at(renewed + every):
                    await self._has_due.wait()
            except TimeoutError:
                renewed = loop.time()
                for key, count in self._here.items():
                    is_guests = key[1].startswith(_GUESTS)
                    self._due.setdefault(key, Lease(*key, count if is_guests else 1))
            self._has_due.clear()
            due, self._due = self._due, {}
            if not due:
                continue
            try:
                await self._engine.present(list(due.values()), self._seconds)
            except Exception as error:  # noqa: BLE001 - the next renewal tries again
                log_error(logger, "the engine of topics takes no leases", error)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
