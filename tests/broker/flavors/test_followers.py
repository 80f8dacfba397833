"""Followers: who is kept, what is sent to the slow, and the positions that a caller may name."""

from __future__ import annotations

from typing import Any

import pytest
from support.followed_world import Board, Library, Line, ledger_of

import broker
from broker.core.objects.transaction import Transaction
from broker.core.policy import STRICT
from broker.flavors.followers import Followers, resumed_offset


def test_only_one_callback_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow follower waits once for its connection, however many changes are made."""
    board = Board()
    line = Line(Library(board), STRICT.but(high_water=100))
    line.follow()
    line.stall()
    for number in range(100):
        board.put("a", number)
    assert len(line.pair.server.pump._when_drained) == 1
    line.sip()
    assert len(line.pair.server.pump._when_drained) == 1
    line.flow()
    assert not line.pair.server.pump._when_drained


def test_a_connection_that_ends_while_one_waits() -> None:
    """Nothing is sent, and the follower is forgotten."""
    board = Board()
    line = Line(Library(board), STRICT.but(high_water=100))
    line.follow()
    line.stall()
    for number in range(100):
        board.put("a", number)
    written = len(line.pair.transport(line.pair.server).writes)
    (follower,) = ledger_of(board)
    line.cut()
    follower.go_on()
    follower._drained()
    assert len(line.pair.transport(line.pair.server).writes) == written
    assert len(ledger_of(board)) == 0


def test_the_others_are_not_delayed() -> None:
    """One that takes nothing does not hold up the others."""
    board = Board()
    library = Library(board)
    slow, quick = (Line(library, STRICT.but(high_water=100)) for _ in range(2))
    slow.follow()
    view = quick.follow()
    slow.stall()
    for number in range(100):
        board.put("a", number)
        quick.exchange()
        assert view.pieces == {"a": number}


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (None, None),
        ("", None),
        ("{epoch}.0", 0),
        ("{epoch}.3", 3),
        ("{epoch}.4", None),
        ("{epoch}", None),
        ("x{epoch}.1", None),
        ("{epoch}.01", 1),
    ],
)
def test_the_position_that_a_caller_names(text: str | None, offset: int | None) -> None:
    """It counts if it is one of this object, and not in the future."""
    followers: Followers[Any] = Followers()
    followers.offset = 3
    line = Line(Library())
    observer = broker.RemoteCacheObserver(line.pair.server, Board(), None)
    translator = line.pair.server.session.translator
    assert resumed_offset(observer, followers) is None
    translator.transaction = Transaction()
    translator.transaction.resume = text and text.format(epoch=followers.epoch)
    assert resumed_offset(observer, followers) == offset
    assert followers.position == broker.Position(followers.epoch, 3)
