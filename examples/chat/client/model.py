"""What a chat client shows: accounts, conversations, what is unread; no toolkit and no wire.

A network tells of an `Event`, which `Chat.take` puts where it belongs. A front end draws `Chat`,
and is told of changes by the function that it gives to `Chat.watch`.

=========== ========================== ============================ ===================
kind        place                      who                          text
=========== ========================== ============================ ===================
``online``  empty                      the own name
``offline`` empty                                                   why
``stopped`` empty                                                   why no more attempts
``banner``  empty                                                   the banner
``error``   the conversation, or empty                              what went wrong
``room``    the room                                                its topic
``said``    the room or the person     the speaker                  what was said
``noticed`` the same                   the speaker                  what a bot said
``joined``  the room                   who has come
``left``    the room                   who has gone                 why
``quit``    empty                      who has left all rooms       why
``topic``   the room                   who has set it               the topic
``renamed`` empty                      the name until now           the new name
=========== ========================== ============================ ===================

``room`` is the state of a room that the user has joined: ``names`` are the people in it, and
``lines`` the last lines that were said there, if the network keeps them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = [
    "MOST_LINES",
    "Account",
    "Chat",
    "Conversation",
    "Event",
    "Line",
    "speaker_and_words",
]

MOST_LINES = 2_000
"""How many lines of a conversation are kept."""

MOST_CONVERSATIONS = 200
"""Of an account. What comes for a further one is shown in the first, that of the network."""

LONGEST_TEXT = 2_000

SPOKEN = ("said", "noticed")


class Line(NamedTuple):
    """A line of a conversation; ``at`` is in seconds since 1970, ``kind`` that of the event.

    Lines of the kind ``gap`` say that something may be missing here.
    """

    at: float
    kind: str
    who: str
    text: str


_HAPPENED = {
    "joined": "has come",
    "left": "has gone",
    "topic": "has set the topic:",
    "renamed": "is now",
}


def speaker_and_words(line: Line) -> tuple[str, str]:
    """Return who has said a line, empty if it is not something that was said, and what to show."""
    if line.kind in SPOKEN and not line.text.startswith("/me "):
        return line.who, line.text
    if line.kind in SPOKEN:
        return "", f"* {line.who} {line.text.removeprefix('/me ')}"
    if line.kind in _HAPPENED:
        why = f"({line.text})" if line.kind == "left" and line.text else line.text
        return "", f"{line.who} {_HAPPENED[line.kind]} {why}".rstrip()
    return "", f"── {line.text} ──" if line.kind == "gap" else line.text


class Event(NamedTuple):
    """What a network tells; see the top of this module."""

    kind: str
    place: str = ""
    who: str = ""
    text: str = ""
    names: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()


class Conversation:
    """A room, a person, or, with an empty name, what the network itself has to say.

    Attributes:
        account: the account that it belongs to.
        name: of the room or the person.
        topic: of the room.
        names: the people in the room, in the order of their names.
        lines: what is to be shown, the oldest first.
        unread: how many lines somebody has said here since it was last shown.
    """

    def __init__(self, account: Account, name: str):
        self.account, self.name = account, name
        self.topic = ""
        self.names: list[str] = []
        self.lines: deque[Line] = deque(maxlen=MOST_LINES)
        self.unread = 0

    @property
    def title(self) -> str:
        """How a list of conversations shows it."""
        return self.name or self.account.title

    @property
    def is_room(self) -> bool:
        """Whether it is a room."""
        return self.name.startswith("#")

    def came(self, who: str) -> None:
        """Add somebody to the people in the room."""
        if who not in self.names:
            self.names = sorted([*self.names, who], key=str.lower)

    def went(self, who: str) -> bool:
        """Take somebody off the people in the room; return whether they were in it."""
        was_here = who in self.names
        self.names = [name for name in self.names if name != who]
        return was_here

    def missed(self, history: tuple[Line, ...]) -> tuple[Line, ...]:
        """Return those lines of a room's history that come after all that was heard here."""
        heard = [(line.who, line.text) for line in self.lines if line.kind == "said"]
        past = [(line.who, line.text) for line in history]
        for known in range(len(past), 0, -1):
            # What was heard before the history begins cannot be compared.
            if heard[-known:] == past[:known]:
                return history[known:]
        return history


class Account:
    """One user on one network.

    Attributes:
        title: ``"alice@host"``.
        nick: the user's name there.
        is_online: whether there is a connection.
        conversations: by name; the first one has an empty name.
    """

    def __init__(self, title: str, nick: str):
        self.title, self.nick = title, nick
        self.is_online = False
        self.lost_at: float | None = None
        self.conversations: dict[str, Conversation] = {"": Conversation(self, "")}

    def conversation(self, name: str) -> Conversation:
        """Return a conversation; make it if it does not exist."""
        found = self.conversations.get(name)
        if found is None:
            if len(self.conversations) >= MOST_CONVERSATIONS:
                return self.conversations[""]
            found = self.conversations[name] = Conversation(self, name)
        return found


class Chat:
    """All accounts, and which conversation is shown.

    Args:
        clock: returns the time in seconds since 1970.

    Attributes:
        accounts: in the order in which they were added.
        current: the conversation that is shown; None without an account.
    """

    def __init__(self, clock: Callable[[], float] = time.time):
        self.accounts: list[Account] = []
        self.current: Conversation | None = None
        self._clock = clock
        self._watchers: list[Callable[[Conversation, Line | None], object]] = []

    def watch(self, function: Callable[[Conversation, Line | None], object]) -> None:
        """Have ``function(conversation, line)`` called for each change.

        ``line`` is a new line of the conversation, or None if something else has changed.
        """
        self._watchers.append(function)

    def add(self, title: str, nick: str) -> Account:
        """Add an account; the first one is shown."""
        account = Account(title, nick)
        self.accounts.append(account)
        if self.current is None:
            self.current = account.conversations[""]
        return account

    def conversations(self) -> Iterator[Conversation]:
        """Yield all conversations, those of an account behind each other."""
        for account in self.accounts:
            yield from account.conversations.values()

    @property
    def unread(self) -> int:
        """How many lines are unread, of all conversations."""
        return sum(conversation.unread for conversation in self.conversations())

    def show(self, conversation: Conversation) -> None:
        """Show a conversation, which is then read."""
        self.current = conversation
        conversation.unread = 0
        self._tell(conversation)

    def step(self, by: int) -> None:
        """Show the conversation that is so many further in the list."""
        every = list(self.conversations())
        if self.current is not None:
            self.show(every[(every.index(self.current) + by) % len(every)])

    def close(self, conversation: Conversation) -> None:
        """Remove a conversation, and show the one of its network."""
        account = conversation.account
        if conversation.name in account.conversations and conversation.name:
            del account.conversations[conversation.name]
            self.show(account.conversations[""])

    def complete(self, text: str) -> list[str]:
        """Return what a text may become: its last word completed to a name, each way that fits.

        At the start of the text the name of a person gets a colon.
        """
        if self.current is None:
            return []
        start, space, word = text.rpartition(" ")
        account = self.current.account
        names = [*self.current.names, *filter(None, account.conversations)]
        found = sorted({name for name in names if name.lower().startswith(word.lower())})
        if not word:
            return []
        ends = [" " if space or name.startswith("#") else ": " for name in found]
        return [f"{start}{space}{name}{end}" for name, end in zip(found, ends, strict=True)]

    def take(self, account: Account, event: Event) -> None:
        """Put an event of an account's network where it belongs."""
        event = _clean(event)
        is_mine = event.kind == "left" and event.who == account.nick
        if is_mine and event.place not in account.conversations:
            # The user has left and closed it.
            return
        if event.kind == "error" and event.place not in account.conversations:
            event = event._replace(place="")
        place = account.conversation(event.place)
        match event.kind:
            case "online":
                self._came_online(account, event)
            case "offline" | "stopped":
                self._went_offline(account, event)
            case "room":
                self._entered(place, event)
            case "quit":
                for conversation in account.conversations.values():
                    if conversation.went(event.who):
                        self._write(conversation, "left", event.who, event.text)
            case "renamed":
                self._renamed(account, event)
            case _:
                self._happened(place, event)

    def _happened(self, place: Conversation, event: Event) -> None:
        if event.kind == "joined":
            place.came(event.who)
        elif event.kind == "left":
            place.went(event.who)
            if event.who == place.account.nick:
                place.names = []
        elif event.kind == "topic":
            place.topic = event.text
        if event.kind in SPOKEN and place is not self.current and event.who != place.account.nick:
            place.unread += 1
        self._write(place, event.kind, event.who, event.text)

    def _renamed(self, account: Account, event: Event) -> None:
        if event.who == account.nick:
            account.nick = event.text
        for conversation in account.conversations.values():
            if conversation.went(event.who):
                conversation.came(event.text)
                self._write(conversation, "renamed", event.who, event.text)

    def _entered(self, place: Conversation, event: Event) -> None:
        place.topic = event.text
        place.names = sorted(set(event.names), key=str.lower)
        for line in place.missed(event.lines):
            place.lines.append(line)
            if place is not self.current and any(old.kind == "gap" for old in place.lines):
                place.unread += 1
        self._tell(place)

    def _came_online(self, account: Account, event: Event) -> None:
        account.is_online = True
        account.nick = event.who or account.nick
        gap, account.lost_at = account.lost_at, None
        if gap is None:
            self._write(account.conversations[""], "online", account.nick, "connected")
            return
        seconds = max(1, round(self._clock() - gap))
        for conversation in account.conversations.values():
            text = f"connected again after {seconds} s; lines may be missing"
            self._write(conversation, "gap", "", text)

    def _went_offline(self, account: Account, event: Event) -> None:
        was_online, account.is_online = account.is_online, False
        if not was_online:
            self._write(account.conversations[""], event.kind, "", event.text)
            return
        account.lost_at = self._clock()
        for conversation in account.conversations.values():
            conversation.names = []
            self._write(conversation, event.kind, "", event.text)

    def _write(self, place: Conversation, kind: str, who: str, text: str) -> None:
        line = Line(self._clock(), kind, who, text)
        place.lines.append(line)
        self._tell(place, line)

    def _tell(self, conversation: Conversation, line: Line | None = None) -> None:
        for function in self._watchers:
            function(conversation, line)


def _clean(event: Event) -> Event:
    """Return an event whose texts cannot control a terminal, and are not longer than allowed."""
    lines = [line._replace(who=_plain(line.who), text=_plain(line.text)) for line in event.lines]
    text = "\n".join(map(_plain, event.text[:LONGEST_TEXT].split("\n")))
    return event._replace(
        place=_plain(event.place),
        who=_plain(event.who),
        text=text if event.kind == "banner" else _plain(event.text),
        names=tuple(map(_plain, event.names)),
        lines=tuple(lines),
    )


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "·" for each in text[:LONGEST_TEXT])
