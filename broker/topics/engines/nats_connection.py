"""One connection to NATS, and the consumers of streams that live as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import BadRequestError, NotFoundError

from broker.cancelling import end_tasks

__all__ = ["NatsConnection"]

logger = logging.getLogger("broker.topics")

T = TypeVar("T")

SECONDS = 5.0
"""How long an answer of a server may take."""

# Codes of the error that the last number of a subject is another one.
_ANOTHER_NUMBER = (10071, 10164)


class NatsConnection:
    """A connection, which is not made again when it has ended.

    Attributes:
        again: is set when messages may have been lost here, so that another consumer is needed.
        ended: is set when the connection has ended.
    """

    def __init__(self) -> None:
        self.again = asyncio.Event()
        self.ended = asyncio.Event()
        self._client = Client()
        self._js = self._client.jetstream(timeout=SECONDS)

    async def open(self, servers: str | list[str], options: dict[str, object]) -> None:
        """Connect."""

        async def ended() -> None:
            self.ended.set()

        async def failed(error: Exception) -> None:
            self.again.set()

        all_options: dict[str, object] = {
            "allow_reconnect": False,
            "connect_timeout": 2,
            # Without these the client tries each server 60 times, for two minutes.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0.1,
            "ping_interval": 10,
            **options,
            "closed_cb": ended,
            "disconnected_cb": ended,
            "error_cb": failed,
        }
        await self._client.connect(servers, **all_options)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Write what is to be written, and disconnect."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SECONDS):
                if self._client.is_connected:
                    await self._client.flush()
                await self._client.close()

    async def while_open(self, work: Coroutine[object, object, T]) -> T:
        """Return what a coroutine returns; cancel it when the connection ends.

        Raises:
            ConnectionError: the connection has ended.
        """
        task = asyncio.ensure_future(work)
        over = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait([task, over], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ConnectionError("the connection to NATS has ended")
        finally:
            await end_tasks(task, over)

    async def make_stream(self, config: api.StreamConfig) -> None:
        """Make a stream if it is not there."""
        try:
            await self._js.add_stream(config)
        except BadRequestError:
            logger.warning("the stream of topics has other settings; those that it has are used")

    async def make_bucket(self, config: api.KeyValueConfig) -> None:
        """Make a bucket if it is not there."""
        try:
            await self._js.stream_info(f"KV_{config.bucket}")
        except NotFoundError:
            await self._js.create_key_value(config)

    async def info(self, stream: str) -> api.StreamInfo:
        """Return what is known of a stream."""
        return await self._js.stream_info(stream)

    async def publish(self, messages: Sequence[tuple[str, bytes, str]]) -> list[int]:
        """Publish messages in their order: subjects, bytes and ids; return their numbers.

        Raises:
            TimeoutError: some were not acknowledged in time.
        """
        acks = [
            await self._js.publish_async(subject, data, headers={"Nats-Msg-Id": number})
            for subject, data, number in messages
        ]
        _, late = await asyncio.wait(acks, timeout=SECONDS)
        for ack in late:
            ack.cancel()
        if late:
            raise TimeoutError("NATS has not acknowledged messages")
        return [ack.result().seq for ack in acks]

    async def tell(self, subject: str, data: bytes) -> None:
        """Publish without an acknowledgement."""
        await self._client.publish(subject, data)

    async def put_newer(
        self, bucket: str, key: str, value: bytes, is_newer: Callable[[bytes], bool]
    ) -> None:
        """Put a value into a bucket if it is newer than the one that is there."""
        values = await self._js.key_value(bucket)
        while True:
            try:
                found = await values.get(key)
            except NotFoundError:
                revision = 0
            else:
                if not is_newer(found.value or b""):
                    return
                revision = found.revision or 0
            try:
                await values.update(key, value, last=revision)
                return
            except BadRequestError:
                # Another node was quicker.
                continue

    async def entry(self, bucket: str, key: str) -> tuple[bytes, int] | None:
        """Return value and number of an entry of a bucket; None if it is not there."""
        try:
            found = await self._js.get_last_msg(f"KV_{bucket}", f"$KV.{bucket}.{key}")
        except NotFoundError:
            return None
        return found.data or b"", found.seq or 0

    async def write(self, bucket: str, key: str, value: bytes, last: int) -> int | None:
        """Write an entry whose number is ``last``, 0 if it is not there; return its new number.

        Returns:
            None if the number of the entry is another one.
        """
        try:
            ack = await self._js.publish(
                f"$KV.{bucket}.{key}",
                value,
                headers={api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(last)},
            )
        except BadRequestError as error:
            if error.err_code in _ANOTHER_NUMBER:
                return None
            raise
        return ack.seq

    async def remove(self, bucket: str, key: str, upto: int | None = None) -> None:
        """Remove an entry without a trace; only if its number is at most ``upto``, if given."""
        last = None if upto is None else upto + 1
        await self._js.purge_stream(f"KV_{bucket}", seq=last, subject=f"$KV.{bucket}.{key}")

    async def entries(self, bucket: str) -> dict[str, tuple[bytes, int]]:
        """Return all entries of a bucket, with their numbers."""
        found: dict[str, tuple[bytes, int]] = {}
        head = f"$KV.{bucket}."

        def take(message: Msg) -> None:
            number = message.metadata.sequence.stream
            found[message.subject.removeprefix(head)] = message.data, number

        policy = api.DeliverPolicy.LAST_PER_SUBJECT
        await self.read(f"KV_{bucket}", [f"{head}>"], take, policy=policy)
        return found

    async def read(
        self,
        stream: str,
        subjects: Sequence[str],
        take: Callable[[Msg], None],
        *,
        start: int | None = None,
        policy: api.DeliverPolicy = api.DeliverPolicy.BY_START_SEQUENCE,
    ) -> None:
        """Take all messages that a stream has now of some subjects."""
        done = asyncio.get_running_loop().create_future()

        async def took(message: Msg) -> None:
            take(message)
            if message.metadata.num_pending == 0 and not done.done():
                done.set_result(None)

        stop = await self.consume(
            stream, subjects, took, start=start, policy=policy, none=lambda: done.set_result(None)
        )
        try:
            async with asyncio.timeout(60):
                await done
        finally:
            with contextlib.suppress(Exception):
                await stop()

    async def consume(
        self,
        stream: str,
        subjects: Sequence[str],
        took: Callable[[Msg], Awaitable[None]],
        *,
        start: int | None = None,
        policy: api.DeliverPolicy = api.DeliverPolicy.BY_START_SEQUENCE,
        none: Callable[[], None] | None = None,
    ) -> Callable[[], Awaitable[None]]:
        """Take messages of a stream as they come; return a function that ends that."""
        client, js = self._client, self._js
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=took)
        config = api.ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=policy,
            opt_start_seq=start,
            ack_policy=api.AckPolicy.NONE,
            filter_subjects=list(subjects),
            max_deliver=1,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=30.0,
        )
        info = await js.add_consumer(stream, config)
        if none is not None and not info.num_pending and not info.delivered.consumer_seq:  # type: ignore[union-attr]
            none()

        async def stop() -> None:
            await subscription.unsubscribe()
            await js.delete_consumer(stream, info.name)

        return stop
