"""Topics: publishes values under names, and gives them to the subscribers of this process."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from weakref import WeakKeyDictionary, WeakSet

from broker.connection.peer import current_call
from broker.errors import ConfigError, DecodeError, ServerBusy, WrongType
from broker.flavors.contracts.servant import Servant
from broker.flavors.reference import RemoteReference
from broker.flavors.subscription import Slow
from broker.history import Position
from broker.topics.engine import Engine, Entry, Outgoing
from broker.topics.engines.memory import MemoryEngine
from broker.topics.grants import Grants
from broker.topics.groups import Group
from broker.topics.items import Joined, Left, Members, Message, Reset, Since
from broker.topics.mailbox import LOST, Fetched, Mailbox, Start
from broker.topics.names import Patterns, is_pattern, is_topic
from broker.topics.outgoing import Outbox
from broker.topics.payload import decoded, encoded
from broker.topics.presence import Presence
from broker.topics.view import View, servant_of_view
from broker.traces import log_error

__all__ = ["Topics", "waiting_messages"]

logger = logging.getLogger("broker.topics")

_CLOSE_SECONDS = 5.0
_MOST_REPLAYED = 10_000
"""Messages of the history that one subscription gets; beyond them it gets a Reset."""


_all: WeakSet[Topics] = WeakSet()


def waiting_messages() -> int:
    """Return how many messages wait for an engine to take them, over all Topics of the process."""
    return sum(len(each._outbox) for each in list(_all))


class Topics:
    """Values that are published under names, and the subscribers of names and patterns.

    ::

        topics = broker.Topics()

        class User(broker.Avatar):
            def grants(self):
                return broker.Grants(subscribe=["prices.>"], publish=["chat.*"])

            def perspective_topics(self):
                return topics.view(self)

        topics.publish("prices.A", 3.2)

    All methods are called in the loop of the connections. It begins at its first use there.

    Args:
        engine: carries and keeps the messages; a `MemoryEngine` if it is left out.
        outgoing: what happens to messages of ``publish`` when more than 10,000, or 16 MiB, wait for
            the engine: ``Slow.DROP_OLDEST`` or ``Slow.DROP_NEWEST``.
        lease: seconds after which a member who has gone is not present any more.
        presence: whether the engine is told who subscribes. Without it, `members` and `presence`
            cannot be used, and the engine has less to do.
        max_message: bytes of the data of a message.
        max_subscriptions: subscriptions of one login.
        max_patterns: patterns that are subscribed to in this process.

    Raises:
        ConfigError: a number is not positive, or ``outgoing`` is another value.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        *,
        outgoing: Slow = Slow.DROP_OLDEST,
        lease: float = 10.0,
        presence: bool = True,
        max_message: int = 65_536,
        max_subscriptions: int = 100,
        max_patterns: int = 1000,
    ):
        numbers = {
            "lease": lease,
            "max_message": max_message,
            "max_subscriptions": max_subscriptions,
            "max_patterns": max_patterns,
        }
        for name, number in numbers.items():
            if not number > 0:
                raise ConfigError(f"Topics({name}={number}): it must be positive")
        if outgoing not in (Slow.DROP_OLDEST, Slow.DROP_NEWEST):
            raise ConfigError("Topics(outgoing=…) is Slow.DROP_OLDEST or Slow.DROP_NEWEST")
        self._engine: Engine = MemoryEngine() if engine is None else engine
        self._max_message = max_message
        self._max_subscriptions = max_subscriptions
        self._max_patterns = max_patterns
        self._groups: Patterns[Group] = Patterns()
        self._outbox = Outbox(self._engine, outgoing, self._lost)
        self._presence = Presence(self._engine, lease, is_told=presence)
        self._views: WeakKeyDictionary[object, dict[str | None, View]] = WeakKeyDictionary()
        self._is_started = False
        self._is_closed = False
        self._node = secrets.token_hex(8)
        self._number = 0
        _all.add(self)

    def __repr__(self) -> str:
        return f"<Topics on {type(self._engine).__name__}, {len(self._groups)} patterns>"

    @property
    def is_degraded(self) -> bool:
        """Whether the engine cannot be reached now."""
        return self._is_started and not self._engine.is_up

    @property
    def dropped(self) -> int:
        """How many published messages were dropped, since the engine did not take them."""
        return self._outbox.dropped

    async def ready(self) -> None:
        """Wait until the engine delivers what is published from now on."""
        self._start()
        await self._engine.ready()

    async def __aenter__(self) -> Topics:
        await self.ready()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all subscriptions, publish what waits for at most 5 seconds, and close the engine."""
        self._is_closed = True
        for _, group in self._groups:
            for mailbox in list(group.mailboxes):
                mailbox.fail(None)
        await self._outbox.drain(_CLOSE_SECONDS)
        await self._presence.close()
        if self._is_started:
            await self._engine.close()

    # Publishing.

    def publish(self, topic: str, data: object, *, keep: bool = False) -> None:
        """Publish a value; does not wait, and does not fail because of the engine.

        Args:
            topic: tokens of ``A-Z a-z 0-9 _ -``, joined by dots.
            data: a plain value, bytes, a date, a Decimal, or a container of these.
            keep: make it the retained value of the topic; ``data=None`` removes that.

        Raises:
            ValueError: it is not a topic. TooLarge, a ValueError: the data has too many bytes.
            CannotJelly: the data cannot be sent.
        """
        message = self._message(topic, data, keep, None)
        if "immediate" in self._engine.capabilities:
            self._engine.publish([message])
        else:
            self._outbox.put(message)

    async def published(
        self, topic: str, data: object, *, keep: bool = False, by: str | None = None
    ) -> Position | None:
        """Publish a value; return its position once the engine has it.

        Args:
            topic, data, keep: as of :meth:`publish`.
            by: the avatar id of the publisher.

        Returns:
            The position; None if the engine has no positions.

        Raises:
            ServerBusy: too many messages wait for the engine. The errors of :meth:`publish`.
        """
        message = self._message(topic, data, keep, by)
        if "immediate" in self._engine.capabilities:
            found = self._engine.publish([message])
            positions = found if isinstance(found, list) else await found
            return positions[0]
        return await self._outbox.put_and_tell(message)

    def _message(self, topic: str, data: object, keep: bool, by: str | None) -> Outgoing:
        if not is_topic(topic):
            raise ValueError("not a topic: tokens of A-Z a-z 0-9 _ - joined by dots")
        made = encoded(data, self._max_message)
        if keep and "retained" not in self._engine.capabilities:
            raise ConfigError("this engine keeps no retained values")
        self._start()
        self._number += 1
        number = f"{self._node}-{self._number}"
        return Outgoing(topic, made, keep, keep and data is None, by, number)

    # Subscribing.

    def subscribe(self, pattern: str, callback: Callable[[Message], object]) -> Callable[[], None]:
        """Call a function of this process with each `Message`; return a function that ends that.

        An error of the function is logged. The function must not change the data.

        Raises:
            ValueError: it is not a pattern.
            ServerBusy: too many patterns.
        """
        group = self._group(pattern)
        key = object()
        group.callbacks[key] = callback

        def end() -> None:
            group.callbacks.pop(key, None)
            self._tidy(group)

        return end

    def messages(
        self,
        pattern: str,
        *,
        since: Position | Since | None = None,
        slow: Slow = Slow.DISCONNECT,
        most: int = 1000,
        ended: Callable[[Mailbox], None] | None = None,
    ) -> Mailbox:
        """Return an async iterator of messages in this process; ``aclose()`` ends it.

        Args:
            pattern, since, slow, most: as of `TopicsContract.subscribe`.
            ended: is called once when it has ended.

        Raises:
            ValueError: it is not a pattern, or ``most`` is not positive.
            ConfigError: the engine keeps no history, or no retained values.
            ServerBusy: too many patterns.
        """
        self._check_start(since)
        if most < 1:
            raise ValueError(f"most is {most}: at least one message must be able to wait")
        group = self._group(pattern)

        def end(mailbox: Mailbox) -> None:
            group.mailboxes.pop(mailbox, None)
            self._tidy(group)
            if ended is not None:
                ended(mailbox)

        mailbox = Mailbox(pattern, since, slow, most, self._fetch, end)
        group.mailboxes[mailbox] = None
        return mailbox

    def add_listener(
        self, pattern: str, reference: RemoteReference, slow: Slow, most: int
    ) -> Callable[[], None]:
        """Call ``message`` of a peer's object one way; return a function that ends that.

        Raises:
            WrongArguments: it listens to this pattern already.
        """
        group = self._group(pattern)
        if reference in group.listeners:
            raise ServerBusy(f"this listener subscribes to '{pattern}' already")
        group.listeners.add(reference, slow=slow, most=most)

        def end() -> None:
            group.listeners.discard(reference)
            self._tidy(group)

        return end

    def view(self, avatar: object) -> Servant:
        """Return the topics as the caller of this remote method may use them.

        The grants are those that ``avatar.grants()`` returns, asked once a login; none without such
        a method. Subscriptions of one login on one connection are counted together.

        Raises:
            LookupError: no remote method is running.
            WrongType: a TypeError: ``grants()`` returned another type.
        """
        call = current_call()
        views = self._views.setdefault(call.connection.broker, {})
        member = call.peer.avatar_id
        view = views.get(member)
        if view is None:
            view = View(self, _grants_of(avatar), member, self._max_subscriptions)
            views[member] = view
        return servant_of_view(view)

    # Presence.

    async def members(self, topic: str) -> Members:
        """Return who subscribes to a topic, on all nodes.

        Raises:
            ConfigError: the engine does not keep presence.
        """
        self._start()
        return await self._presence.members(topic)

    def presence(self, pattern: str) -> AsyncIterator[Joined | Left]:
        """Return an async iterator of who subscribes: first all, then who comes and goes.

        Raises:
            ConfigError: the engine does not keep presence.
        """
        self._start()
        return self._presence.watch(pattern)

    def enter(self, pattern: str, member: str | None) -> None:
        """Note that a member, or a guest, subscribes to a pattern."""
        self._presence.enter(pattern, member)

    def leave(self, pattern: str, member: str | None) -> None:
        """Note the end of such a subscription."""
        if not self._is_closed:
            self._presence.leave(pattern, member)

    # Internal.

    def _start(self) -> None:
        if self._is_closed:
            raise RuntimeError("these topics were closed")
        if not self._is_started:
            asyncio.get_running_loop()
            self._is_started = True
            self._engine.start(self._deliver, self._gap)

    def _check_start(self, since: Start) -> None:
        capabilities = self._engine.capabilities
        if isinstance(since, Position) or since is Since.ALL:
            if "history" not in capabilities:
                raise ConfigError("this engine keeps no history")
        elif since is Since.RETAINED:
            if "retained" not in capabilities:
                raise ConfigError("this engine keeps no retained values")
        elif since is not None:
            raise WrongType(f"since= is a Position or a Since, not {type(since).__name__}")

    def _group(self, pattern: str) -> Group:
        if not is_pattern(pattern):
            raise ValueError("not a pattern: tokens of A-Z a-z 0-9 _ -, * or a last >, with dots")
        self._start()
        group = self._groups.get(pattern)
        if group is None:
            if len(self._groups) >= self._max_patterns:
                busy = ServerBusy(f"{self._max_patterns} patterns (max_patterns)")
                busy.limit, busy.most = "max_patterns", self._max_patterns
                busy.got = len(self._groups) + 1
                raise busy
            group = Group(pattern)
            self._groups.put(pattern, group)
        return group

    def _tidy(self, group: Group) -> None:
        if group.is_empty and self._groups.get(group.pattern) is group:
            self._groups.remove(group.pattern)

    def _deliver(self, entry: Entry) -> None:
        groups = self._groups.matching(entry.topic)
        if not groups:
            return
        try:
            message = _message_of(entry)
        except DecodeError as error:
            log_error(logger, f"a message of '{entry.topic}' cannot be decoded", error)
            self._lost(entry.topic)
            return
        for group in groups:
            group.push(message)

    def _lost(self, topic: str) -> None:
        for group in self._groups.matching(topic):
            group.lose(1)

    def _gap(self) -> None:
        for _, group in self._groups:
            group.reset()

    async def _fetch(self, pattern: str, since: Start) -> Fetched:
        """Return what a mailbox begins with."""
        if since is Since.ALL or isinstance(since, Position):
            page = await self._engine.replay(pattern, since if since is not Since.ALL else None)
            if page is not None and (since is Since.ALL or len(page.entries) <= _MOST_REPLAYED):
                newest = page.entries[-_MOST_REPLAYED:]
                return list(map(_message_of, newest)), page.position
            since = LOST
        if "retained" in self._engine.capabilities:
            page = await self._engine.retained(pattern)
            messages, position = list(map(_message_of, page.entries)), page.position
        else:
            messages, position = [], None
        if since is LOST:
            return [Reset(position, messages)], position
        return list(messages), position


def _message_of(entry: Entry) -> Message:
    return Message(entry.topic, decoded(entry.data), entry.position, entry.by)


def _grants_of(avatar: object) -> Grants:
    asked = getattr(avatar, "grants", None)
    if asked is None:
        return Grants()
    grants = asked()
    if not isinstance(grants, Grants):
        raise WrongType(f"grants() returns a Grants, not {type(grants).__name__}")
    return grants
