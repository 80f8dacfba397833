"""Rooms, the people in them, and what they are told."""

import pytest
from support.chat import SmallChat

from cred import Identity, LoginDenied
from examples.chat import model, names
from examples.chat.errors import BadName, ChatError, NoSuchPlace, NotInRoom, TooMany
from examples.chat.model import Listener, Town
from examples.chat.rooms import HISTORY


class Street:
    """A town with guests that only listen."""

    def __init__(self):
        self.town = Town(clock=lambda: 7.0)

    def guest(self, name, room=None):
        """Let a guest in, also into a room; return it, and what it hears from now on."""
        heard = []
        listener = Listener(lambda *event: heard.append(event), "fake")
        guest = self.town.enter(Identity(name), listener)
        if room is not None:
            guest.join(room)
        heard.clear()
        return guest, heard


@pytest.fixture
def street():
    """A town with guests that only listen."""
    return Street()


def test_everybody_in_a_room_hears(street):
    """Who joins, speaks, sets the topic and leaves is heard by all in the room, by no others."""
    (_, heard_alice), (_, heard_carol) = street.guest("alice", "#tea"), street.guest("carol")
    bob, heard_bob = street.guest("bob", "#tea")
    bob.say("#tea", "hello")
    bob.set_topic("#tea", "milk?")
    bob.part("#tea", "bye")
    common = [("topic", "#tea", "bob", "milk?"), ("left", "#tea", "bob", "bye")]
    assert heard_bob == common
    said = ("said", "#tea", "bob", "hello")
    assert heard_alice == [("joined", "#tea", "bob", ""), said, *common]
    assert heard_carol == []


def test_private_messages(street):
    """Only its receiver hears one; the name may be written in other capital letters."""
    (alice, heard_alice), (_, heard_bob) = (
        street.guest("alice", "#tea"),
        street.guest("Bob", "#tea"),
    )
    heard_alice.clear()
    alice.say("bob", "psst")
    alice.notice("BOB", "beep")
    assert heard_bob == [("said", "Bob", "alice", "psst"), ("noticed", "Bob", "alice", "beep")]
    assert heard_alice == []
    with pytest.raises(NoSuchPlace):
        alice.say("mallory", "psst")


def test_one_who_cannot_be_told(street, caplog):
    """An error of one front end is logged, and the others hear nevertheless."""

    def broken(*event):
        raise RuntimeError("gone wrong")

    street.town.enter(Identity("mallory"), Listener(broken, "fake")).join("#tea")
    _, heard = street.guest("alice", "#tea")
    bob, _ = street.guest("bob", "#tea")
    bob.say("#tea", "hello")
    assert heard[-1] == ("said", "#tea", "bob", "hello")
    assert "mallory could not be told of 'said'" in caplog.text


def test_second_login_of_a_person(street):
    """The first session is told that it is over; the second one is in the chat."""
    first, heard = street.guest("alice", "#tea")
    second, _ = street.guest("alice", "#tea")
    assert heard[-1] == ("gone", "", "alice", "you have come in again from elsewhere")
    first.logout()
    with pytest.raises(ChatError):
        first.say("#tea", "still here")
    assert street.town.person("alice") is second
    assert street.town.find("#tea").names == ["alice"]


def test_almost_the_same_name(street):
    """A name that differs in capital letters only cannot be used beside the other."""
    street.guest("alice")
    with pytest.raises(LoginDenied, match="almost the same"):
        street.guest("Alice")


@pytest.mark.parametrize("name", ["", "a b", "ålice", "a\n", "x" * 33, "a:b", "#room", "²"])
def test_names_of_people(street, name):
    """A name that would be more than one field of a line cannot log in."""
    with pytest.raises(LoginDenied):
        street.guest(name)


@pytest.mark.parametrize(
    "name", ["", "tea", "#", "#Tea", "#a b", "#a,b", "#a\n", "#" + "x" * 51, "##"]
)
def test_names_of_rooms(street, name):
    """A name that would be more than one field of a line cannot be that of a room."""
    guest, _ = street.guest("alice")
    with pytest.raises(BadName):
        guest.join(name)
    assert guest.rooms == {}
    assert street.town.rooms == {}


def test_control_characters(street):
    """No text that is passed on has characters that end a line, or that control a terminal."""
    _, heard = street.guest("alice", "#tea")
    bob, _ = street.guest("bob", "#tea")
    heard.clear()
    evil = "a\r\nb\0c\x1b[2Jd\x7fe\x9bf\u2028g\u202eh\ud800i"
    bob.say("#tea", evil)
    bob.set_topic("#tea", evil)
    bob.part("#tea", evil)
    clean = "a  b c [2Jd e f g h i"
    assert [event[3] for event in heard] == [clean] * 3
    street.town.set_banner("admin", "one\r\ntwo\x1b[2J")
    assert street.town.banner == "one\ntwo [2J"


def test_history(street):
    """A room keeps its last lines, of what was said and not of notices."""
    alice, _ = street.guest("alice", "#tea")
    alice.notice("#tea", "beep")
    for number in range(HISTORY + 3):
        alice.say("#tea", f"line {number}")
    lines = list(street.town.find("#tea").history)
    assert len(lines) == HISTORY
    assert lines[0] == (7.0, "alice", "line 3")


def test_rooms_that_nobody_needs(street):
    """An empty room in which nothing has happened is forgotten; another one stays."""
    alice, _ = street.guest("alice", "#tea")
    alice.join("#milk")
    alice.say("#milk", "moo")
    alice.leave()
    assert list(street.town.rooms) == ["#milk"]
    alice.leave()


def test_bounds(street, monkeypatch):
    """Rooms of a guest, rooms of all, and lengths of texts are limited, each with its own text."""
    monkeypatch.setattr(model, "MOST_ROOMS", 12)
    alice, _ = street.guest("alice")
    bob, _ = street.guest("bob")
    for number in range(model.MOST_ROOMS_EACH):
        alice.join(f"#{number}")
    with pytest.raises(TooMany, match="you are in 10 rooms"):
        alice.join("#more")
    bob.join("#11")
    bob.say("#11", "something")
    bob.part("#11")
    bob.join("#12")
    assert "#11" in street.town.rooms
    bob.join("#13")
    assert "#11" not in street.town.rooms
    with pytest.raises(TooMany, match="there are 12 rooms"):
        bob.join("#14")
    with pytest.raises(TooMany, match="500 characters"):
        alice.say("#1", "x" * (names.LONGEST_TEXT + 1))
    with pytest.raises(TooMany, match="300 characters"):
        alice.set_topic("#1", "x" * (names.LONGEST_TOPIC + 1))
    with pytest.raises(TooMany, match="2000 characters"):
        street.town.set_banner("admin", "x" * (names.LONGEST_BANNER + 1))
    with pytest.raises(TooMany, match="20 lines"):
        street.town.set_banner("admin", "x\n" * 21)


def test_rooms_of_others(street):
    """Who is not in a room can neither speak there nor set its topic."""
    street.guest("alice", "#tea")
    bob, _ = street.guest("bob")
    for method, *args in (
        (bob.say, "#tea", "hello"),
        (bob.set_topic, "#tea", "x"),
        (bob.part, "#tea"),
    ):
        with pytest.raises(NotInRoom):
            method(*args)


def test_admins(street):
    """Only a user of the group admins gets the rights of one."""
    with pytest.raises(LoginDenied):
        street.town.administer(Identity("alice", ["staff"]))
    admin = street.town.administer(Identity("root", [model.ADMINS]))
    _, heard = street.guest("alice", "#tea")
    admin.set_banner("mind the step")
    assert heard == [("banner", "", "root", "mind the step")]
    assert admin.where() == [("alice", "fake", 7.0, ("#tea",))]
    assert admin.kick("alice", "too loud")
    assert heard[-1] == ("gone", "", "alice", "kicked: too loud")
    assert not admin.kick("alice")


def test_kick_by_almost_the_same_name(street):
    """Who is kicked is the user of exactly that name, whoever else is in the chat."""
    ended = []
    street.town.end_sessions = lambda name, why: ended.append((name, why)) or len(name) % 2
    alice, heard = street.guest("alice", "#tea")
    assert street.town.kick("ALICE")
    assert not street.town.kick("Alicia")
    assert alice.is_here
    assert heard == []
    assert street.town.kick("alice", "out")
    assert not alice.is_here
    assert ended == [("ALICE", "kicked"), ("Alicia", "kicked"), ("alice", "kicked: out")]


async def test_kick_ends_every_session():
    """Who is kicked hears why, and has no session left; the others hear it too."""
    async with SmallChat() as chat:
        _, heard = chat.fake("bob")
        chat.town.person("bob").join("#tea")
        connection = await chat.pb_user("alice")
        await connection.avatar.callRemote("join", "#tea")
        assert chat.town.kick("alice", "out")
        await connection.wait_closed()
        assert heard[-1] == ("left", "#tea", "alice", "kicked: out")
        assert [one.name for one in chat.town.where()] == ["bob"]
