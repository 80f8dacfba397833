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

__all__ = ["NatsConnection"]

logger = logging.getLogger("broker.topics")

T = TypeVar("T")

SECONDS = 5.0
"""How long an answer of a server may take."""


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
            for one in (task, over):
                one.cancel()
            await asyncio.wait([task, over])

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
