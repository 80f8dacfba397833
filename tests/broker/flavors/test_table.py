"""Table: what followers are told, at once or when they have caught up, and after a pause."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from support.followed_world import BOTH, BOTH_IDS, Library, Line
from support.memory import BrokerPair

import broker
from broker.connection.pending_calls import PendingCalls
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError, TooLarge
from broker.flavors.referenceable import Referenceable, Root

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)
EVERYWHERE = pytest.mark.parametrize("policy", [*BOTH, PUBLISHED], ids=[*BOTH_IDS, "published"])


class Book(broker.Table[str, float], name="test_table.Book"):
    """A table with types and a name."""


class BookView(broker.TableView[str, float], name="test_table.Book"):
    """Its view."""


class Short(broker.Table[Any, Any]):
    """A table that remembers two removed keys."""

    history = broker.History(most=2)


def messages_to(view: Any) -> list[tuple[Any, ...]]:
    """Note the arguments of the changes that a view is told; they are told all the same."""
    heard: list[tuple[Any, ...]] = []
    kept = type(view).observe_changed

    class Heard(type(view)):  # type: ignore[misc]
        def observe_changed(self, *args: Any) -> None:
            heard.append(args)
            kept(self, *args)

    view.__class__ = Heard
    for entry in view.broker.session.translator.remote_caches.by_id.values():
        entry.methods = None
    return heard


# A dict.


def test_it_is_a_dict() -> None:
    """Its owner uses it as a dict."""
    table: broker.Table[str, int] = broker.Table({"a": 1})
    table["b"] = 2
    table.update(c=3, d=4)
    assert table.pop("a") == 1
    assert table.setdefault("b", 9) == 2
    del table["c"]
    assert dict(table) == {"b": 2, "d": 4}
    assert (len(table), "b" in table, "c" in table, table.get("c")) == (2, True, False, None)
    assert list(table.items()) == [("b", 2), ("d", 4)]
    with pytest.raises(KeyError):
        del table["c"]
    table.clear()
    assert len(table) == 0
    assert "Table of 0 keys" in repr(table)
    assert len({table, broker.Table()}) == 2
    assert table != broker.Table()


def test_the_position() -> None:
    """Each change, or batch, is one more; a batch of nothing is none."""
    table: broker.Table[str, int] = broker.Table()
    assert table.position.offset == 0
    table["a"] = 1
    table.update(a=2, b=3)
    with table.batch():
        pass
    with table.batch():
        table["new"] = 1
        del table["new"]
    assert table.position.offset == 2
    table.clear()
    assert table.position.offset == 3
    assert table.position.epoch != broker.Table().position.epoch


def test_pickling() -> None:
    """A copy has the items, and a count of its own."""
    book = Book({"a": 1.5})
    copied = pickle.loads(pickle.dumps(book))
    assert dict(copied) == {"a": 1.5}
    assert copied.position.epoch != book.position.epoch
    copied["b"] = 2.0
    assert dict(book) == {"a": 1.5}


# Following.


@EVERYWHERE
def test_following(policy: Policy) -> None:
    """A peer gets a view, which has the items and each change."""
    table: broker.Table[Any, Any] = broker.Table({"a": 1, (1, b"x"): [2.5, {"k": None}]})
    line = Line(Library(table), policy)
    view = line.follow()
    assert type(view) is broker.TableView
    assert dict(view) == dict(table)
    assert view.is_current
    assert view.position == table.position
    table["b"] = ("tuple", {1, 2})
    table[7] = 1 << 90
    del table["a"]
    line.exchange()
    assert dict(view) == dict(table)
    assert "a" not in view
    assert view.position == table.position
    assert line.follow() is view
    assert line.pair.call("listed")[1] is view
    assert line.pair.call("forget", view) is None


@EACH
def test_the_owner_may_be_the_client(policy: Policy) -> None:
    """A server follows a table that is an argument, if it has a class for its name."""

    class Shelf(Root):
        def remote_keep(self, view: Any) -> None:
            self.view = view

    shelf = Shelf()
    pair = BrokerPair(shelf, policy=policy)
    failure = pair.call("keep", broker.Table({"a": 1}))
    assert "type 'broker.Table' is taken by clients; at a server" in failure.getErrorMessage()
    book = Book({"a": 1})
    pair.call("keep", book)
    book["b"] = 2
    pair.exchange()
    assert dict(shelf.view) == {"a": 1, "b": 2}
    assert type(shelf.view) is BookView
    pair.collect()
    assert len(pair.client.session.translator.cacheables) == 1


@EACH
@pytest.mark.parametrize("value", [1.5, ("tuple", {3}), [b"bytes"], 1 << 80])
def test_a_change_is_encoded_once(
    policy: Policy, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all followers that keep up, whatever plain data it has."""
    table: broker.Table[Any, Any] = broker.Table()
    lines = [Line(Library(table), policy) for _ in range(10)]
    views = [line.follow() for line in lines]
    calls: list[str] = []
    outgoing = type(lines[0].pair.server.session.outgoing)
    monkeypatch.setattr(outgoing, "call", lambda *args, **kw: calls.append("jellied"))
    table["k", 1] = value
    assert calls == []
    monkeypatch.undo()
    for line, view in zip(lines, views, strict=True):
        line.exchange()
        assert view["k", 1] == value
        assert type(view["k", 1]) is type(value)


@EACH
def test_a_registered_class(policy: Policy) -> None:
    """Instances of a registered class are values: each follower gets its copy."""
    table: broker.Table[str, Any] = broker.Table()
    lines = [Line(Library(table), policy) for _ in range(2)]
    views = [line.follow() for line in lines]
    table["a"] = Quote(1.5, ["x"])
    for line, view in zip(lines, views, strict=True):
        line.exchange()
        assert view["a"] == Quote(1.5, ["x"])


@broker.register(name="test_table.Quote")
class Quote(broker.Copyable, broker.RemoteCopy):
    """A registered class."""

    price: float
    notes: list[str]

    def __init__(self, price: float, notes: list[str]) -> None:
        self.price = price
        self.notes = notes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quote) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


@EACH
def test_batches(policy: Policy) -> None:
    """A batch is one message to a follower that keeps up; also if the block raises."""
    table: broker.Table[str, int] = broker.Table({"old": 0, "x": 0})
    line = Line(Library(table), policy)
    view = line.follow()
    heard = messages_to(view)
    with table.batch():
        table["a"] = 1
        table["b"] = 2
        with table.batch():
            table["a"] = 3
            del table["old"]
        table["passing"] = 1
        del table["passing"]
        line.exchange()
        assert heard == []
        assert table["a"] == 3
    with pytest.raises(ValueError, match="oops"), table.batch():
        table["c"] = 4
        raise ValueError("oops")
    table.update({"d": 5}, e=6)
    table.clear()
    line.exchange()
    first, second, third, fourth = heard
    assert first == ([["a", 3], ["b", 2]], ["old"], 2)
    assert second == ([["c", 4]], [], 3)
    assert third == ([["d", 5], ["e", 6]], [], 4)
    assert (fourth[0], sorted(fourth[1])) == ([], ["a", "b", "c", "d", "e", "x"])
    assert dict(view) == {}


@EACH
def test_a_large_batch(policy: Policy) -> None:
    """More than 1 MiB goes in small messages, and the view says that it is catching up."""
    table: broker.Table[int, str] = broker.Table()
    line = Line(Library(table), policy)
    view = line.follow()
    heard = messages_to(view)
    table.update(dict.fromkeys(range(150), "x" * 10000))
    line.exchange()
    assert len(heard) > 20
    assert [offset for _, _, offset in heard] == [None] * (len(heard) - 1) + [1]
    assert dict(view) == dict(table)


# After a pause.


def test_going_on() -> None:
    """A follower that comes back gets the keys that changed since, and no others."""
    table: broker.Table[Any, Any] = broker.Table(dict.fromkeys(range(100), 0))
    line = Line(Library(table))
    view = line.follow()
    line.cut()
    assert not view.is_current
    table[1] = 1
    table[2] = 2
    del table[3]
    del table[4]
    table[4] = 4
    table["new"] = 5
    heard: list[Any] = []
    notify = broker.RemoteCacheObserver.notify

    def note(self: Any, broadcast: Any) -> None:
        heard.append(broadcast.args)
        notify(self, broadcast)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker.RemoteCacheObserver, "notify", note)
        assert line.again(view) is view
    ((pairs, gone, offset),) = heard
    assert sorted(pairs, key=str) == [["new", 5], [1, 1], [2, 2], [4, 4]]
    assert (gone, offset) == ([3], 7)
    assert dict(view) == dict(table)
    assert view.is_current
    assert view.position == table.position


def test_going_on_where_nothing_changed() -> None:
    """The view is current at once."""
    table = broker.Table({"a": 1})
    line = Line(Library(table))
    view = line.follow()
    line.cut()
    line.again(view)
    assert view.is_current
    table["b"] = 2
    line.exchange()
    assert dict(view) == {"a": 1, "b": 2}


@EACH
def test_when_removed_keys_are_forgotten(policy: Policy) -> None:
    """The follower gets the whole table, and keeps no key that is gone."""
    table = Short(dict.fromkeys(range(10), 0))
    line = Line(Library(table), policy)
    view = line.follow()
    line.cut()
    for number in range(5):
        del table[number]
    line.again(view)
    line.exchange()
    assert dict(view) == dict(table)
    assert view.is_current


def test_positions_that_a_table_does_not_know() -> None:
    """Of another epoch, in the future, or no position at all: the peer gets the whole table."""
    table = broker.Table({"a": 1})
    table["b"] = 2
    epoch = table.position.epoch
    for text in ("", "x", f"{epoch}.", f"{epoch}.9", "other.0", f"{epoch}.-1", f"{epoch}.1.0"):
        pair = BrokerPair(Library(table), policy=STRICT)
        calls: Any = pair.client.calls
        answer = calls.make_call(None, b"root", "get", (), {}, meta={"resume": text})
        view = pair.get(answer)
        assert dict(view) == {"a": 1, "b": 2}


# What is refused.


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1.5, "float in a key: the key of a table is a str, an int, bytes, or a tuple of these"),
        (True, "bool in a key"),
        (None, "NoneType in a key"),
        (("a", (1, 2.5)), "float in a key"),
        (frozenset(), "frozenset in a key"),
        (1 << 64, "an int of more than 64 bits"),
        ((1, (1 << 70,)), "an int of more than 64 bits"),
    ],
)
def test_keys_that_a_table_cannot_have(key: Any, text: str) -> None:
    """They are refused before the table changes."""
    table: broker.Table[Any, Any] = broker.Table()
    with pytest.raises(broker.WrongType, match=text):
        table[key] = 1
    assert len(table) == table.position.offset == 0


def nested(depth: int) -> Any:
    """Return tuples in tuples."""
    value: Any = ()
    for _ in range(depth):
        value = (value,)
    return value


def test_keys_that_are_too_deep() -> None:
    """They are refused; those that are less deep are not."""
    table: broker.Table[Any, Any] = broker.Table()
    table[nested(40)] = 1
    with pytest.raises(broker.WrongType, match="at most 50 levels"):
        table[nested(60)] = 1


@pytest.mark.parametrize(
    "value",
    [object(), Referenceable(), broker.Table(), [1, {"k": object()}], len, Root, [Referenceable()]],
)
def test_values_that_a_table_cannot_have(value: Any) -> None:
    """References, streams and unknown objects are refused before the table changes."""
    table: broker.Table[Any, Any] = broker.Table()
    with pytest.raises(broker.WrongType, match="in a value: the value of a table is builtin data"):
        table["a"] = value
    assert len(table) == table.position.offset == 0


def test_values_that_are_too_large() -> None:
    """A key and its value fit a message."""
    table: broker.Table[Any, Any] = broker.Table()
    table["a"] = "x" * 65_000
    with pytest.raises(TooLarge, match=r"key and value of 65\d\d\d bytes \(65280\)"):
        table["a"] = "x" * 65_500
    with pytest.raises(TooLarge):
        table["x" * 65_500] = 1
    with pytest.raises(TooLarge):
        table["a"] = 1 << 600_000
    assert table["a"] == "x" * 65_000


def test_types() -> None:
    """A table with types takes only these."""
    book = Book()
    book["a"] = 1
    book["b"] = 2.5
    with pytest.raises(broker.WrongType, match=r"Book\[str, float\]: value: Expected `float`"):
        book["c"] = "3"  # type: ignore[assignment]
    with pytest.raises(broker.WrongType, match=r"Book\[str, float\]: key: Expected `str`"):
        book[1] = 3.0  # type: ignore[index]
    typed = broker.Table[int, list[str]]()
    typed[1] = ["a"]
    with pytest.raises(broker.WrongType, match=r"value\[0\]: Expected `str`, got `int`"):
        typed[1] = [1]  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["", "1x", "with space", "list", "x" * 129])
def test_names_that_a_table_cannot_have(name: str) -> None:
    """They are refused where the class is made."""
    with pytest.raises(ConfigError, match="cannot be the name of Named"):

        class Named(broker.Table[str, int], name=name):
            pass


def test_types_that_a_table_cannot_have() -> None:
    """References are no values."""

    class Odd(broker.Table[str, Referenceable]):
        pass

    with pytest.raises(broker.WrongType, match="in a value"):
        Odd()["a"] = Referenceable()


def test_change_is_not_for_tables() -> None:
    """A table has no changes but those of its keys."""
    with pytest.raises(TypeError, match="a table changes by its keys"):
        broker.Table().change("x")


def test_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change outside the loop of the followers raises, and changes nothing."""
    table = broker.Table({"a": 1})
    line = Line(Library(table))
    view = line.follow()

    def refuse(self: Any, what: str) -> None:
        raise RuntimeError(what)

    monkeypatch.setattr(PendingCalls, "check_loop", refuse)
    with pytest.raises(RuntimeError, match="a change of a table"):
        table["a"] = 2
    with pytest.raises(RuntimeError):
        del table["a"]
    assert dict(table) == {"a": 1} == dict(view)


def test_what_one_follower_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Its connection ends, with one record of ours, and the others go on."""
    import datetime

    table: broker.Table[str, Any] = broker.Table()
    lines = [Line(Library(table), policy) for policy in BOTH]
    views = [line.follow() for line in lines]
    zoned = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    table["a"] = zoned
    table["b"] = 2
    lines[0].exchange()
    assert dict(views[0]) == {"a": zoned, "b": 2}
    assert lines[1].is_ended
    assert "a follower of Table cannot be kept in step" in caplog.text
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
