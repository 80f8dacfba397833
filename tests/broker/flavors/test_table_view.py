"""TableView: what a follower sees, what it refuses, and how its types are checked."""

from __future__ import annotations

import asyncio
import datetime
import enum
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from support.followed_world import BOTH, BOTH_IDS, Library, Line
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT, Policy
from broker.errors import NoSuchMethod, WrongResult
from broker.flavors.followed import keep
from jelly.errors import MalformedJelly

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)


class Colour(enum.Enum):
    """A value that is sent as its value."""

    RED = "red"


@dataclass
class Quote:
    """A value that is sent as its fields."""

    price: float
    colour: Colour = Colour.RED
    at: datetime.datetime | None = None


class Quotes(broker.Table[str, Quote], name="test_view.Quotes"):
    """A table of these."""


class QuotesView(broker.TableView[str, Quote], name="test_view.Quotes"):
    """Its view."""


class Market(Protocol):
    """A contract with views."""

    async def quotes(self) -> broker.TableView[str, Quote]:
        """Return a view with the types of the table."""

    async def plain(self) -> broker.TableView[Any, Any]:
        """Return a view without types."""

    async def wrong(self) -> broker.TableView[int, float]:
        """Return a view with other types."""


class TheMarket:
    """Its servant."""

    def __init__(self) -> None:
        self.table: Any = broker.Table[str, Quote]()

    async def quotes(self) -> Any:
        """Return the table."""
        return self.table

    plain = wrong = quotes


def followed(**items: Any) -> tuple[Any, Any, Line]:
    """Return a table, its view, and the line between them."""
    table: broker.Table[Any, Any] = broker.Table(items)
    line = Line(Library(table))
    return table, line.follow(), line


# A Mapping.


def test_a_read_only_mapping() -> None:
    """It is read as a dict, and cannot be changed."""
    _, view, _ = followed(a=1, b=2)
    assert (view["a"], view.get("x"), len(view), list(view), "a" in view) == (
        *(1, None, 2),
        *(["a", "b"], True),
    )
    assert dict(view.items()) == {"a": 1, "b": 2}
    assert repr(view) == "<TableView of 2 keys, current>"
    with pytest.raises(TypeError):
        view["a"] = 2
    with pytest.raises(KeyError):
        view["x"]
    assert view != {"a": 1, "b": 2}
    assert {view: 1}[view] == 1


def test_a_view_that_nobody_sent() -> None:
    """It is empty, and not current."""
    view: Any = broker.TableView()
    assert (dict(view), view.is_current) == ({}, False)
    with pytest.raises(AttributeError, match="the table has no state yet"):
        view.position  # noqa: B018


def test_a_view_that_is_dropped_and_comes_again() -> None:
    """Its state is kept while the owner may change it."""
    table, view, line = followed(a=1)
    del view
    table["b"] = 2
    view = line.follow()
    line.exchange()
    table["c"] = 3
    line.exchange()
    assert dict(view) == {"a": 1, "b": 2, "c": 3}
    assert view.is_current


# Readers of changes.


@EACH
async def test_changes(policy: Policy) -> None:
    """An ``async for`` gets each change since it began."""
    table: broker.Table[str, int] = broker.Table({"a": 1})

    class Shop(broker.Root):
        def remote_table(self) -> Any:
            return table

        def remote_ping(self) -> None:
            """Answer, behind the changes."""

    async with broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy) as server:  # noqa: SIM117
        async with broker.connect(server.addresses[0], policy=policy) as connection:
            view = await connection.root.callRemote("table")
            heard: list[Any] = []

            async def read() -> None:
                async for key, value in view.changes():
                    heard.append((key, value))
                    if value is broker.GONE:
                        return

            reader = asyncio.ensure_future(read())
            await asyncio.sleep(0)
            table["b"] = 2
            await connection.root.callRemote("ping")
            for number in range(100):
                table["b"] = number
            del table["a"]
            await reader
            assert heard[0] == ("b", 2)
            assert heard[-2:] == [("b", 99), ("a", broker.GONE)]


async def test_changes_at_the_end_of_the_connection() -> None:
    """What waits comes first, then PBConnectionLost; for a view that goes on, nothing ends."""
    table, view, line = followed(a=1)
    changes, kept = view.changes(), view.changes()
    table["a"] = 2
    line.exchange()
    line.cut()
    assert await anext(changes) == ("a", 2)
    for reader in changes, view.changes():
        with pytest.raises(broker.Disconnected, match="the connection of this table has ended"):
            await anext(reader)
    assert await anext(kept) == ("a", 2)
    assert not view.is_current


@EACH
async def test_changes_go_on(policy: Policy) -> None:
    """A reader of a view of a link gets the changes over connections, also by a whole state."""
    table: broker.Table[Any, Any] = broker.Table({"a": 1, "b": 1})
    table.history = broker.History(most=0)
    line = Line(Library(table), policy)
    view = line.follow()
    keep(view, True)
    changes = view.changes()
    line.cut()
    table["a"] = 2
    table["c"] = 3
    line.again(view)
    assert [await anext(changes) for _ in range(2)] == [("a", 2), ("c", 3)]
    line.cut()
    other = broker.Table({"a": 2, "d": 4})
    line = Line(Library(other), policy)
    assert line.go_on(view, lambda: line.pair.root.callRemote("get")) is view
    assert dict(view) == {"a": 2, "d": 4}
    heard = dict([await anext(changes) for _ in range(3)])
    assert heard == {"b": broker.GONE, "c": broker.GONE, "d": 4}
    other["e"] = 5
    line.exchange()
    assert await anext(changes) == ("e", 5)
    line.cut()
    step = asyncio.ensure_future(anext(changes))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert not step.done()
    keep(view, False)
    with pytest.raises(broker.Disconnected):
        await step


# What an owner may not send.


def told(view: Any, *args: Any) -> str:
    """Have a view told something; return the text of the refusal."""
    before = dict(view), view.position
    with pytest.raises(broker.WrongArguments) as caught:
        view.observe_changed(*args)
    assert (dict(view), view.position) == before
    assert not view.is_current
    return str(caught.value)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (([], [], 0), "an offset that does not follow 1"),
        (([], [], -1), "an offset that does not follow 1"),
        (([], [], True), "an offset that does not follow 1"),
        (([], [], 1 << 63), "an offset that does not follow 1"),
        (([], [], "2"), "an offset that does not follow 1"),
        (([], {}, 2), "the removed keys are not a list"),
        (({}, [], 2), "the items of a table are not a list"),
        (([["a"]], [], 2), "an item of a table is not a pair"),
        (([["a", 1, 2]], [], 2), "an item of a table is not a pair"),
        ((["ab"], [], 2), "an item of a table is not a pair"),
        (([[1.5, 1]], [], 2), "float in a key"),
        (([[[], 1]], [], 2), "list in a key"),
        (([["b", 1], [{}, 1]], [], 2), "dict in a key"),
        (([], [None], 2), "NoneType in a key"),
        (([], [[1]], 2), "list in a key"),
        (([[1 << 70, 1]], [], 2), "an int of more than 64 bits"),
    ],
)
def test_changes_that_are_refused(args: tuple[Any, ...], text: str) -> None:
    """None of a message is applied, and the view is not current from then on."""
    table, view, line = followed(a=1)
    assert view.position.offset == 1
    assert text in told(view, *args)
    table["b"] = 2
    line.exchange()
    assert dict(view) == {"a": 1, "b": 2}
    assert not view.is_current


@pytest.mark.parametrize("where", ["pairs", "gone"])
def test_keys_that_are_costly(where: str) -> None:
    """Wide tuples and keys with the same hash are refused, over many messages too."""
    _, view, _ = followed(a=1)
    wide = tuple(range(20_000))
    told(view, *([[[wide, 1]], [], 5] if where == "pairs" else [[], [wide], 5]))
    _, view, _ = followed(a=1)
    alike = [(0, number * ((1 << 61) - 1)) for number in range(7)]
    assert len({hash(key) for key in alike}) == 1
    same = [(each, other) for each in alike for other in alike[:4]]
    for number, key in enumerate(same):
        if number < 16:
            view.observe_changed([[key, 1]], [], 2 + number)
            view.observe_changed([[key, 2]], [], 2 + number)
        elif number == 16:
            assert "more than 16 keys with the same hash" in told(view, [[key, 1]], [], 99)
        else:
            view.observe_changed([[key, 1]], [], 99)
            assert key not in view
    view.observe_changed([], same[:16], 100)
    view.observe_changed([[key, 1] for key in same[16:]], [], 101)


def test_many_removed_keys() -> None:
    """Removed keys that the view has not cost nothing for its readers."""
    _, view, _ = followed(a=1)
    changes: Any = view.changes()
    view.observe_changed([], [f"k{number}" for number in range(100_000)], 2)
    assert changes.waiting == 0
    assert view.is_current


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {},
        {"epoch": "e" * 16, "offset": 1, "items": []},
        {"epoch": "e" * 16, "offset": -1, "items": [], "is_whole": True},
        {"epoch": 5, "offset": 1, "items": [], "is_whole": True},
        {"epoch": "e" * 17, "offset": 1, "items": [], "is_whole": True},
        {"epoch": "e" * 16, "offset": 1, "items": {}, "is_whole": True},
        {"epoch": "e" * 16, "offset": 1, "items": [1], "is_whole": True},
        {"epoch": "e" * 16, "offset": 1, "items": [[{}, 1]], "is_whole": True},
        {"epoch": "e" * 16, "offset": 1, "items": [], "is_whole": 1},
        {"epoch": "e" * 16, "since": 0, "changes": 0},
    ],
)
@EACH
def test_states_that_are_refused(state: Any, policy: Policy) -> None:
    """The call that brought them fails; a place to go on from is refused where nobody asked."""

    class Odd(broker.Cacheable):
        def getTypeToCopy(self) -> str:
            return "broker.Table"

        def getStateToCopy(self) -> Any:
            return state

    line = Line(Library(Odd()), policy)
    assert line.follow().check(MalformedJelly)
    line.pair.collect()
    assert len(line.pair.server.session.translator.cacheables) == 0


def test_a_change_before_the_state() -> None:
    """It is refused."""
    view: Any = broker.TableView()
    with pytest.raises(broker.WrongArguments, match="the table has no state yet"):
        view.observe_changed([["a", 1]], [], 1)


def test_what_only_other_objects_are_sent() -> None:
    """A table takes no change of a Resumable."""
    _, view, _ = followed(a=1)
    for call in (
        lambda: view.observe_resumable_change(2, "changed", [], [], 2),
        lambda: view.observe_resumable_state({"epoch": view.position.epoch, "offset": 9}),
    ):
        with pytest.raises(NoSuchMethod):
            call()
    assert view.is_current


# Types.


@EACH
def test_a_view_with_types(policy: Policy) -> None:
    """A subclass with the name of the table gets instances of its types."""
    table = Quotes()
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    table["a"] = Quote(1.5)
    line = Line(Library(table), policy)
    view = line.follow()
    assert type(view) is QuotesView
    table["b"] = Quote(2, at=noon)
    line.exchange()
    assert dict(view) == {"a": Quote(1.5), "b": Quote(2.0, at=noon)}
    assert view.is_current
    assert table["b"].price == 2


@EACH
def test_types_that_do_not_fit(policy: Policy) -> None:
    """A table of other types is refused at first, and each change of them later."""

    class Liar(broker.Table[Any, Any], name="test_view.Quotes"):
        """Has the name of another."""

    line = Line(Library(Liar({"a": 1})), policy)
    failure = line.follow()
    assert "Expected `object`, got `int`" in failure.getErrorMessage()
    liar = Liar()
    line = Line(Library(liar), policy)
    view = line.follow()
    liar["a"] = {"price": 1.0}
    liar["b"] = {"price": "dear"}
    liar["c"] = {"price": 3.0}
    line.exchange()
    assert dict(view) == {"a": Quote(1.0), "c": Quote(3.0)}
    assert not view.is_current


@EACH
def test_a_contract(policy: Policy) -> None:
    """The result of a method has the types of its annotation, and later changes have them."""
    market = TheMarket()
    market.table["a"] = Quote(1.5)
    pair = BrokerPair(broker.servant(Market)(market), policy=policy)
    proxy = pair.root.of(Market)
    view = pair.get(proxy.plain())
    assert view["a"] == {"price": 1.5, "colour": "red", "at": None}
    assert pair.get(proxy.quotes()) is view
    assert view["a"] == Quote(1.5)
    market.table["b"] = Quote(3)
    pair.exchange()
    assert view["b"] == Quote(3.0)
    failure = pair.get(proxy.wrong())
    assert failure.check(WrongResult)
    assert "not a TableView[int, float]" in failure.getErrorMessage()


@EACH
def test_a_contract_that_does_not_fit(policy: Policy) -> None:
    """The call fails, and the view is as it was."""
    market = TheMarket()
    market.table["a"] = Quote(1.5)
    pair = BrokerPair(broker.servant(Market)(market), policy=policy)
    proxy = pair.root.of(Market)
    failure = pair.get(proxy.wrong())
    assert failure.check(WrongResult)
    assert "TableView[int, float]: key: Expected `int`, got `str`" in failure.getErrorMessage()
    assert pair.get(proxy.plain())["a"]["price"] == 1.5


def test_a_result_that_is_not_a_table() -> None:
    """It is refused by the contract."""

    class Liar(broker.Root):
        def remote_quotes(self) -> Any:
            return 5

    pair = BrokerPair(Liar(), policy=STRICT)
    failure = pair.get(pair.root.of(Market).quotes())
    assert "Expected `TableView[str, Quote]`, got `int`" in failure.getErrorMessage()
