"""Handles the last messages of a peer that has gone."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from broker.core.queued import Queued, outlives
from broker.core.wire.messages import Goodbye
from broker.core.work import PUT_OFF, Work, WorkLeft
from jelly.errors import ProtocolError

__all__ = ["last_words"]


def last_words(
    works: Iterable[Work],
    messages: deque[Queued],
    has_more: bool,
    decode: Callable[[deque[Queued]], bool],
    handle: Callable[[Queued], WorkLeft],
) -> Iterator[object]:
    """Return an iterator over the last messages, which looks at one in each step.

    It handles answers to outgoing calls, and a goodbye. It drops all others: calls, since no caller
    is left to take the answer, and decrefs. It ends after a goodbye, and at the first protocol
    error.

    Args:
        works: the rest of the work of earlier messages, which is done first.
        messages: the messages; emptied.
        has_more: whether there may be bytes to decode.
        decode: appends decoded messages, and returns whether there may be more.
        handle: the handler of a message.
    """
    with contextlib.suppress(ProtocolError):
        for work in works:
            for _ in work:
                yield None
        while messages or has_more:
            if not messages:
                try:
                    has_more = decode(messages)
                except ProtocolError:
                    has_more = False
                    # The messages before the fault are handled.
                    if not messages:
                        return
                if not messages:
                    # A large message takes several steps to decode.
                    yield None
                continue
            message = messages.popleft()
            if outlives(message):
                left = handle(message)
                if left is not None and left is not PUT_OFF:
                    yield from left
            if type(message) is Goodbye:
                return
            yield None
