"""The type of expressions, and the tags of expressions."""

from __future__ import annotations

from typing import Any, TypeAlias

from jelly.printable import printable

__all__ = ["Expression", "text_of"]

# The compiler (setup.py) takes this as true, and checks each type where the code only states it. A
# hook or a caller may pass any object as an expression; the code says which one is wrong.
_IS_COMPILED = False

if _IS_COMPILED:
    Expression: TypeAlias = Any
else:
    # An int, float or bytes object is its own expression. Any other expression is a list that
    # starts with a tag.
    Expression: TypeAlias = int | float | bytes | list["Expression"]

NONE = b"None"
BOOLEAN = b"boolean"
UNICODE = b"unicode"
INT = b"int"
LIST = b"list"
TUPLE = b"tuple"
DICTIONARY = b"dictionary"
SET = b"set"
FROZENSET = b"frozenset"
DECIMAL = b"decimal"
DATETIME = b"datetime"
DATE = b"date"
TIME = b"time"
TIMEDELTA = b"timedelta"
UUID = b"uuid.UUID"
REFERENCE = b"reference"
DEREFERENCE = b"dereference"
PERSISTENT = b"persistent"
UNPERSISTABLE = b"unpersistable"
CLASS = b"class"
MODULE = b"module"
FUNCTION = b"function"
METHOD = b"method"
INSTANCE = b"instance"


def text_of(name: object) -> str:
    """Return a peer's name as at most 64 printable ASCII characters, for an error or a log."""
    return printable(name)
