"""The engine on NATS: a stream of JetStream for the messages, and two buckets for the rest.

Theory of operation. All messages are in one stream, whose sequence number is the offset. Each node
reads all of it by a consumer of its own. Its numbers have no holes, so a missing message is seen by
the next one: the node makes a new consumer from where it was, and reports a gap only if the stream
does not have the message any more. When the connection ends, or the stream is ahead of what the
consumer brings, a new connection or a new consumer is made here; the client's own reconnecting is
off, since it hides gaps.

Retained values are known to each node from the stream, and in a bucket for those that begin later.
Leases are in a bucket whose entries expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

import msgspec
from nats.aio.msg import Msg
from nats.js import api

from broker.errors import ConfigError
from broker.history import History, Position
from broker.topics.engine import Entry, Lease, Outgoing, Page
from broker.topics.engines.life import ConnectedEngine
from broker.topics.engines.nats_connection import NatsConnection
from broker.topics.engines.nats_directory import NatsDirectory
from broker.topics.names import matches, overlap

__all__ = ["NatsEngine"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LOOK_EVERY = 2.0
# Seconds for which the server keeps a lease.
_LEASE = 60.0
# Messages before the end of the stream in which a new node looks for retained values.
_BACK = 1000

_pack = msgspec.msgpack.Encoder().encode
_Body = tuple[str | None, bytes, bool]
_unpack_body = msgspec.msgpack.Decoder(_Body).decode
_unpack_kept = msgspec.msgpack.Decoder(tuple[str, int, str | None, bytes, bool]).decode
_unpack_lease = msgspec.msgpack.Decoder(tuple[int, float]).decode


class NatsEngine(ConnectedEngine):
    """Carries topics between nodes through NATS servers with JetStream; needs the extra ``nats``.

    All nodes with one name share their topics. Each node reads every message of them.

    Args:
        servers: their URLs, such as ``"nats://127.0.0.1:4222"``.
        name: of the stream and the buckets, and the first token of the subjects.
        history: how much is kept, of all topics together.
        in_memory: whether the servers keep it in memory only, so that their restart loses it.
        replicas: on how many servers it is kept.
        options: further keywords for ``nats.connect``, such as ``user``, ``password`` or ``tls``.

    Raises:
        ConfigError: the name has other characters than ``A-Z a-z 0-9 _ -``, or more than 32.
    """

    def __init__(
        self,
        servers: str | list[str],
        *,
        name: str = "broker",
        history: History | None = None,
        in_memory: bool = False,
        replicas: int = 1,
        options: dict[str, object] | None = None,
    ):
        if not _NAME.fullmatch(name):
            raise ConfigError("the name of a NatsEngine is 1 to 32 of A-Z a-z 0-9 _ -")
        super().__init__("NATS")
        self._servers = servers
        self._name = name
        self._history = History(most=100_000, size=268_435_456) if history is None else history
        self._bucket = f"{name}-retained"
        self._lease_subject = f"$KV.{name}-present"
        self._storage = api.StorageType.MEMORY if in_memory else api.StorageType.FILE
        self._replicas = replicas
        self._options = options or {}
        self._epoch = ""
        # The newest message that was read, and the newest one before this node began.
        self._last = 0
        self._begin = 0
        self._is_first = False
        self._retained: dict[str, Entry] = {}
        self._leases: dict[tuple[str, str], tuple[float, int]] = {}
        self._connection: NatsConnection | None = None

    def directory(self) -> NatsDirectory:
        """Return the directory for one node; it has a connection of its own."""
        own = self._options, self._storage, self._replicas
        return NatsDirectory(self._servers, self._name, *own)

    async def publish(self, messages: list[Outgoing]) -> list[Position | None]:
        """Publish messages; the server drops those whose ids it knows."""
        await self.up.wait()
        connection = self._opened()
        return await connection.while_open(self._publish(connection, messages))

    async def replay(self, pattern: str, since: Position | None) -> Page | None:
        """Return the messages after a position, or all; None if a message of any topic is gone."""
        await self.up.wait()
        connection = self._opened()
        return await connection.while_open(self._replay(connection, pattern, since))

    async def _replay(
        self, connection: NatsConnection, pattern: str, since: Position | None
    ) -> Page | None:
        epoch = self._epoch
        if since is not None and (since.epoch != epoch or since.offset < 0):
            return None
        if since is not None and not await self._reaches(since.offset):
            return None
        upto = self._last
        offset = 0 if since is None else since.offset
        subjects = [f"{self._name}.{kind}.{pattern}" for kind in "mk"]
        entries: list[Entry] = []

        def take(message: Msg) -> None:
            number = message.metadata.sequence.stream
            if offset < number <= upto:
                entries.append(self._entry(message, number))

        if offset < upto:
            await connection.read(self._name, subjects, take, start=offset + 1)
        info = await connection.info(self._name)
        if epoch != self._epoch or (since is not None and info.state.first_seq > offset + 1):
            return None
        return Page(entries, Position(epoch, upto))

    async def retained(self, pattern: str) -> Page:
        """Return the retained values of the topics that a pattern matches."""
        await self.up.wait()
        entries = [entry for name, entry in self._retained.items() if matches(pattern, name)]
        return Page(entries, Position(self._epoch, self._last))

    async def present(self, leases: list[Lease], seconds: float) -> None:
        """Note or renew leases."""
        await self.up.wait()
        connection = self._opened()
        for lease in leases:
            key = f"{_hex(lease.topic)}.{_hex(lease.member)}"
            await connection.tell(f"{self._lease_subject}.{key}", _pack((lease.count, seconds)))
            self._note_lease(lease.topic, lease.member, lease.count, seconds)

    async def members(self, pattern: str) -> list[Lease]:
        """Return the leases that hold, and whose patterns overlap with a pattern."""
        now = asyncio.get_running_loop().time()
        self._leases = {key: value for key, value in self._leases.items() if value[0] > now}
        return [
            Lease(topic, member, count)
            for (topic, member), (_, count) in self._leases.items()
            if overlap(pattern, topic)
        ]

    # The connection.

    async def connect(self) -> None:
        """Connect, and make the stream and the buckets where they are not there."""
        self._connection = connection = NatsConnection()
        await connection.open(self._servers, {"name": self._name, **self._options})
        await self._make(connection)

    async def follow(self) -> None:
        """Read the stream until the connection ends."""
        connection = self._opened()
        await connection.while_open(self._follow(connection))

    async def disconnect(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _make(self, connection: NatsConnection) -> None:
        """Make the stream and the buckets, where they are not there."""
        history, name = self._history, self._name
        stream = api.StreamConfig(
            name=name,
            subjects=[f"{name}.m.>", f"{name}.k.>"],
            max_msgs=max(1, history.most),
            max_bytes=max(1024, history.size),
            max_age=history.seconds or 0,
            storage=self._storage,
            num_replicas=self._replicas,
            duplicate_window=120,
        )
        await connection.make_stream(stream)
        for bucket, seconds in ((self._bucket, 0.0), (f"{name}-present", _LEASE)):
            config = api.KeyValueConfig(
                bucket=bucket, ttl=seconds, storage=self._storage, replicas=self._replicas
            )
            await connection.make_bucket(config)

    def _opened(self) -> NatsConnection:
        if self._connection is None:
            raise ConnectionError("not connected to NATS")
        return self._connection

    # Reading.

    async def _follow(self, connection: NatsConnection) -> None:
        """Read the stream until the connection ends, with a new consumer whenever one is needed."""
        await connection.consume(
            f"KV_{self._name}-present",
            [f"{self._lease_subject}.>"],
            self._took_lease,
            policy=api.DeliverPolicy.LAST_PER_SUBJECT,
        )
        while True:
            connection.again.clear()
            await self._resume(connection)
            stop = await connection.consume(
                self._name, [f"{self._name}.>"], self._took, start=self._last + 1
            )
            try:
                await self._watch(connection)
            finally:
                with contextlib.suppress(Exception):
                    await stop()

    async def _resume(self, connection: NatsConnection) -> None:
        """See where the stream is, and whether it has all that comes after what was read."""
        info = await connection.info(self._name)
        epoch = re.sub(r"[^0-9A-Za-z]", "", str(info.created))
        first, last = info.state.first_seq, info.state.last_seq
        if epoch != self._epoch or last < self._last:
            had_one = self._epoch != ""
            self._epoch = epoch
            self._begin = last
            self._last = max(last - _BACK, first - 1, 0)
            await self._load_retained(connection)
            if had_one:
                self.gap()
        elif first > self._last + 1:
            self._last = first - 1
            await self._load_retained(connection)
            self.gap()
        self._is_first = True

    async def _watch(self, connection: NatsConnection) -> None:
        """Return when another consumer is needed, or the connection has ended."""
        before = -1
        while True:
            info = await connection.info(self._name)
            if re.sub(r"[^0-9A-Za-z]", "", str(info.created)) != self._epoch:
                return
            if info.state.last_seq <= self._last or self._last > self._begin:
                self.up.set()
            if info.state.last_seq > self._last == before:
                return
            before = self._last if info.state.last_seq > self._last else -1
            delay = _LOOK_EVERY if self.up.is_set() else 0.02
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await connection.again.wait()
                return

    async def _took(self, message: Msg) -> None:
        number = message.metadata.sequence.stream
        if number <= self._last:
            return
        if number != self._last + 1:
            if not self._is_first:
                if self._connection is not None:
                    self._connection.again.set()
                return
            # The stream itself has lost what was between.
            self.gap()
        self._is_first = False
        self._last = number
        entry = self._entry(message, number)
        if message.subject.startswith(f"{self._name}.k."):
            if _unpack_body(message.data)[2]:
                self._retained.pop(entry.topic, None)
            else:
                self._retained[entry.topic] = entry
        if number > self._begin:
            self.deliver(entry)

    async def _took_lease(self, message: Msg) -> None:
        topic, member = message.subject.split(".")[-2:]
        count, seconds = _unpack_lease(message.data)
        self._note_lease(_text(topic), _text(member), count, seconds)

    def _note_lease(self, topic: str, member: str, count: int, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        self._leases[topic, member] = end, count

    def _entry(self, message: Msg, number: int) -> Entry:
        by, data, _ = _unpack_body(message.data)
        topic = message.subject.split(".", 2)[2]
        return Entry(topic, data, by, Position(self._epoch, number))

    async def _load_retained(self, connection: NatsConnection) -> None:
        bucket = self._bucket
        self._retained = {}

        def take(message: Msg) -> None:
            topic = message.subject.split(".", 2)[2]
            epoch, offset, by, data, is_removal = _unpack_kept(message.data)
            if not is_removal:
                self._retained[topic] = Entry(topic, data, by, Position(epoch, offset))

        await connection.read(
            f"KV_{bucket}",
            [f"$KV.{bucket}.>"],
            take,
            policy=api.DeliverPolicy.LAST_PER_SUBJECT,
        )

    async def _reaches(self, offset: int) -> bool:
        """Wait a moment until a message has been read, which another node may have told of."""
        for _ in range(100):
            if self._last >= offset:
                return True
            await asyncio.sleep(0.02)
        return False

    # Publishing.

    async def _publish(
        self, connection: NatsConnection, messages: list[Outgoing]
    ) -> list[Position | None]:
        epoch, name = self._epoch, self._name
        bodies = [
            (
                f"{name}.{'k' if one.keep else 'm'}.{one.topic}",
                _pack((one.by, one.data, one.is_removal)),
                one.id,
            )
            for one in messages
        ]
        offsets = await connection.publish(bodies)
        newest = {
            one.topic: (one, offset)
            for one, offset in zip(messages, offsets, strict=True)
            if one.keep
        }
        for one, offset in newest.values():
            await self._keep(connection, one, epoch, offset)
        return [Position(epoch, offset) for offset in offsets]

    async def _keep(
        self, connection: NatsConnection, message: Outgoing, epoch: str, offset: int
    ) -> None:
        """Put a retained value into its bucket, unless a newer one is there."""

        def is_newer(found: bytes) -> bool:
            has_epoch, has_offset = _unpack_kept(found)[:2]
            return has_epoch != epoch or has_offset < offset

        value = _pack((epoch, offset, message.by, message.data, message.is_removal))
        await connection.put_newer(self._bucket, message.topic, value, is_newer)


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex() or "-"


def _text(name: str) -> str:
    return "" if name == "-" else bytes.fromhex(name).decode("utf-8", "surrogatepass")
