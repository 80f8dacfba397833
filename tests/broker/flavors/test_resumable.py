"""Resumable: changes that are numbered, what slow followers get, and what the owner may not do."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from attacks.attacker import let_in
from support.followed_world import BOTH, BOTH_IDS, Board, BoardView, Library, Line, ledger_of
from support.memory import BrokerPair

import broker
from broker.connection.pending_calls import PendingCalls
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import CannotJelly, ConfigError
from broker.flavors.resumable import Resumable

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)
EVERYWHERE = pytest.mark.parametrize("policy", [*BOTH, PUBLISHED], ids=[*BOTH_IDS, "published"])


class ShortBoard(Board):
    """Keeps three changes."""

    history = broker.History(most=3)


@EVERYWHERE
def test_following(policy: Policy) -> None:
    """The copy has the state, the epoch and the offset, and each change with its offset."""
    board = Board()
    board.put("a1", "rook")
    line = Line(Library(board), policy)
    view = line.follow()
    assert (type(view), view.pieces) == (BoardView, {"a1": "rook"})
    ledger = ledger_of(board)
    assert (view.epoch, view.offset) == (ledger.epoch, 1)
    assert len(ledger.epoch) == 16
    board.put("b1", ("knight", 2))
    board.take("a1")
    line.exchange()
    assert view.pieces == {"b1": ("knight", 2)}
    assert view.offset == 3
    assert str(broker.Position(view.epoch, view.offset)) == f"{ledger.epoch}.3"
    assert not hasattr(view, "resyncs")


def test_each_object_has_an_epoch() -> None:
    """Two objects, and an object that is made again, have different epochs."""
    boards = [Board() for _ in range(50)]
    line = Line(Library(*boards))
    assert len({line.follow(number).epoch for number in range(50)}) == 50


@EACH
def test_a_change_is_encoded_once(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all followers of a dialect."""
    board = Board()
    library = Library(board)
    lines = [Line(library, policy) for _ in range(20)]
    views = [line.follow() for line in lines]
    writer = type(lines[0].pair.server.session.outbox.writer)
    made: list[str] = []
    original = writer._tail_of

    def counted(self: Any, *args: Any) -> Any:
        made.append("tail")
        return original(self, *args)

    monkeypatch.setattr(writer, "_tail_of", counted)
    board.put("a1", "rook")
    assert made == ["tail"]
    for line, view in zip(lines, views, strict=True):
        line.exchange()
        assert view.pieces == {"a1": "rook"}


@EACH
def test_who_has_gone_is_forgotten(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    """A follower that has dropped the view, or whose connection has ended, makes no record."""
    board = Board()
    line, other = Line(Library(board), policy), Line(Library(board), policy)
    view = line.follow()
    other.follow()
    assert len(ledger_of(board)) == 2
    other.pair.collect()
    assert len(ledger_of(board)) == 1
    line.cut()
    assert len(ledger_of(board)) == 0
    for _ in range(1000):
        board.put("a", 1)
    assert view.pieces == {}
    assert caplog.records == []


def test_a_thousand_changes_to_one_that_goes(caplog: pytest.LogCaptureFixture) -> None:
    """Changes whose follower goes before they arrive make no record."""
    board = Board()
    line = Line(Library(board))
    line.follow()
    line.stall()
    for number in range(1000):
        board.put("a", number)
    line.cut()
    board.put("a", 0)
    assert caplog.records == []


# Slow followers.


@EACH
def test_a_slow_follower_gets_what_it_lacks(policy: Policy) -> None:
    """Nothing is queued for it; when its connection has drained it gets the changes, in order."""
    board = Board()
    line = Line(Library(board), policy.but(high_water=200))
    view = line.follow()
    line.stall()
    for number in range(300):
        board.put(f"k{number % 7}", number)
    assert line.unsent < 1000
    line.flow()
    assert view.pieces == board.pieces
    assert view.offset == 300
    assert not hasattr(view, "resyncs")


@EACH
def test_when_the_history_has_moved_on(policy: Policy) -> None:
    """It gets the whole state again, is told so, and goes on with the changes."""
    board = ShortBoard()
    line = Line(Library(board), policy.but(high_water=100))
    view = line.follow()
    line.stall()
    for number in range(50):
        board.put(f"k{number % 7}", number)
        board.take("k3")
    line.flow()
    assert view.pieces == board.pieces
    assert "k3" not in view.pieces
    assert (view.offset, view.resyncs) == (100, 1)
    board.put("x", 1)
    line.exchange()
    assert (view.pieces, view.offset) == (board.pieces, 101)


def test_a_view_without_observe_resynced() -> None:
    """It takes the whole state, and needs no method for that."""

    class Quiet(ShortBoard):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.QuietView"

    board = Quiet()
    line = Line(Library(board), STRICT.but(high_water=100))
    view = line.follow()
    line.stall()
    for number in range(50):
        board.put("k", number)
    line.flow()
    assert (view.pieces, view.offset) == ({"k": 49}, 50)


@broker.register(name=f"{__name__}.QuietView")
class QuietView(broker.RemoteCache):
    """A view that is not told of a new state, and declares the names of a Resumable."""

    pieces: dict[str, Any]
    epoch: str
    offset: int

    async def observe_put(self, place: str, piece: Any) -> None:
        """Follow, in a task."""
        self.pieces[place] = piece


def test_methods_that_are_coroutines() -> None:
    """They run in the order of the changes."""

    class Quiet(Board):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.QuietView"

    board = Quiet()
    line = Line(Library(board))
    view = line.follow()
    for number in range(5):
        board.put("k", number)
    line.exchange()
    assert (view.pieces, view.offset) == ({"k": 4}, 5)


@EACH
def test_memory_of_a_follower_that_has_stopped(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """100,000 changes cost less than 2 MiB, most of it the history, and no record."""
    board = Board()
    line = Line(Library(board), policy)
    line.follow()
    line.stall()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100_000):
            board.change("put", "k", number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2 * 1024 * 1024
    assert line.unsent < STRICT.high_water + 65_536
    assert caplog.records == []


class Hooked(broker.Copyable, broker.RemoteCopy):
    """A copy whose hook changes the board that it is sent for."""

    board: Any = None

    def getStateToCopy(self) -> Any:
        """Change the board, once."""
        if "second" not in self.board.pieces:
            self.board.put("second", 2)
        return {}


@EACH
def test_a_change_within_a_change(policy: Policy) -> None:
    """A change that a hook makes while another is sent comes behind that one."""
    board = Board()
    lines = [Line(Library(board), policy) for _ in range(3)]
    views = [line.follow() for line in lines]
    value = Hooked()
    value.board = board
    with let_in(f"{__name__}.Hooked", Hooked):
        board.pieces["first"] = 1
        board.change("put", "first", value)
        for line, view in zip(lines, views, strict=True):
            line.exchange()
            assert list(view.pieces) == ["first", "second"]
            assert view.offset == 2


@EACH
def test_a_change_that_the_follower_refuses(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged there, and the changes after it arrive."""
    board = Board()
    line = Line(Library(board), policy)
    view = line.follow()
    unknown = Hooked()
    unknown.board = board
    board.pieces["second"] = 0
    board.change("put", "a", unknown)
    for number in range(50):
        board.put("a", number)
    line.exchange()
    assert view.pieces == {"a": 49}
    (record,) = caplog.records
    assert "is not registered" in record.getMessage()


# What cannot be sent.


@EACH
def test_a_change_that_cannot_be_sent(policy: Policy) -> None:
    """The owner gets the error; followers get the whole state instead, and the next change."""
    board = Board()
    line = Line(Library(board), policy)
    view = line.follow()
    board.pieces["a"] = 1
    with pytest.raises(CannotJelly):
        board.change("put", "a", object())
    line.exchange()
    assert (view.pieces, view.offset, view.resyncs) == ({"a": 1}, 1, 1)
    board.put("b", 2)
    line.exchange()
    assert (view.pieces, view.offset) == ({"a": 1, "b": 2}, 2)


def test_a_state_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """A follower that would stay with a wrong state loses its connection, with one record each."""
    board = Board()
    line = Line(Library(board))
    line.follow()
    with pytest.raises(CannotJelly):
        board.put("a", object())
    assert line.is_ended
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "a follower of Board cannot be kept in step" in caplog.text


def test_a_change_that_some_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once; those followers get the whole state."""
    board = Board()
    lines = [
        Line(Library(board), STRICT.but(limits=STRICT.limits.but(max_expression=most)))
        for most in (70_000, 1 << 24)
    ]
    views = [line.follow() for line in lines]
    board.pieces["a"] = "short"
    board.change("put", "a", "x" * 100_000)
    for line in lines:
        line.exchange()
    assert [view.pieces["a"] for view in views] == ["short", "x" * 100_000]
    (record,) = caplog.records
    assert record.getMessage().startswith("change 'put' was not sent to each follower")


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (["no dict"], TypeError, "the state of Odd is a list: that of a Resumable must be a dict"),
        ({"offset": 1}, ConfigError, "'epoch' or 'offset', which are names of Resumable itself"),
    ],
)
def test_states_that_a_resumable_cannot_have(state: Any, kind: Any, text: str) -> None:
    """They are refused where they are about to be sent."""

    class Odd(Board):
        def getStateToCopy(self) -> Any:
            return state

    board = Odd()
    line = Line(Library(board))
    with pytest.raises(kind, match=text):
        ledger_of_new(board).state_of(board, None)
    failure = line.follow()
    assert "internal error" in failure.getErrorMessage()
    assert len(ledger_of(board)) == 0


def ledger_of_new(board: Board) -> Any:
    """Return the ledger of an object that may not have one yet."""
    board.change("nothing")
    return ledger_of(board)


def test_names_of_changes() -> None:
    """A name is a str."""
    with pytest.raises(TypeError, match="the name of a change is a str, not bytes"):
        Board().change(b"put")  # type: ignore[arg-type]


# The object itself.


def test_the_default_state() -> None:
    """All attributes, but not those of this library; also of a copy, and of a frozen dataclass."""

    class Plain(Resumable):
        def __init__(self) -> None:
            self.value = 5

    plain = Plain()
    plain.change("nothing")
    assert plain.getStateToCopy() == {"value": 5}
    assert copy.copy(plain).__dict__ == {"value": 5}

    @dataclass(frozen=True)
    class Frozen(Resumable):
        value: int = 7

    frozen = Frozen()
    frozen.change("nothing")
    assert frozen.getStateToCopy() == {"value": 7}


def test_a_history_of_its_own() -> None:
    """An instance may set its history before its first change."""
    board = Board()
    board.history = broker.History(most=1)
    for number in range(5):
        board.put("a", number)
    assert len(ledger_of(board).recent) == 1


def test_sizes_in_the_history() -> None:
    """Changes count by their bytes, whatever they have."""
    board = Board()
    board.history = broker.History(size=10_000)
    ledger = ledger_of_new(board)
    for value in ("x" * 3000, b"y" * 3000, 10**300, {1: {2}}, object(), [object()] * 10):
        board.change("put", value)
        assert 0 < ledger.recent.size <= 10_000
    board.change("put", "x" * 20_000)
    assert len(ledger.recent) == 0


def test_perspectives() -> None:
    """The state is that for the perspective, also when it is sent again."""

    class Seen(ShortBoard):
        def getStateToCopyFor(self, perspective: Any) -> Any:
            return {"pieces": {"seen by": getattr(perspective, "name", None), **self.pieces}}

    class Eye(broker.Viewable):
        def view_get(self, perspective: Any) -> Any:
            return board

    class Gate(broker.Root):
        def remote_eye(self) -> Any:
            return broker.ViewPoint(SimpleNamespace(name="eye"), Eye())

    board = Seen()
    pair = BrokerPair(Gate(), policy=STRICT.but(high_water=100))
    view = pair.get(pair.call("eye").callRemote("get"))
    assert view.pieces == {"seen by": "eye"}
    transport = pair.transport(pair.server)
    for number in range(20):
        board.put("k", number)
        transport.unsent = 101
    transport.unsent = 0
    transport.on_drained()
    pair.exchange()
    assert view.pieces == {"seen by": "eye", "k": 19}
    assert view.resyncs == 1


def test_another_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change outside the loop of the followers raises, and is not counted."""
    board = Board()
    line = Line(Library(board))
    line.follow()

    def refuse(what: str) -> None:
        raise RuntimeError(what)

    monkeypatch.setattr(PendingCalls, "check_loop", lambda self, what: refuse(what))
    with pytest.raises(RuntimeError, match="change\\('put'\\)"):
        board.put("a", 1)
    assert ledger_of(board).offset == 0
