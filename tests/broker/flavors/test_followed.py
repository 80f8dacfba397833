"""Followed: a cache that goes on at another connection, and what a peer may not do with that."""

from __future__ import annotations

from typing import Any

import pytest
from support.followed_world import BOTH, BOTH_IDS, Board, BoardView, Library, Line, ledger_of
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import NoSuchMethod
from broker.flavors.followed import call_again, place_in
from jelly.errors import MalformedJelly

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)


@EACH
def test_going_on(policy: Policy) -> None:
    """The same object gets what changed since; without metadata, in ``pb``, the whole state."""
    board = Board()
    board.put("a", 1)
    line = Line(Library(board), policy)
    view = line.follow()
    line.cut()
    for number in range(5):
        board.put(f"k{number}", number)
    board.take("a")
    assert line.again(view) is view
    line.exchange()
    assert view.pieces == board.pieces
    assert (view.offset, view.broker) == (7, line.pair.client)
    assert getattr(view, "resyncs", 0) == (policy is not STRICT)
    board.put("b", 2)
    line.exchange()
    assert (view.pieces, view.offset) == (board.pieces, 8)


def test_only_the_changes_cross() -> None:
    """The answer has neither the state nor the changes, which follow as calls."""
    board = Board()
    board.pieces["large"] = "x" * 100_000
    board.put("a", 1)
    line = Line(Library(board))
    view = line.follow()
    line.cut()
    board.put("b", 2)
    line.again(view)
    line.exchange()
    assert len(b"".join(line.pair.transport(line.pair.server).writes)) < 2000
    assert view.pieces == board.pieces


@EACH
def test_when_the_history_has_moved_on(policy: Policy) -> None:
    """The same object gets the whole state, and is told so."""
    board = Board()
    board.history = broker.History(most=2)
    line = Line(Library(board), policy)
    view = line.follow()
    line.cut()
    for number in range(5):
        board.put("k", number)
    line.again(view)
    assert (view.pieces, view.offset, view.resyncs) == ({"k": 4}, 5, 1)


@EACH
def test_an_owner_that_was_made_again(policy: Policy) -> None:
    """Another epoch: the same object gets the whole state of the new owner, and follows it."""
    line = Line(Library(Board()), policy)
    view = line.follow()
    line.cut()
    board = Board()
    board.put("new", 1)
    other = Line(Library(board), policy)
    assert other.go_on(view, lambda: other.pair.root.callRemote("get", 0)) is view
    assert (view.pieces, view.offset, view.resyncs) == ({"new": 1}, 1, 1)
    board.put("newer", 2)
    other.exchange()
    assert view.pieces == board.pieces
    assert view.epoch == ledger_of(board).epoch


@EACH
def test_a_cache_within_the_answer(policy: Policy) -> None:
    """The cache is found by its epoch, wherever it is in the answer; others are new."""
    first, second = Board(), Board()
    line = Line(Library(first, second), policy)
    view = line.follow(1)
    line.cut()
    first.put("a", 1)
    second.put("b", 2)
    line.connect()
    answer = line.go_on(view, lambda: line.pair.root.callRemote("listed"))
    line.exchange()
    assert answer[0] == "all"
    assert answer[2] is view
    assert answer[1] is not view
    assert (answer[1].pieces, view.pieces) == ({"a": 1}, {"b": 2})


@EACH
def test_a_cache_that_is_twice_in_the_answer(policy: Policy) -> None:
    """It is this object in both places."""
    board = Board()
    library = Library(board, board)
    line = Line(library, policy)
    view = line.follow()
    line.cut()
    board.put("a", 1)
    line.connect()
    answer = line.go_on(view, lambda: line.pair.root.callRemote("listed"))
    line.exchange()
    assert answer[1] is answer[2] is view
    assert view.pieces == {"a": 1}


@EACH
def test_moving_while_the_former_connection_lives(policy: Policy) -> None:
    """Each change is applied once, and the former connection lets the cache go."""
    board = Board()
    line, other = Line(Library(board), policy), Line(Library(board), policy)
    view = line.follow()
    line.stall()
    board.put("a", 1)
    assert other.go_on(view, lambda: other.pair.root.callRemote("get", 0)) is view
    board.put("b", 2)
    other.exchange()
    line.flow()
    board.put("c", 3)
    line.exchange()
    other.exchange()
    assert (view.pieces, view.offset) == (board.pieces, 3)
    line.pair.collect()
    assert len(ledger_of(board)) == 1
    line.cut()
    assert view.broker is other.pair.client
    other.cut()
    assert view.broker is None


def test_nothing_is_left() -> None:
    """When the cache is dropped at last, nothing of it is at either end."""
    board = Board()
    line = Line(Library(board))
    view = line.follow()
    line.cut()
    line.again(view)
    assert line.pair.client.session.translator.resuming == {}
    del view
    line.pair.collect()
    assert len(ledger_of(board)) == 0
    assert len(line.pair.client.session.translator.remote_caches) == 0


@EACH
def test_calls_that_fail(policy: Policy) -> None:
    """The cache stays as it was, and goes on at the next attempt."""
    board = Board()
    line = Line(Library(board), policy)
    view = line.follow()
    line.cut()
    board.put("a", 1)
    line.connect()
    for make in (
        lambda: line.pair.root.callRemote("nothing"),
        lambda: line.pair.root.callRemote("get", 99),
        lambda: line.pair.root.callRemote("get", object()),
    ):
        line.go_on(view, make)
        assert line.pair.client.session.translator.resuming == {}
    assert (view.pieces, view.broker) == ({}, None)
    assert line.go_on(view, lambda: line.pair.root.callRemote("get", 0)) is view
    line.exchange()
    assert view.pieces == {"a": 1}
    line.cut()
    with pytest.raises(broker.DeadReferenceError):
        call_again(view, line.pair.client, lambda: line.pair.root.callRemote("get", 0))
    assert line.pair.client.session.translator.resuming == {}


def test_an_answer_without_the_cache() -> None:
    """It is returned as it is."""
    board = Board()
    line = Line(Library(board, 5))
    view = line.follow()
    line.cut()
    line.connect()
    assert line.go_on(view, lambda: line.pair.root.callRemote("get", 1)) == 5
    assert view.broker is None


@EACH
def test_a_cache_of_another_class(policy: Policy) -> None:
    """It is not this one."""
    board = Board()
    line = Line(Library(board, broker.Table({"a": 1})), policy)
    view = line.follow()
    line.cut()
    line.connect()
    other = line.go_on(view, lambda: line.pair.root.callRemote("get", 1))
    assert type(other) is broker.TableView
    assert (view.pieces, view.broker) == ({}, None)


def test_an_ordinary_cache() -> None:
    """It has no place to go on from: a new one comes."""

    class Plain(broker.Cacheable):
        def getTypeToCopy(self) -> str:
            return "followed_world.Board"

        def getStateToCopy(self) -> Any:
            return {"pieces": {}}

    line = Line(Library(Plain()))
    view = line.follow()
    assert not hasattr(view, "epoch")
    line.cut()
    assert line.again(view) is not view
    with pytest.raises(NoSuchMethod):
        view.observe_resumable_change(1, "put", "a", 1)
    with pytest.raises(NoSuchMethod):
        view.observe_resumable_state({"epoch": "e", "offset": 1, "pieces": {}})


# What a peer may not do.


def owner_of(state: Any) -> Library:
    """Return a library whose owner sends any state, once it is given a chance."""

    class Odd(broker.Cacheable):
        def getTypeToCopy(self) -> str:
            return "followed_world.Board"

        def getStateToCopy(self) -> Any:
            return state

    return Library(Odd())


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"since": 0}, "goes on from another offset than it has"),
        ({"since": 2}, "goes on from another offset than it has"),
        ({"since": True}, "goes on from another offset than it has"),
        ({"since": "1"}, "goes on from another offset than it has"),
        ({"since": 1, "changes": -1}, "goes on from another offset than it has"),
        ({"since": 1, "changes": []}, "goes on from another offset than it has"),
        ({"since": 1, "changes": 1, "pieces": {}}, "is not declared"),
        ({"offset": 5, "other": 1}, "is not declared"),
        ({"offset": 5, "pieces": 7}, "Expected `object`, got `int`"),
    ],
)
def test_states_to_go_on_with(state: Any, fault: str) -> None:
    """A wrong one fails the call, and leaves the cache as it was."""
    board = Board()
    board.put("a", 1)
    line = Line(Library(board))
    view = line.follow()
    line.cut()
    whole = {"epoch": view.epoch, **({"changes": 0} if "since" in state else {}), **state}
    other = Line(owner_of(whole))
    failure = other.go_on(view, lambda: other.pair.root.callRemote("get", 0))
    assert fault in failure.getErrorMessage()
    assert (view.pieces, view.offset, view.broker) == ({"a": 1}, 1, None)


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])
def test_a_place_that_nobody_asked_for(policy: Policy) -> None:
    """It is no state of a declared class."""
    line = Line(owner_of({"epoch": "e", "since": 0, "changes": 0}), policy)
    assert "is not declared" in line.follow().getErrorMessage()


def followed() -> tuple[Any, str]:
    """Return a view with the offset 1, and its epoch."""
    board = Board()
    board.put("a", 1)
    line = Line(Library(board))
    view = line.follow()
    view.line = line
    return view, view.epoch


@pytest.mark.parametrize("offset", [1, 0, -1, None, "2", 2.0, True, 1 << 63])
def test_offsets_of_changes(offset: Any) -> None:
    """One that does not follow is refused, and the change with it."""
    view, _ = followed()
    with pytest.raises(broker.WrongArguments, match="the offset does not follow 1"):
        view.observe_resumable_change(offset, "put", "b", 2)
    # The next ones make no record.
    view.observe_resumable_change(offset, "put", "b", 2)
    assert (view.pieces, view.offset) == ({"a": 1}, 1)


@pytest.mark.parametrize("name", ["nothing", "resumable_change", "resumable_state", 5, b"put"])
def test_names_of_changes(name: Any) -> None:
    """Only the methods of the class are called, by their names."""
    view, _ = followed()
    with pytest.raises(NoSuchMethod):
        view.observe_resumable_change(2, name, 3, "put", "b", 2)


def test_conditions_hold_for_changes() -> None:
    """A condition of the method is asked, as for each call."""

    class Guarded(BoardView):
        def refuse(self) -> None:
            """Refuse."""

    from broker.core.calls.dispatch import condition

    def check(name: str) -> None:
        raise broker.WrongArguments(f"not {name}")

    class Strict(BoardView):
        @condition(check)
        def observe_put(self, place: str, piece: Any) -> None:
            raise AssertionError

    view, _ = followed()
    view.__class__ = Strict
    with pytest.raises(broker.WrongArguments, match="not put"):
        view.observe_resumable_change(2, "put", "b", 2)


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"pieces": {}},
        {"epoch": "other", "offset": 5, "pieces": {}},
        {"epoch": "", "offset": 0, "pieces": {}},
        {"epoch": "", "offset": "9", "pieces": {}},
    ],
)
def test_states_that_are_sent_again(state: Any) -> None:
    """One of another object, or an older one, is refused."""
    view, epoch = followed()
    if state and state.get("epoch") == "":
        state = {**state, "epoch": epoch}
    with pytest.raises(broker.WrongArguments, match="not a later state of this object"):
        view.observe_resumable_state(state)
    assert view.pieces == {"a": 1}
    with pytest.raises(broker.InsecureJelly):
        view.observe_resumable_state({"epoch": epoch, "offset": 5, "pieces": {}, "other": 1})
    with pytest.raises(MalformedJelly):
        view.observe_resumable_state({"epoch": epoch, "offset": 5, "pieces": 5})
    assert view.offset == 1


def test_places_in_states() -> None:
    """A state has a place if it has an epoch and an offset of their types."""
    epoch = "Az09_-" * 2 + "abcd"
    assert place_in({"epoch": epoch, "offset": 3, "x": 1}) == broker.Position(epoch, 3)
    for wrong in (
        "",
        epoch[:-1],
        epoch + "x",
        epoch[:-1] + ".",
        epoch[:-1] + "é",
        epoch.encode(),
        5,
    ):
        assert place_in({"epoch": wrong, "offset": 3}) is None
    for state in (None, [], {}, {"epoch": epoch}, {"epoch": epoch, "offset": -1}):
        assert place_in(state) is None


# Programs that know nothing of it.


def test_names_of_a_published_program() -> None:
    """State with these names, of a Cacheable, reaches the class as it always did."""

    class Tape(broker.Cacheable):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.TapeView"

        def getStateToCopy(self) -> Any:
            return {"epoch": "1970", "offset": 7, "resume": 1, "position": 2, "adopt": 3}

    class TapeView(broker.RemoteCache):
        def observe_wind(self, offset: int) -> None:
            self.offset = offset

    from broker.pb import setUnjellyableForClass

    setUnjellyableForClass(f"{__name__}.TapeView", TapeView)
    tape = Tape()
    observers: list[Any] = []
    tape.getStateToCacheAndObserveFor = (  # type: ignore[method-assign]
        lambda perspective, observer: (observers.append(observer), tape.getStateToCopy())[1]
    )
    pair = BrokerPair(Library(tape), policy=PUBLISHED.but(dialects=("pb",)))
    view = pair.call("get")
    assert (view.epoch, view.offset, view.resume, view.position, view.adopt) == ("1970", 7, 1, 2, 3)
    observers[0].callRemote("wind", 99)
    pair.exchange()
    assert view.offset == 99
