"""Messages as PB's expressions: each command, the number and the types of its fields."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire import messages
from broker.core.wire.commands import COMMANDS
from broker.core.wire.expressions import parse, to_expression
from broker.core.wire.messages import (
    Decache,
    Decref,
    DidNotUnderstand,
    GraphAnswer,
    GraphCall,
    GraphCallToCache,
    GraphError,
    Uncache,
    UnknownCommand,
    Version,
)
from jelly.errors import ProtocolError

TUPLE, DICTIONARY = [b"tuple"], [b"dictionary"]

GOOD: list[tuple[list[Any], Any]] = [
    ([b"version", 6], Version(6)),
    ([b"version", -1], Version(-1)),
    ([b"didNotUnderstand", b"foo"], DidNotUnderstand(b"foo")),
    (
        [b"message", 1, b"root", b"echo", 1, TUPLE, DICTIONARY],
        GraphCall(messages.RequestId(1), b"root", "echo", True, TUPLE, DICTIONARY),
    ),
    (
        [b"message", 2**63 - 1, 7, b"x" * 128, 0, TUPLE, DICTIONARY],
        GraphCall(messages.RequestId(2**63 - 1), 7, "x" * 128, False, TUPLE, DICTIONARY),
    ),
    (
        [b"cachemessage", 0, 3, b"changed", 1, TUPLE, DICTIONARY],
        GraphCallToCache(messages.RequestId(0), 3, "changed", True, TUPLE, DICTIONARY),
    ),
    ([b"answer", 1, [b"None"]], GraphAnswer(messages.RequestId(1), [b"None"])),
    ([b"error", 1, 5], GraphError(messages.RequestId(1), 5)),
    ([b"decref", 1], Decref(1)),
    ([b"decref", b"root"], Decref(b"root")),
    ([b"decache", 1], Decache(1)),
    ([b"uncache", 1], Uncache(1)),
    ([b"goodbye"], UnknownCommand(b"goodbye")),
    ([b"goodbye", 1, 2, 3], UnknownCommand(b"goodbye")),
    ([b""], UnknownCommand(b"")),
    ([b"x" * 128, 1], UnknownCommand(b"x" * 128)),
]


@pytest.mark.parametrize(("expression", "message"), GOOD)
def test_what_is_a_message(expression: list[Any], message: Any) -> None:
    """Each command becomes its record, of the right type."""
    parsed = parse(expression)
    assert (type(parsed), parsed) == (type(message), message)


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        (0, False),
        (1, True),
        (-1, True),
        ([b"None"], False),
        ([b"boolean", b"false"], False),
        ([b"boolean", b"true"], True),
        (b"", True),
    ],
)
def test_what_pb_sends_for_pbanswer(flag: Any, wanted: bool) -> None:
    """Whatever ``pbanswer`` was at the caller, it says whether an answer is wanted."""
    call: Any = parse([b"message", 1, 1, b"m", flag, TUPLE, DICTIONARY])
    assert call.wants_answer is wanted


def test_names_that_are_not_ascii() -> None:
    """A name that no method can have is kept in its escaped form, for the answer to say so."""
    call: Any = parse([b"message", 1, 1, b"\xff", 1, TUPLE, DICTIONARY])
    assert call.name == "\\xff"


CALL = "message(id, object, name, answer, args, kwargs)"
TO_CACHE = "cachemessage(id, cache, name, answer, args, kwargs)"

ARITY = [
    (b"version", 1, "version(number)"),
    (b"didNotUnderstand", 1, "didNotUnderstand(command)"),
    (b"message", 6, CALL),
    (b"cachemessage", 6, TO_CACHE),
    (b"answer", 2, "answer(id, value)"),
    (b"error", 2, "error(id, failure)"),
    (b"decref", 1, "decref(object)"),
    (b"decache", 1, "decache(cache)"),
    (b"uncache", 1, "uncache(cache)"),
]


@pytest.mark.parametrize(("command", "count", "text"), ARITY)
def test_arity(command: bytes, count: int, text: str) -> None:
    """One field too few, or too many, is malformed, and the text says what was expected."""
    for wrong in (*range(count), count + 1, count + 5):
        with pytest.raises(ProtocolError) as caught:
            parse([command, *[1] * wrong])
        assert str(caught.value) == f"malformed message: expected {text}"


def call(command: bytes, *, at: int, value: Any) -> list[Any]:
    """A call with one field changed."""
    fields: list[Any] = [1, 1, b"name", 1, TUPLE, DICTIONARY]
    fields[at] = value
    return [command, *fields]


WRONG_IDS = [-1, 2**63, b"1", 1.0, [], [b"list"], True]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        *((call(b"message", at=0, value=value), CALL) for value in WRONG_IDS),
        *((call(b"cachemessage", at=0, value=value), TO_CACHE) for value in WRONG_IDS),
        *((call(b"cachemessage", at=1, value=value), TO_CACHE) for value in WRONG_IDS),
        *(
            (call(b"message", at=1, value=value), CALL)
            for value in (-1, 2**63, 1.0, [], b"x" * 129)
        ),
        *((call(b"message", at=2, value=value), CALL) for value in (1, [], [b"a"], b"x" * 129)),
        *(([b"answer", value, 0], "answer(id, value)") for value in WRONG_IDS),
        *(([b"error", value, 0], "error(id, failure)") for value in WRONG_IDS),
        *(([b"decache", value], "decache(cache)") for value in WRONG_IDS),
        *(([b"uncache", value], "uncache(cache)") for value in WRONG_IDS),
        *(([b"decref", value], "decref(object)") for value in (-1, 2**63, 1.0, [])),
        *(([b"version", value], "version(number)") for value in (b"6", 6.0, [], 2**63)),
        *(([b"didNotUnderstand", v], "didNotUnderstand(command)") for v in (1, [], b"x" * 129)),
    ],
)
def test_field_types(expression: list[Any], text: str) -> None:
    """A field of the wrong type or size is malformed, whichever it is."""
    with pytest.raises(ProtocolError) as caught:
        parse(expression)
    assert str(caught.value) == f"malformed message: expected {text}"


@pytest.mark.parametrize("expression", [[], [1], [[b"message"]], 5, b"message", 1.5, [1.5, 2]])
def test_no_message(expression: Any) -> None:
    """What does not start with a command is no message."""
    with pytest.raises(ProtocolError, match="expected a list that starts with a command"):
        parse(expression)


def test_a_command_without_end() -> None:
    """A command that is too long to be repeated is no message."""
    with pytest.raises(ProtocolError, match="a command of more than 128 bytes"):
        parse([b"x" * 129])


def test_every_command_is_tested() -> None:
    """The tables above have each command of PB."""
    names = {row.name for row in COMMANDS.values() if row.name is not None}
    assert {command for command, _, _ in ARITY} == names
    assert {expression[0] for expression, _ in GOOD} >= names


def test_there_and_back() -> None:
    """The expression of a message is the one from which it was made."""
    for expression, message in GOOD:
        if type(message) is not UnknownCommand:
            assert to_expression(message) == expression


def test_fields_that_pb_does_not_have() -> None:
    """A count and a deadline are left out."""
    assert to_expression(Decref(1, 3)) == [b"decref", 1]
    call = GraphCall(1, 5, "é", False, TUPLE, DICTIONARY, 250)
    assert to_expression(call) == [b"message", 1, 5, "é".encode(), 0, TUPLE, DICTIONARY]
    with pytest.raises(KeyError):
        to_expression(messages.Ping(1))
