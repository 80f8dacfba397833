"""The table of messages, compared with the specification and with the tables made from it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from broker.core.calls.handlers import BEFORE_VERSION, GATED, OPEN
from broker.core.wire import messages
from broker.core.wire.commands import COMMANDS, Content, Early, Feature, Order, number_of, records
from broker.core.wire.dialects import MSGPACK, NONE, PB
from broker.core.wire.messages import Record
from broker.core.wire.msgpack.frames import GRAPH

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "reference" / "wire" / "msgpack.md"


def test_numbers_of_the_specification() -> None:
    """The numbers of the page are those of the records, and that of graphs."""
    table = PAGE.read_text("utf-8").partition("## Commands")[2].partition("\n## ")[0]
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.M)}
    numbers = [row.number for row in COMMANDS.values() if row.number is not None]
    assert listed == {*numbers, GRAPH}
    assert len(numbers) == len(set(numbers))


def test_messages_before_a_login_of_the_specification() -> None:
    """The page names the messages that may come before a login."""
    text = " ".join(PAGE.read_text("utf-8").split())
    assert "takes only commands 0, 1, 2, 8, 11 to 14, and graphs of kinds 1 and 2" in text
    early = records(lambda row: row.before_login is not Early.REFUSED)
    numbers = {COMMANDS[record].number for record in early} - {None}
    assert numbers == {0, 1, 2, 8, 11, 12, 13, 14}
    assert messages.GraphCall in early
    assert messages.GraphCallToCache not in early


@pytest.mark.parametrize("record", COMMANDS)
def test_handlers(record: type[Record]) -> None:
    """Each message has a handler in each state of a session."""
    for handlers in (OPEN, GATED, BEFORE_VERSION):
        assert record in handlers


def test_features() -> None:
    """What PB does not have is a feature; PB's dialects have none, and msgpack/1 has all."""
    for row in COMMANDS.values():
        assert (row.name is None) == (row.feature is not None)
    assert MSGPACK.features == frozenset(Feature)
    assert PB.features == NONE.features == frozenset()


def test_calls() -> None:
    """A call is queued; only the version comes first; graphs stand for values."""
    for row in COMMANDS.values():
        assert row.before_version == (row.record is messages.Version)
        assert not row.is_call or row.order is Order.QUEUED
        assert (row.graph is not None) == (row.content is Content.VALUES)
        if row.graph is not None:
            graph = COMMANDS[row.graph]
            assert (graph.name, graph.is_call, graph.order) == (row.name, row.is_call, row.order)
            assert graph.before_login is row.before_login
            assert graph.outlives == row.outlives


def test_number_of() -> None:
    """A message without a frame of its own has no number."""
    assert number_of(messages.PlainSendToCache) == 4
    with pytest.raises(KeyError):
        number_of(messages.GraphCall)


def test_the_wire_alone_spells_commands() -> None:
    """No module outside ``core.wire`` has the name of a command as a literal of bytes."""
    names = {row.name for row in COMMANDS.values()} | {b"ping", b"pong", b"cancel", b"goodbye"}
    found = [
        f"{path}:{node.lineno}"
        for path in sorted(ROOT.glob("broker/**/*.py"))
        if "core/wire" not in path.as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) is bytes and node.value in names
    ]
    assert found == []
