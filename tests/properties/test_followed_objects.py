"""Followed objects: whatever happens to the connection, the follower has the object in the end."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.followed_world import BOTH, BOTH_IDS, Board, Library, Line

import broker
from broker.core.policy import Policy

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)
# Slow after few bytes, so that few changes make a connection slow.
SLOW = {"high_water": 300}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.text(min_size=200, max_size=210),
    st.recursive(
        st.integers(0, 3),
        lambda inner: st.lists(inner, max_size=2) | st.tuples(inner),
        max_leaves=4,
    ),
)
KEYS = st.one_of(
    st.sampled_from("abcdefgh"),
    st.integers(0, 5),
    st.binary(max_size=2),
    st.tuples(st.sampled_from("ab"), st.integers(0, 1)),
)
LINE = st.one_of(*(st.tuples(st.just(name)) for name in ("stall", "flow", "sip", "exchange")))
CUT = st.tuples(st.sampled_from(["cut", "again", "anew", "beside"]))


class Small(broker.Table[Any, Any]):
    """Remembers few removed keys."""

    history = broker.History(most=2)


class SmallBoard(Board):
    """Remembers few changes."""

    history = broker.History(most=4)


class Follower:
    """One follower of one object, over its connections."""

    def __init__(self, library: Library, policy: Policy, chunk: int | None) -> None:
        self.line = Line(library, policy.but(**SLOW), chunk)
        self.view = self.line.follow()
        self.former: list[Line] = []

    def step(self, name: str) -> None:
        """Do what a step says."""
        line = self.line
        if name == "cut":
            line.cut()
        elif name == "again":
            line.cut()
            self._again()
        elif name == "anew":
            line.flow()
            line.cut()
            line.connect()
            self.view = line.follow()
        elif name == "beside":
            # A new connection while the former one lives, as when a server drains.
            self.former.append(Line.__new__(Line))
            vars(self.former[-1]).update(vars(line))
            self._again()
        elif not line.pair.client.disconnected:
            getattr(line, name)()

    def finish(self) -> Any:
        """Come back if need be, and let everything arrive."""
        if self.line.pair.client.disconnected:
            self._again()
        for line in [*self.former, self.line]:
            line.flow()
        return self.view

    def _again(self) -> None:
        view = self.line.again(self.view)
        assert view is self.view
        assert view.broker is self.line.pair.client


def play(follower: Follower, steps: list[Any], change: Any) -> Any:
    """Do steps of the line and changes of the object; return the view."""
    for step in steps:
        if len(step) == 1:
            follower.step(step[0])
        else:
            change(*step)
    return follower.finish()


@EACH
@settings(deadline=None, max_examples=150)
@given(
    steps=st.lists(st.tuples(KEYS, st.booleans(), VALUES) | LINE | CUT, max_size=30),
    chunk=st.sampled_from([None, 7]),
)
def test_a_board(policy: Policy, steps: list[Any], chunk: int | None) -> None:
    """A Resumable and its view are equal, and the place of the view is the last one."""
    board = SmallBoard()
    follower = Follower(Library(board), policy, chunk)

    def change(key: Any, is_there: bool, value: Any) -> None:
        if is_there:
            board.put(str(key), value)
        else:
            board.take(str(key))

    view = play(follower, steps, change)
    assert view.pieces == board.pieces
    changes = sum(len(step) > 1 for step in steps)
    assert view.offset == changes


@EACH
@settings(deadline=None, max_examples=150)
@given(
    steps=st.lists(
        st.lists(st.tuples(KEYS, st.booleans(), VALUES), min_size=1, max_size=4).map(
            lambda batch: (batch, None)
        )
        | LINE
        | CUT,
        max_size=30,
    ),
    chunk=st.sampled_from([None, 7]),
)
def test_a_table(policy: Policy, steps: list[Any], chunk: int | None) -> None:
    """A Table and its view are equal, and the view says that it is current."""
    table = Small()
    follower = Follower(Library(table), policy, chunk)

    def change(batch: list[Any], _: None) -> None:
        with table.batch():
            for key, is_there, value in batch:
                if is_there:
                    table[key] = value
                else:
                    table.pop(key, None)

    view = play(follower, steps, change)
    assert dict(view) == dict(table)
    assert all(type(view[key]) is type(value) for key, value in table.items())
    assert view.is_current
    assert view.position == table.position


@EACH
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_a_table_of_1000_keys(policy: Policy, seed: int) -> None:
    """The same with 1,000 keys, of which many change while the follower is slow or away."""
    dice = random.Random(seed)
    table: broker.Table[int, Any] = broker.Table(dict.fromkeys(range(1000), 0))
    follower = Follower(Library(table), policy, None)
    for _ in range(dice.randrange(1, 12)):
        follower.step(dice.choice(["stall", "flow", "sip", "cut", "again", "exchange", "beside"]))
        for _ in range(dice.randrange(200)):
            key = dice.randrange(1100)
            if dice.random() < 0.2:
                table.pop(key, None)
            else:
                table[key] = dice.choice(["x" * 2000, ("y", 1), dice.randrange(1 << 40)])
    view = follower.finish()
    assert dict(view) == dict(table)
    assert (view.is_current, view.position) == (True, table.position)
