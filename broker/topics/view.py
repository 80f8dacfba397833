"""The topics as one user may use them: grants and limits are checked here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from broker.core.calls.dispatch import Route, routes_each_call
from broker.errors import ConfigError, Error, ServerBusy, WrongArguments
from broker.flavors.contracts.proxy import reference_of
from broker.flavors.contracts.servant import Servant, servant
from broker.flavors.reference import RemoteReference
from broker.flavors.subscription import Slow
from broker.history import Position
from broker.topics.contract import Listener, TopicsContract
from broker.topics.grants import Grants
from broker.topics.items import Joined, Left, Members, Message, Reset, Since
from broker.topics.mailbox import Mailbox
from broker.topics.names import is_pattern, is_topic
from cred.error import Unauthorized

if TYPE_CHECKING:
    from broker.topics.hub import Topics

__all__ = ["View", "servant_of_view"]

_MOST_WAITING = 10_000


class View:
    """Implements `TopicsContract` for one login.

    Args:
        topics: the topics of the server.
        grants: of the user.
        member: the avatar id of the user; None for a guest.
        most: how many subscriptions it may have at once.
    """

    def __init__(self, topics: Topics, grants: Grants, member: str | None, most: int):
        self._topics = topics
        self._grants = grants
        self._member = member
        self._most = most
        self._count = 0
        self._last = 0
        # How to end the subscriptions of listeners, by their numbers.
        self._ends: dict[int, Callable[[], None]] = {}

    def subscribe(
        self,
        pattern: str,
        *,
        since: Position | Since | None = None,
        slow: Slow = Slow.DISCONNECT,
        most: int = 1000,
    ) -> AsyncIterator[Message | Reset]:
        """See the contract."""
        self._check_subscribe(pattern, most)
        with _told():
            mailbox = self._topics.messages(
                pattern, since=since, slow=slow, most=most, ended=self._has_ended
            )
        self._enter(pattern)
        return _Reader(mailbox)

    async def subscribe_reference(
        self, pattern: str, listener: Listener, *, slow: Slow = Slow.DISCONNECT, most: int = 1000
    ) -> int:
        """See the contract."""
        self._check_subscribe(pattern, most)
        reference = reference_of(listener)
        leave = self._topics.add_listener(pattern, reference, slow, most)
        self._enter(pattern)
        self._last += 1
        number = self._last

        def end(_: RemoteReference | None = None) -> None:
            if self._ends.pop(number, None) is not None:
                reference.forget_over(end)
                leave()
                self._leave(pattern)

        self._ends[number] = end
        reference.when_over(end)
        return number

    async def unsubscribe(self, number: int) -> None:
        """See the contract."""
        end = self._ends.get(number)
        if end is not None:
            end()

    async def publish(self, topic: str, data: Any, *, keep: bool = False) -> Position | None:
        """See the contract."""
        if not is_topic(topic):
            raise _not("publish", "a topic: tokens of A-Z a-z 0-9 _ - joined by dots")
        if not self._grants.may_publish(topic):
            raise Unauthorized(f"you may not publish to '{topic}'")
        with _told():
            return await self._topics.published(topic, data, keep=keep, by=self._member)

    async def members(self, topic: str) -> Members:
        """See the contract."""
        if not is_topic(topic):
            raise _not("members", "a topic: tokens of A-Z a-z 0-9 _ - joined by dots")
        self._check_presence(topic)
        with _told():
            return await self._topics.members(topic)

    def presence(self, pattern: str) -> AsyncIterator[Joined | Left]:
        """See the contract."""
        self._check_pattern("presence", pattern)
        self._check_presence(pattern)
        with _told():
            return self._topics.presence(pattern)

    def _check_pattern(self, method: str, pattern: str) -> None:
        if not is_pattern(pattern):
            raise _not(method, "a pattern: tokens of A-Z a-z 0-9 _ -, * or a last >, with dots")

    def _check_presence(self, pattern: str) -> None:
        if not self._grants.may_see(pattern):
            raise Unauthorized(f"you may not see who is in '{pattern}'")

    def _check_subscribe(self, pattern: str, most: int) -> None:
        self._check_pattern("subscribe", pattern)
        if not self._grants.may_subscribe(pattern):
            raise Unauthorized(f"you may not subscribe to '{pattern}'")
        if not 1 <= most <= _MOST_WAITING:
            raise WrongArguments(f"subscribe: most is 1 to {_MOST_WAITING}")
        if self._count >= self._most:
            busy = ServerBusy(f"{self._most} subscriptions (max_subscriptions)")
            busy.limit, busy.most, busy.got = "max_subscriptions", self._most, self._count + 1
            raise busy

    def _has_ended(self, mailbox: Mailbox) -> None:
        self._leave(mailbox.pattern)

    def _enter(self, pattern: str) -> None:
        self._count += 1
        self._topics.enter(pattern, self._member)

    def _leave(self, pattern: str) -> None:
        self._count -= 1
        self._topics.leave(pattern, self._member)


class _Reader(AsyncIterator[Message | Reset]):
    """The reading end of a mailbox: its end, or its collection, ends the subscription.

    A stream may be collected unread, for example that of a call without an answer.
    """

    __slots__ = ("__weakref__", "_loop", "_mailbox")

    def __init__(self, mailbox: Mailbox):
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        # In any thread; the loop may have ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._mailbox.fail, None)

    async def __anext__(self) -> Message | Reset:
        return await self._mailbox.__anext__()

    async def aclose(self) -> None:
        """End the subscription."""
        await self._mailbox.aclose()


def servant_of_view(view: View) -> Servant:
    """Return the object that peers call; the errors of its methods are about these calls."""
    return _servant_class()(view)


@cache
def _servant_class() -> type[Servant]:
    base = type(servant(TopicsContract)(View.__new__(View)))

    @routes_each_call
    class TopicsServant(base):  # type: ignore[misc, valid-type]
        def route(self) -> Route:
            return super().route()._replace(is_ours=True)  # type: ignore[no-any-return]

    return TopicsServant


@contextmanager
def _told() -> Iterator[None]:
    """Tell the peer what the engine cannot do, rather than that something has failed."""
    try:
        yield
    except ConfigError as error:
        raise Error(*error.args) from None


def _not(method: str, what: str) -> WrongArguments:
    return WrongArguments(f"{method}: not {what}")
