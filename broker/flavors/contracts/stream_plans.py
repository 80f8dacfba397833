"""Streams in a contract: each item is checked where it is sent, and where it is read."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from broker.flavors.contracts.hints import is_union, members_of, type_text
from broker.flavors.contracts.plans import Plan
from broker.flavors.contracts.stand_ins import Mismatch, stand_in, wrong
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream, Stream, stream_of

__all__ = ["STREAMS", "item_hint", "same_stream", "stream_plan"]

STREAMS = frozenset(
    {collections.abc.AsyncIterator, collections.abc.AsyncIterable, collections.abc.AsyncGenerator}
)
"""The classes whose generic forms are streams."""

Convert = Callable[[object], object]


def item_hint(hint: object) -> tuple[object, bool] | None:
    """Return the type of the items of a stream, and whether None is allowed in its place.

    None if the type is not that of a stream.
    """
    members = [member for member in members_of(hint) if member is not type(None)]
    if len(members) != 1:
        return None
    origin = typing.get_origin(members[0])
    if members[0] not in STREAMS and origin not in STREAMS:
        return None
    items = typing.get_args(members[0])
    return (items[0] if items else Any), is_union(hint)


def same_stream(hint: object, other: object) -> bool:
    """Return whether two types are streams of the same items."""
    first, second = item_hint(hint), item_hint(other)
    return first is not None and first == second


def stream_plan(
    hint: object,
    is_optional: bool,
    send: Convert,
    receive: Convert,
    error: Callable[[str], Exception],
) -> Plan:
    """Return the plan of a stream.

    Args:
        hint: its type.
        is_optional: whether None is allowed in its place.
        send, receive: `Value.send` and `Value.receive` of its items.
        error: makes the error for an item of another type.
    """

    def checked(convert: Convert) -> Convert:
        def check(item: object) -> object:
            try:
                return convert(item)
            except Mismatch as mismatch:
                text = f"item{mismatch.place}: {mismatch.text}"
            raise error(text)

        return check

    to_send, to_read = checked(send), checked(receive)

    def lower(value: object) -> object:
        if value is None or isinstance(value, RemoteReference):
            return value
        if isinstance(value, Stream):
            return Stream.over(value.items, _Lowered(value.items, to_send), value.size)
        if isinstance(value, AsyncIterable):
            return Stream.over(value, _Lowered(value, to_send), None)
        return value

    def take(value: object) -> object:
        if isinstance(value, Stream) or (value is None and is_optional):
            return value
        if isinstance(value, RemoteReference):
            value = stream_of(value)
        if not isinstance(value, RemoteStream):
            raise wrong(type_text(hint), value)
        value.convert = to_read
        return value

    return Plan(stand_in(type_text(hint), take), lower)


class _Lowered(AsyncIterator[object]):
    """The items of a stream, as they are sent."""

    __slots__ = ("_convert", "_items")

    def __init__(self, items: AsyncIterable[object], convert: Convert):
        self._items = aiter(items)
        self._convert = convert

    async def __anext__(self) -> object:
        return self._convert(await self._items.__anext__())

    async def aclose(self) -> None:
        """Close the iterator behind it."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
