"""What the chat client shows: which conversation gets what, what is unread, and gaps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.chat.client.model import (
    MOST_CONVERSATIONS,
    Account,
    Chat,
    Event,
    Line,
    speaker_and_words,
)

Tell = Callable[..., None]


class Clock:
    """A clock that stands still unless told otherwise."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the chat."""
    return Clock()


@pytest.fixture
def chat(clock: Clock) -> Chat:
    """Return a chat with one account, of alice, which is online and in #lobby."""
    chat = Chat(clock)
    account = chat.add("alice@here", "alice")
    chat.take(account, Event("online"))
    chat.take(account, Event("room", "#lobby", text="tea", names=("bob", "alice")))
    return chat


@pytest.fixture
def account(chat: Chat) -> Account:
    """Return alice's account."""
    return chat.accounts[0]


def texts(account: Account, name: str) -> list[tuple[str, str, str]]:
    """Return the lines of a conversation, without their times."""
    return [line[1:] for line in account.conversations[name].lines]


def heard(who: str, text: str, at: float = 0.0) -> Line:
    """Return a line of a history."""
    return Line(at, "said", who, text)


def test_a_room_that_is_joined(account: Account) -> None:
    """It has its topic, and its people in the order of their names."""
    room = account.conversations["#lobby"]
    assert (room.topic, room.names) == ("tea", ["alice", "bob"])


def test_people_come_and_go(chat: Chat, account: Account) -> None:
    """The people of a room are those who have come and not left, each once."""
    room = account.conversations["#lobby"]
    for who in ("carol", "bob", "carol"):
        chat.take(account, Event("joined", "#lobby", who))
    assert room.names == ["alice", "bob", "carol"]
    chat.take(account, Event("left", "#lobby", "bob", "tired"))
    assert room.names == ["alice", "carol"]
    assert texts(account, "#lobby")[-1] == ("left", "bob", "tired")


def test_who_quits_leaves_the_rooms_that_they_were_in(chat: Chat, account: Account) -> None:
    """Only there it is shown."""
    chat.take(account, Event("room", "#other", names=("alice",)))
    chat.take(account, Event("quit", "", "bob", "bye"))
    assert texts(account, "#lobby")[-1] == ("left", "bob", "bye")
    assert texts(account, "#other") == []


def test_a_new_name(chat: Chat, account: Account) -> None:
    """Who takes another name has it in each room that they are in; the user too."""
    chat.take(account, Event("renamed", "", "bob", "robert"))
    assert account.conversations["#lobby"].names == ["alice", "robert"]
    assert texts(account, "#lobby")[-1] == ("renamed", "bob", "robert")
    chat.take(account, Event("renamed", "", "alice", "alice_"))
    assert account.nick == "alice_"


def test_what_is_said_elsewhere_is_unread(chat: Chat, account: Account) -> None:
    """Each line of others counts until its conversation is shown; one's own line does not."""
    for text in ("one", "two"):
        chat.take(account, Event("said", "#lobby", "bob", text))
    chat.take(account, Event("said", "bob", "bob", "psst"))
    chat.take(account, Event("said", "#lobby", "alice", "hello"))
    chat.take(account, Event("joined", "#lobby", "carol"))
    assert account.conversations["#lobby"].unread == 2
    assert chat.unread == 3
    chat.show(account.conversations["#lobby"])
    chat.take(account, Event("said", "#lobby", "bob", "three"))
    assert chat.unread == 1
    assert account.conversations["#lobby"].unread == 0


def test_the_next_conversation(chat: Chat, account: Account) -> None:
    """Steps go through all conversations of all accounts, and around."""
    other = chat.add("bob@there", "bob")
    seen = []
    for _ in range(4):
        chat.step(1)
        seen.append(chat.current)
    lobby = account.conversations["#lobby"]
    assert seen == [lobby, other.conversations[""], account.conversations[""], lobby]
    chat.step(-1)
    assert chat.current is account.conversations[""]


def test_a_closed_conversation(chat: Chat, account: Account) -> None:
    """Its network is shown then, which itself cannot be closed."""
    chat.show(account.conversations["#lobby"])
    chat.close(account.conversations["#lobby"])
    assert chat.current is account.conversations[""]
    chat.close(chat.current)
    assert list(account.conversations) == [""]


def test_completion(chat: Chat, account: Account) -> None:
    """The last word becomes each name that fits; a person's name gets a colon at the start."""
    chat.show(account.conversations["#lobby"])
    chat.take(account, Event("joined", "#lobby", "Bertha"))
    assert chat.complete("b") == ["Bertha: ", "bob: "]
    assert chat.complete("ask bo") == ["ask bob "]
    assert chat.complete("#l") == ["#lobby "]
    assert chat.complete("/join #l") == ["/join #lobby "]
    assert chat.complete("") == chat.complete("ask ") == chat.complete("zo") == []


def test_a_lost_connection(chat: Chat, account: Account, clock: Clock) -> None:
    """Each conversation shows when it was lost, and for how long; attempts are shown once."""
    chat.take(account, Event("offline", text="the connection was lost"))
    assert not account.is_online
    assert account.conversations["#lobby"].names == []
    chat.take(account, Event("offline", text="refused"))
    clock.now += 12
    chat.take(account, Event("online"))
    assert account.is_online
    gap = ("gap", "", "connected again after 12 s; lines may be missing")
    assert texts(account, "#lobby") == [("offline", "", "the connection was lost"), gap]
    assert texts(account, "")[-2:] == [("offline", "", "refused"), gap]


def test_what_was_said_during_the_gap(chat: Chat, account: Account) -> None:
    """Of a room's history, the lines that were not heard before the gap come after it."""
    for who, text in (("bob", "one"), ("alice", "two"), ("bob", "one")):
        chat.take(account, Event("said", "#lobby", who, text))
    chat.take(account, Event("offline", text="lost"))
    chat.take(account, Event("online"))
    history = (heard("alice", "two"), heard("bob", "one"), heard("bob", "three"))
    before = len(texts(account, "#lobby"))
    chat.take(account, Event("room", "#lobby", names=("alice",), lines=history))
    assert texts(account, "#lobby")[before:] == [("said", "bob", "three")]


def test_a_first_history(chat: Chat, account: Account) -> None:
    """Who comes for the first time sees the last lines, and they are not unread."""
    history = (heard("bob", "one", 5.0), heard("bob", "two", 6.0))
    chat.take(account, Event("room", "#new", lines=history))
    assert list(account.conversations["#new"].lines) == list(history)
    assert chat.unread == 0


def test_what_controls_a_terminal(chat: Chat, account: Account) -> None:
    """No text that comes from a network has control characters; a banner has its lines."""
    chat.take(account, Event("said", "#lobby", "b\x1bob", "\x1b[2J\r\nhi\u202e\x9b"))
    assert texts(account, "#lobby")[-1] == ("said", "b·ob", "·[2J··hi··")
    chat.take(account, Event("banner", text="one\ntwo\x07"))
    assert texts(account, "")[-1] == ("banner", "", "one\ntwo·")
    line = heard("\x1b", "\x1b")
    chat.take(account, Event("room", "#x", text="\x1b", names=("\x1b",), lines=(line,)))
    room = account.conversations["#x"]
    assert (room.topic, room.names, texts(account, "#x")) == ("·", ["·"], [("said", "·", "·")])


def test_many_conversations(chat: Chat, account: Account) -> None:
    """Above the limit, what comes is shown in the conversation of the network."""
    for number in range(MOST_CONVERSATIONS + 5):
        chat.take(account, Event("said", f"stranger{number}", f"stranger{number}", "hello"))
    assert len(account.conversations) == MOST_CONVERSATIONS
    assert texts(account, "")[-1] == ("said", f"stranger{number}", "hello")


def test_watchers(chat: Chat, account: Account) -> None:
    """They are told of each change: the conversation, and its new line if there is one."""
    told: list[tuple[str, str | None]] = []
    chat.watch(lambda place, line: told.append((place.name, line and line.text)))
    chat.take(account, Event("said", "#lobby", "bob", "hi"))
    chat.show(account.conversations["#lobby"])
    assert told == [("#lobby", "hi"), ("#lobby", None)]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (Line(0, "said", "bob", "hi"), ("bob", "hi")),
        (Line(0, "noticed", "bot", "beep"), ("bot", "beep")),
        (Line(0, "said", "bob", "/me waves"), ("", "* bob waves")),
        (Line(0, "gap", "", "3 s"), ("", "── 3 s ──")),
        (Line(0, "joined", "bob", ""), ("", "bob has come")),
        (Line(0, "left", "bob", "tired"), ("", "bob has gone (tired)")),
        (Line(0, "topic", "bob", "tea"), ("", "bob has set the topic: tea")),
        (Line(0, "error", "", "no such room"), ("", "no such room")),
    ],
)
def test_lines(line: Line, shown: tuple[str, str]) -> None:
    """Each kind of line has its words; only what was said has a speaker."""
    assert speaker_and_words(line) == shown
