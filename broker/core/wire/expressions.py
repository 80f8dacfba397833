"""Messages as PB's expressions: a list of the command and its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import astuple

from broker.core.wire.commands import COMMANDS, Command
from broker.core.wire.fields import Misfit
from broker.core.wire.messages import (
    LONGEST_NAME,
    GraphCall,
    GraphCallToCache,
    Message,
    Record,
    UnknownCommand,
)
from jelly.atoms import Expression
from jelly.errors import ProtocolError

__all__ = ["parse", "to_expression"]

_ROWS: dict[bytes, Command] = {
    row.name: row for row in COMMANDS.values() if row.name is not None and row.checks
}


def parse(expression: Expression) -> Message:
    """Return the message of an expression.

    The command and the number and the types of the fields are checked before any lookup.

    Raises:
        ProtocolError: the expression is not a message, or its fields do not fit the command.
    """
    if type(expression) is not list or not expression or type(expression[0]) is not bytes:
        raise ProtocolError("malformed message: expected a list that starts with a command")
    row = _ROWS.get(expression[0])
    if row is None:
        if len(expression[0]) > LONGEST_NAME:
            raise ProtocolError("malformed message: a command of more than 128 bytes")
        return UnknownCommand(expression[0])
    checks = row.checks
    if len(expression) != len(checks) + 1:
        raise ProtocolError(f"malformed message: expected {row.form}")
    make: Callable[..., Any] = row.record
    try:
        message: Message = make(
            *[check(value) for check, value in zip(checks, expression[1:], strict=True)]
        )
    except Misfit:
        raise ProtocolError(f"malformed message: expected {row.form}") from None
    return message


def to_expression(message: Record) -> list[Expression]:
    """Return the expression of a message, without the fields that PB does not have.

    Raises:
        KeyError: PB has no such message, or its form has expressions instead of values.
    """
    return _MAKERS[type(message)](message)


def _of_call(command: bytes) -> Callable[[Any], list[Expression]]:
    def make(call: GraphCall) -> list[Expression]:
        return [
            command,
            call.request_id,
            call.object_id,  # type: ignore[list-item]  # text is of msgpack/1 only
            call.name.encode("utf-8"),
            int(call.wants_answer),
            call.args,
            call.kw,
        ]

    return make


def _of_fields(command: bytes, count: int) -> Callable[[Any], list[Expression]]:
    def make(message: Record) -> list[Expression]:
        return [command, *astuple(message)[:count]]

    return make


_MAKERS: dict[type[Record], Callable[[Any], list[Expression]]] = {
    row.record: _of_call(name)
    if row.record in (GraphCall, GraphCallToCache)
    else _of_fields(name, len(row.checks))
    for name, row in _ROWS.items()
}
