"""The chat on several nodes: each tells the others what happens there, and does what they tell.

Theory of operation. Each node has a whole town. The guests of other nodes are in it too, as guests
with a ``home``; they do what their node tells of them. All nodes hear all events in one order. So
if a user comes in at two nodes at once, each node knows which of the two came later, and the other
session ends. What is said in a room may still be in another order at two nodes, since a node shows
its own at once.

A node is present under a topic, for as long as it renews its lease. When another node sees it come,
or may have lost events, it asks for all who are there; when it is gone, its people are removed. All
nodes have one database; the node of a guest writes what the guest does.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import broker
from broker.topics.items import Joined, Message
from broker.topics.mailbox import Mailbox
from cred import LoginDenied
from examples.chat.errors import ChatError
from examples.chat.guests import Guest, Listener
from examples.chat.model import Town
from examples.chat.rooms import Line

__all__ = ["Nodes"]

EVENTS, PRESENT = "chat.events", "chat.nodes"

MOST_WAITING = 10_000
"""How many events of other nodes may wait."""

MOST_EACH = 100
"""People in one answer to a node that asks who is here."""

logger = logging.getLogger("examples.chat")


class Told(NamedTuple):
    """An event, as nodes tell each other.

    Attributes:
        node: who tells it.
        to: the node that it is for; None for all.
        event: its name.
        who, room, text: as of the events of `examples.chat.model`.
        at: when it happened, in seconds since 1970.
        people: name, front end, time of coming and rooms of each; with ``here`` only.
    """

    node: str
    to: str | None
    event: str
    who: str = ""
    room: str = ""
    text: str = ""
    at: float = 0.0
    people: Sequence[tuple[str, str, float, list[str]]] = ()


class Nodes:
    """The other nodes of the chat, as one node sees them.

    Args:
        town: of this node.
        topics: carry the events.

    Attributes:
        name: of this node.
        known: the names of the other nodes that are there.
    """

    def __init__(self, town: Town, topics: broker.Topics):
        self.name = secrets.token_hex(8)
        self.known: set[str] = set()
        self._town = town
        self._topics = topics
        # How often each user has come in here without being heard of yet; small letters.
        self._unheard: Counter[str] = Counter()
        # The names that a node has told of in the parts of its answer so far.
        self._answers: dict[str, set[str]] = {}
        self._is_present = asyncio.Event()
        self._is_closed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._events: Mailbox

    async def listen(self) -> None:
        """Keep what other nodes tell from now on."""
        await self._topics.ready()
        self._events = self._topics.messages(
            EVENTS, slow=broker.Slow.DROP_OLDEST, most=MOST_WAITING
        )

    async def start(self) -> None:
        """Do what other nodes tell, and let them know that this one is there."""
        self._town.others = self
        self._topics.enter(PRESENT, self.name)
        self._tasks = [asyncio.create_task(work()) for work in (self._follow, self._watch)]
        await self._is_present.wait()

    async def close(self) -> None:
        """Tell the other nodes that this one goes; does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        self._publish(Told(self.name, None, "closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._topics.close()

    def tell(self, event: str, who: str, room: str, text: str, at: float) -> None:
        """Tell the other nodes of an event of this node."""
        if event == "came":
            self._unheard[who.lower()] += 1
        self._publish(Told(self.name, None, event, who, room, text, at))

    # What other nodes tell.

    async def _follow(self) -> None:
        async for item in self._events:
            if not isinstance(item, Message) or item.missed:
                logger.warning("events of other nodes may be lost")
                self._unheard.clear()
                self._publish(Told(self.name, None, "who"))
            if isinstance(item, Message):
                try:
                    self._take(Told(*item.data))
                except Exception:
                    logger.exception("an event of another node cannot be used")

    async def _watch(self) -> None:
        async for event in self._topics.presence(PRESENT):
            if event.member == self.name:
                self._is_present.set()
            elif isinstance(event, Joined):
                self.known.add(event.member)
                self._publish(Told(self.name, event.member, "who"))
            else:
                self._forget(event.member, "the server has gone")

    def _take(self, told: Told) -> None:
        if told.node == self.name:
            if told.event == "came":
                self._unheard[told.who.lower()] -= 1
        elif told.to in (None, self.name):
            with self._at(told.at):
                _DOES[told.event](self, told)

    @contextmanager
    def _at(self, time: float) -> Iterator[None]:
        """Let the town have the time of an event of another node, while the block runs."""
        clock, self._town.clock = self._town.clock, lambda: time
        try:
            yield
        finally:
            self._town.clock = clock

    def _came(self, told: Told) -> None:
        before = self._town.person(told.who)
        if before is not None and before.home is None and self._unheard[told.who.lower()]:
            # That session began later here, as the other node will hear.
            return
        self._enter(told.node, told.who, told.text)

    def _enter(self, node: str, name: str, front_end: str) -> Guest | None:
        listener = Listener(partial(self._pass_on, node), front_end)
        try:
            return self._town.enter(name, listener, home=node)
        except LoginDenied as error:
            logger.warning("%s is at another node, and cannot be here: %s", name, error)
            return None

    def _acts(self, told: Told) -> None:
        guest, room = self._guest(told.node, told.who), self._town.rooms.get(told.room)
        if told.event == "said" and room is not None:
            line = Line(told.at, told.who, told.text)
            if line in room.history:
                # It was in the archive already, as this node began.
                return
            if guest is None:
                room.history.append(line)
        if guest is None:
            return
        try:
            _ACTS[told.event](guest, told)
        except ChatError:
            # Something before it was lost.
            self._publish(Told(self.name, told.node, "who"))

    def _private(self, told: Told) -> None:
        name, _, event = told.room.partition(" ")
        person = self._town.person(name)
        if person is not None and person.home is None:
            person.hear(event, person.name, told.who, told.text)

    def _pass_on(self, node: str, event: str, room: str, who: str, text: str) -> None:
        """Pass a private message on to the node of the hearer."""
        if event in ("said", "noticed") and not room.startswith("#"):
            at = self._town.clock()
            self._publish(Told(self.name, node, "private", who, f"{room} {event}", text, at))

    def _who(self, told: Told) -> None:
        people = [
            (each.name, each.front_end, each.since, list(each.rooms))
            for each in (guest.whereabouts for guest in self._town.guests() if guest.home is None)
        ]
        parts = [people[i : i + MOST_EACH] for i in range(0, len(people), MOST_EACH)] or [[]]
        for number, part in enumerate(parts, 1):
            text = "last" if number == len(parts) else ""
            self._publish(Told(self.name, told.node, "here", text=text, people=part))

    def _here(self, told: Told) -> None:
        names = self._answers.setdefault(told.node, set())
        for name, front_end, since, rooms in told.people:
            names.add(name)
            with self._at(since):
                self._is_there(told.node, name, front_end, rooms)
        if told.text == "last":
            del self._answers[told.node]
            for guest in self._guests_of(told.node):
                if guest.name not in names:
                    guest.leave()

    def _is_there(self, node: str, name: str, front_end: str, rooms: list[str]) -> None:
        """Let a guest of another node be where that node has told."""
        person = self._town.person(name)
        if person is not None and person.home is None:
            # One of the two sessions is about to end; the others may have been told of it only.
            at, has = person.whereabouts.since, list(person.rooms)
            mine = person.name, person.whereabouts.front_end, at, has
            self._publish(Told(self.name, None, "still", at=at, people=[mine]))
            return
        guest = self._guest(node, name) or self._enter(node, name, front_end)
        if guest is None:
            return
        for room in [room for room in guest.rooms if room not in rooms]:
            guest.part(room)
        for room in rooms:
            guest.join(room)

    def _still(self, told: Told) -> None:
        for name, front_end, _, rooms in told.people:
            person = self._town.person(name)
            if person is None or person.home is not None:
                self._is_there(told.node, name, front_end, rooms)

    def _forget(self, node: str, why: str) -> None:
        self.known.discard(node)
        for guest in self._guests_of(node):
            guest.leave(why)

    def _guests_of(self, node: str) -> list[Guest]:
        return [guest for guest in self._town.guests() if guest.home == node]

    def _guest(self, node: str, name: str) -> Guest | None:
        guest = self._town.person(name)
        return guest if guest is not None and (guest.home, guest.name) == (node, name) else None

    def _publish(self, told: Told) -> None:
        self._topics.publish(EVENTS, [*told])


_ACTS: dict[str, Any] = {
    "went": lambda guest, told: guest.leave(told.text),
    "joined": lambda guest, told: guest.join(told.room),
    "left": lambda guest, told: guest.part(told.room, told.text),
    "said": lambda guest, told: guest.say(told.room, told.text),
    "noticed": lambda guest, told: guest.notice(told.room, told.text),
    "topic": lambda guest, told: guest.set_topic(told.room, told.text),
}

_DOES: dict[str, Any] = {
    **dict.fromkeys(_ACTS, Nodes._acts),
    "came": Nodes._came,
    "private": Nodes._private,
    "who": Nodes._who,
    "here": Nodes._here,
    "still": Nodes._still,
    "closed": lambda nodes, told: nodes._forget(told.node, "the server has ended"),
    "kick": lambda nodes, told: nodes._town.expel(told.who, told.text),
    "banner": lambda nodes, told: nodes._town.show_banner(told.who, told.text),
}
