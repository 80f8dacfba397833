"""Lines of IRC: the cases that implementations of IRC share, and our own."""

import pytest
from parser_tests import data

from examples.chat.line_clients.irc_parser import compose, cut, parse

SPLIT = data.msg_split["tests"]
JOIN = data.msg_join["tests"]


@pytest.mark.parametrize("case", SPLIT, ids=lambda case: case["input"])
def test_shared_cases_of_splitting(case):
    """A line has the fields that the shared cases give it."""
    atoms = case["atoms"]
    message = parse(case["input"])
    assert message.command == atoms["verb"].upper()
    assert list(message.parameters) == atoms.get("params", [])
    assert message.source == atoms.get("source", "")
    assert message.tags == {name: value or "" for name, value in atoms.get("tags", {}).items()}


@pytest.mark.parametrize("case", JOIN, ids=lambda case: case["desc"])
def test_shared_cases_of_joining(case):
    """What is joined has the fields again when it is split."""
    atoms = case["atoms"]
    line = compose(atoms["verb"], *atoms.get("params", ()), source=atoms.get("source", ""))
    message = parse(line)
    assert (message.command, list(message.parameters), message.source) == (
        atoms["verb"].upper(),
        atoms.get("params", []),
        atoms.get("source", ""),
    )


@pytest.mark.parametrize("field", ["", "two words", ":colon"])
def test_a_field_that_would_be_another(field):
    """A field that would become the last one, or two, or none, is refused."""
    with pytest.raises(ValueError, match="not a field"):
        compose("PRIVMSG", field, "text")


def test_a_line_without_a_command():
    """A line of spaces, or of a source alone, has an empty command."""
    assert [parse(line).command for line in ("", "  ", ":source", "@tag=1")] == [""] * 4


def test_cutting_keeps_characters_whole():
    """Pieces are at most so long, no character is divided, and nothing is lost."""
    text = "grüße " * 20
    pieces = cut(text, 10)
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= 10
    assert cut("", 10) == [""]
