"""Followed objects: a hostile follower, and a hostile owner of a table or of a Resumable."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from attacks.attacker import NOTHING, Target, Victim, binds, flat, taming
from support.effort import seconds
from support.followed_world import Board

import broker
from broker.core.wire.messages import GraphAnswer, GraphError

EPOCH = b"0123456789abcdef"


class Shop(Target):
    """Has a table and a board, and takes those of others."""

    def __init__(self) -> None:
        self.table: broker.Table[Any, Any] = broker.Table({"a": 1})
        self.board = Board()
        self.kept: Any = None

    def remote_table(self) -> Any:
        """Return the table."""
        return self.table

    def remote_board(self) -> Any:
        """Return the board."""
        return self.board


class Stolen(broker.TableView[Any, Any], name="demo.Stolen"):
    """A server's class for tables of its clients."""


def unicode(text: bytes) -> list[Any]:
    """The expression of a text."""
    return [b"unicode", text]


def fields(**values: Any) -> list[Any]:
    """The expression of a dict."""
    return [b"dictionary", *([unicode(name.encode()), value] for name, value in values.items())]


def a_list(*values: Any) -> list[Any]:
    """The expression of a list."""
    return [b"list", *values]


def state(*items: Any, offset: int = 1, epoch: bytes = EPOCH) -> list[Any]:
    """The state of a table."""
    whole = [b"boolean", b"true"]
    return fields(epoch=unicode(epoch), offset=offset, items=a_list(*items), is_whole=whole)


def changed(victim: Victim, *args: Any, cache: int = 5) -> bytes:
    """A change of a table."""
    return told(victim, b"changed", *args, cache=cache)


def told(victim: Victim, name: bytes, *args: Any, cache: int = 5) -> bytes:
    """A one-way call of a cache."""
    return victim.speaker.message(b"cachemessage", 0, cache, name, 0, [b"tuple", *args], NOTHING)


def owner(dialect: str, policy: str, *items: Any) -> tuple[Victim, Shop]:
    """A victim that keeps a table of the attacker, whose number is 5."""
    shop = Shop()
    victim = Victim(dialect, policy, shop)
    table = [b"demo.Stolen", 5, state(*items)]
    victim.hear(victim.speaker.call(table, name=b"keep"))
    assert type(shop.kept) is Stolen
    return victim, shop


def answers(victim: Victim) -> list[Any]:
    """The answers and errors of a victim."""
    found = victim.speaker.read(victim.said)
    return [each for each in found if type(each) in (GraphAnswer, GraphError)]


# A hostile follower.


@binds("B32")
@pytest.mark.parametrize("what", [b"table", b"board"])
def test_calls_to_the_owner_s_own_cache(
    policy: str, dialect: str, what: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A follower cannot call the object that it follows, by any row; the object comes home."""
    shop = Shop()
    victim = Victim(dialect, policy, shop)
    victim.hear(victim.speaker.call(name=what))
    number = answers(victim)[0].value[1]
    assert type(number) is int
    with taming(caplog) as lines:
        for name in (b"changed", b"resumable_state", b"resumable_change", b"put", b"__setitem__"):
            victim.hear(told(victim, name, a_list(), a_list(), 9, cache=number))
            victim.hear(victim.speaker.call(name=name, target=number, number=2))
        victim.hear(victim.speaker.call([b"lcache", number], name=b"keep", number=3))
    assert shop.kept in (shop.table, shop.board)
    assert dict(shop.table) == {"a": 1}
    assert shop.board.pieces == {}
    assert all("NoSuchObject" in line or "is not held" in line for line in lines)
    assert not victim.is_dead
    victim.end()


@binds("B32", dialects=("msgpack/1",))
def test_positions_of_all_kinds(policy: str, dialect: str) -> None:
    """Each is answered with the whole state, or with what changed; the owner keeps no more."""
    shop = Shop()
    victim = Victim(dialect, policy, shop)
    real = shop.table.position
    for number, text in enumerate(
        [
            *("", ".", "x", "." * 512, "9" * 512, f"{real.epoch}.{1 << 62}", f"{real.epoch}.-1"),
            *(f"{real.epoch}.٣", f"{real.epoch}.1.1", str(real), f"{real.epoch}.0", "\0" * 100),
        ],
        1,
    ):
        from msgspec.msgpack import encode

        frame = encode([1, number, "root", "table", [], {}, None, {"resume": text}])
        victim.hear(len(frame).to_bytes(4, "big") + frame)
        value = answers(victim)[-1].value
        assert value[0] == b"broker.Table"
        assert (b"since" in flat(value)) is (text == str(real) or text.endswith(".0"))
        victim.hear(victim.speaker.message(b"decache", value[1], 1))
    assert not victim.is_dead
    assert len(shop.table._followers) == 0
    victim.end()


@binds("B32")
def test_a_follower_that_reads_nothing(policy: str, dialect: str) -> None:
    """It costs the owner no more than the keys of the table, and two messages."""
    shop = Shop()
    victim = Victim(dialect, policy, shop, reads=False)
    victim.hear(victim.speaker.call(name=b"table"))
    victim.hear(victim.speaker.call(name=b"board", number=2))
    for number in range(30_000):
        shop.table[f"k{number % 100}"] = "x" * 1000
        shop.table[f"passing {number}"] = "x" * 1000
        del shop.table[f"passing {number}"]
    for number in range(3_000):
        shop.board.put("k", number)
    (follower,) = shop.table._followers
    assert follower.waiting <= 101
    assert victim.transport.unsent < 64 * 1024 + 2 * 65_536
    victim.end()


# A hostile owner.


@binds("B33")
def test_a_table_that_nobody_asked_for(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server takes no tables but those of a class that its program has registered."""
    victim = Victim(dialect, policy, Shop())
    with taming(caplog) as lines:
        for number in range(1, 21):
            table = [b"broker.Table", number, state()]
            victim.hear(victim.speaker.call(table, name=b"keep", number=number))
    assert all(type(answer) is GraphError for answer in answers(victim))
    assert lines[0].startswith("PEER: InsecureJelly: type 'broker.Table' is taken by clients")
    assert not victim.is_dead
    victim.end()


STATES: dict[str, list[Any]] = {
    "no dict": a_list(),
    "nothing": fields(),
    "no items": fields(epoch=unicode(EPOCH), offset=1),
    "an epoch of bytes": state(epoch=b"\0" * 16),
    "a long epoch": state(epoch=b"a" * 500),
    "a negative offset": state(offset=-1),
    "an item that is no pair": state(a_list(1)),
    "a key that is a list": state(a_list(a_list(), 1)),
    "a place to go on from": fields(epoch=unicode(EPOCH), since=0, changes=0),
}


@binds("B33")
@pytest.mark.parametrize("wrong", STATES.values(), ids=STATES)
def test_wrong_states(
    policy: str, dialect: str, wrong: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """They fail the call, and nothing of them is kept."""
    shop = Shop()
    victim = Victim(dialect, policy, shop)
    with taming(caplog) as lines:
        victim.hear(victim.speaker.call([b"demo.Stolen", 5, wrong], name=b"keep"))
    assert len(lines) == 1
    assert "MalformedJelly" in lines[0]
    assert shop.kept is None
    assert not victim.is_dead
    gc.collect()
    victim.end()


@binds("B33")
def test_changes_before_the_state(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that was not sent cannot be changed."""
    victim = Victim(dialect, policy, Shop())
    with taming(caplog) as lines:
        victim.hear(changed(victim, a_list(a_list(unicode(b"a"), 1)), a_list(), 2))
    assert "cache 5 is not held" in lines[0]
    assert not victim.is_dead
    victim.end()


@binds("B33")
def test_wrong_changes(policy: str, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """They change nothing, the view is not current from then on, and one record tells it."""
    pair = a_list(unicode(b"a"), 2)
    for args in (
        (a_list(pair), a_list(), 0),
        (a_list(pair), a_list(), -5),
        (a_list(pair), a_list(), unicode(b"2")),
        (a_list(pair), a_list(), 1.5),
        (a_list(pair), fields(), 2),
        (fields(), a_list(), 2),
        (a_list(pair, a_list(1)), a_list(), 2),
        (a_list(pair, a_list(a_list(), 1)), a_list(), 2),
        (a_list(pair), a_list(a_list()), 2),
        (a_list(pair), a_list(1.5), 2),
    ):
        victim, shop = owner(dialect, policy, a_list(unicode(b"a"), 1))
        with taming(caplog) as lines:
            for _ in range(300):
                victim.hear(changed(victim, *args))
        assert dict(shop.kept) == {"a": 1}
        assert shop.kept.position.offset == 1
        assert len(lines) == 1
        assert not victim.is_dead
        victim.end()


@binds("B33")
def test_changes_of_another_form(
    policy: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They change nothing; the records of one connection are limited."""
    pair = a_list(unicode(b"a"), 2)
    for args in (a_list(pair),), (a_list(pair), a_list(), 2, 3), (a_list(pair), [b"no tag"], 2):
        victim, shop = owner(dialect, policy, a_list(unicode(b"a"), 1))
        with taming(caplog) as lines:
            for _ in range(1000):
                victim.hear(changed(victim, *args))
        assert dict(shop.kept) == {"a": 1}
        assert len(lines) <= 201
        assert not victim.is_dead
        victim.end()


@binds("B33")
def test_huge_lists_of_removed_keys(policy: str, dialect: str) -> None:
    """They cost little time, and no memory."""
    gone = a_list(*range(200_000))
    data = changed(Victim(dialect, policy), a_list(), gone, 2)

    def begin() -> Victim:
        victim, _ = owner(dialect, policy, a_list(unicode(b"a"), 1))
        return victim

    assert seconds(lambda victim: victim.hear(data), begin, 2.0, 3) < 2.0
    victim, shop = owner(dialect, policy, a_list(unicode(b"a"), 1))
    changes: Any = shop.kept.changes()
    victim.hear(data)
    assert dict(shop.kept) == {"a": 1}
    assert changes.waiting == 0
    assert not victim.is_dead
    victim.end()


@binds("B33")
def test_keys_with_the_same_hash(policy: str, dialect: str) -> None:
    """More than 16 of them are refused, at once or one after the other."""
    prime = (1 << 61) - 1
    keys = [[b"tuple", a * prime, b * prime] for a in range(8) for b in range(8)]
    victim, shop = owner(dialect, policy)
    victim.hear(changed(victim, a_list(*(a_list(key, 1) for key in keys)), a_list(), 2))
    assert dict(shop.kept) == {}
    for number, key in enumerate(keys):
        victim.hear(changed(victim, a_list(a_list(key, 1)), a_list(), 2 + number))
    assert len(shop.kept) == 16
    victim.end()


@binds("B33")
def test_changes_of_a_dropped_table(policy: str, dialect: str) -> None:
    """An owner that never lets go of a dropped view cannot have it grow without end."""
    victim, shop = owner(dialect, policy)
    shop.kept = None
    gc.collect()
    entry = victim.broker.session.translator.remote_caches.by_id[5]
    for number in range(700):
        value = a_list(unicode(b"k%d" % number), b"x" * 60_000)
        victim.hear(changed(victim, a_list(value), a_list(), 2 + number))
    items: Any = entry.state["_items"]
    assert len(items) < 300
    assert not victim.is_dead
    victim.end()


@binds("B33")
@pytest.mark.parametrize(
    ("name", "args"),
    [
        (b"resumable_change", (7, unicode(b"changed"), a_list(), a_list(), 9)),
        (b"resumable_state", (state(offset=9),)),
        (b"taken", ()),
        (b"setCopyableState", (state(),)),
    ],
)
def test_methods_of_other_objects(
    policy: str, dialect: str, name: bytes, args: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A table has one method for its owner."""
    victim, shop = owner(dialect, policy, a_list(unicode(b"a"), 1))
    with taming(caplog) as lines:
        victim.hear(told(victim, name, *args))
    assert len(lines) == 1
    assert dict(shop.kept) == {"a": 1}
    assert shop.kept.is_current
    assert not victim.is_dead
    victim.end()
