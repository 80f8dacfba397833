"""The directory on NATS: a bucket of leases that the servers end, and a bucket of names.

Theory of operation. The entry of a node expires on the server unless it is renewed, and is renewed
only where it is still the one that was renewed last. The entry of a name has the id of its node.
It is written only where it is still the one that was read, so of two nodes that claim a name at
once one fails, and sees the other. The number of a claim is the sequence number of its entry. All
is read from the server that leads, since another may be behind.

The names of nodes that have gone stay until they are claimed again, or are swept away: about once
an hour, by any node of the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from nats.js import api

from broker.cancelling import end_tasks
from broker.topics.directory import Holder
from broker.topics.engines.nats_connection import NatsConnection

__all__ = ["NatsDirectory"]

logger = logging.getLogger("broker.topics")

T = TypeVar("T")

_SECONDS = 5.0
_SWEEP_EVERY = 3600.0
_SHORTEST = 0.1

_pack = msgspec.msgpack.Encoder().encode
_unpack_text = msgspec.msgpack.Decoder(str).decode


class NatsDirectory:
    """See `broker.topics.directory.Directory`.

    All nodes have one length of a lease, that of the node which has made the bucket.

    Args:
        servers, name, options: as of `NatsEngine`.
        storage, replicas: of the buckets.
    """

    def __init__(
        self,
        servers: str | list[str],
        name: str,
        options: dict[str, object],
        storage: api.StorageType,
        replicas: int,
    ):
        self._servers = servers
        self._options = options
        self._nodes, self._names = f"{name}-nodes", f"{name}-names"
        self._storage, self._replicas = storage, replicas
        # The length of a lease that was asked for, and the one that the bucket has.
        self._asked = self._seconds = 0.0
        self._node = ""
        self._address = ""
        self._revision = 0
        self._connection: NatsConnection | None = None
        self._lock = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None

    async def join(self, node: str, address: str, seconds: float) -> float:
        """Begin a lease."""
        self._asked = seconds
        await self.leave()
        self._node, self._address, self._revision = node, address, 0
        if not await self.renew():
            raise ConnectionError("the directory has an entry of this node already")
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep_at_times())
        return self._seconds

    async def renew(self) -> bool:
        """Renew the lease; False if it has ended."""

        async def renew(connection: NatsConnection) -> bool:
            value = _pack(self._address)
            made = await connection.write(self._nodes, self._node, value, self._revision)
            if made is None:
                # The answer to an earlier renewal may have been lost.
                found = await connection.entry(self._nodes, self._node)
                if found is None:
                    return False
                made = await connection.write(self._nodes, self._node, value, found[1])
            self._revision = made or 0
            return made is not None

        return await self._with(renew)

    async def claim(self, name: str) -> Holder:
        """Take a name that no node holds; return who holds it now."""

        async def claim(connection: NatsConnection) -> Holder:
            while True:
                found = await connection.entry(self._names, name)
                if found is not None:
                    holder = await self._holder(connection, found)
                    if holder is not None:
                        return holder
                last = 0 if found is None else found[1]
                number = await connection.write(self._names, name, _pack(self._node), last)
                if number is not None:
                    return Holder(self._node, self._address, number)

        return await self._with(claim)

    async def find(self, name: str) -> Holder | None:
        """Return who holds a name."""

        async def find(connection: NatsConnection) -> Holder | None:
            found = await connection.entry(self._names, name)
            return None if found is None else await self._holder(connection, found)

        return await self._with(find)

    async def release(self, name: str, number: int) -> None:
        """Give up a name."""
        await self._with(lambda connection: connection.remove(self._names, name, number))

    async def leave(self) -> None:
        """End the lease."""
        node, self._node = self._node, ""
        if node:
            await self._with(lambda connection: connection.remove(self._nodes, node))

    async def close(self) -> None:
        """End the connection."""
        await end_tasks(self._sweeper)
        if self._connection is not None:
            await self._connection.close()

    async def sweep(self) -> int:
        """Remove the names of nodes that have gone; return how many there were."""

        async def sweep(connection: NatsConnection) -> int:
            nodes = await connection.entries(self._nodes)
            gone = 0
            # A node that has joined since is looked at once more.
            for name, (value, number) in (await connection.entries(self._names)).items():
                node = _unpack_text(value)
                if node not in nodes and await connection.entry(self._nodes, node) is None:
                    await connection.remove(self._names, name, number)
                    gone += 1
            return gone

        return await self._with(sweep, 600.0)

    async def _sweep_at_times(self) -> None:
        """Sweep at random moments, so that the nodes together sweep once an hour."""
        count = 1
        while True:
            await asyncio.sleep(random.expovariate(1 / (_SWEEP_EVERY * count)))
            try:
                await self.sweep()
                count = max(1, len(await self._with(lambda it: it.entries(self._nodes), 60.0)))
            except Exception as error:  # noqa: BLE001 - the next one tries again
                logger.warning("names of nodes that have gone are left: %s", type(error).__name__)

    async def _holder(self, connection: NatsConnection, found: tuple[bytes, int]) -> Holder | None:
        node = _unpack_text(found[0])
        lease = await connection.entry(self._nodes, node)
        return None if lease is None else Holder(node, _unpack_text(lease[0]), found[1])

    async def _with(
        self, use: Callable[[NatsConnection], Awaitable[T]], seconds: float = _SECONDS
    ) -> T:
        async with asyncio.timeout(seconds):
            connection = await self._opened()

            async def used() -> T:
                return await use(connection)

            try:
                return await connection.while_open(used())
            except BaseException:
                if self._connection is connection:
                    # The next one makes the buckets again, if they are gone.
                    self._connection = None
                await connection.close()
                raise

    async def _opened(self) -> NatsConnection:
        async with self._lock:
            connection = self._connection
            if connection is not None and not connection.ended.is_set():
                return connection
            if connection is not None:
                self._connection = None
                await connection.close()
            connection = NatsConnection()
            try:
                await connection.open(self._servers, self._options)
                await self._make(connection)
            except BaseException:
                with contextlib.suppress(Exception):
                    await connection.close()
                raise
            self._connection = connection
            return connection

    async def _make(self, connection: NatsConnection) -> None:
        """Make the buckets where they are not there."""
        for bucket, seconds in ((self._nodes, max(_SHORTEST, self._asked)), (self._names, 0.0)):
            config = api.KeyValueConfig(
                bucket=bucket, ttl=seconds, storage=self._storage, replicas=self._replicas
            )
            await connection.make_bucket(config)
        info = await connection.info(f"KV_{self._nodes}")
        self._seconds = info.config.max_age or self._asked
        if self._seconds != self._asked:
            text = "the leases of this cluster have %g s, not %g"
            logger.warning(text, self._seconds, self._asked)
