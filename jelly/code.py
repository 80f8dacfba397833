"""Decodes names of code: class, module, function, method and instance, if the policy allows them.

A strict policy does not. With any other, ``security`` must allow the module before it is imported,
and the class before an instance of it is made.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import TYPE_CHECKING

from jelly import atoms
from jelly.atoms import Expression
from jelly.bases import blank_of
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.registry import load_module, named_class, named_object
from jelly.state import put_plain_state

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["READERS"]


def _name(expression: list[Expression]) -> str:
    if len(expression) < 2 or not isinstance(expression[1], bytes | str):
        raise MalformedJelly(f"{atoms.text_of(expression[0])} without a name")
    name = expression[1]
    try:
        return name.decode("utf-8") if isinstance(name, bytes) else name
    except UnicodeDecodeError:
        raise MalformedJelly(f"{atoms.text_of(expression[0])} name that is not UTF-8") from None


def _read_class(unjellier: Unjellier, expression: list[Expression]) -> type:
    return named_class(_name(expression), unjellier.taster)


def _read_module(unjellier: Unjellier, expression: list[Expression]) -> types.ModuleType:
    return load_module(_name(expression), unjellier.taster)


def _read_function(unjellier: Unjellier, expression: list[Expression]) -> object:
    found = named_object(_name(expression), unjellier.taster)
    if not callable(found) or isinstance(found, type):
        raise InsecureJelly(f"type '{atoms.text_of(_name(expression))}' is not a function")
    return found


def _read_method(unjellier: Unjellier, expression: list[Expression]) -> object:
    if len(expression) != 4:
        raise MalformedJelly(f"method of {len(expression) - 1} fields")
    name = _name(expression)
    owner = unjellier.unjelly(expression[2])
    cls = unjellier.unjelly(expression[3])
    if not isinstance(cls, type) or not isinstance(owner, cls | type(None)):
        raise MalformedJelly("method of an object that is not of its class")
    function = vars(cls).get(name)
    if not isinstance(function, types.FunctionType):
        raise InsecureJelly(f"method '{atoms.text_of(name)}' is not defined by {cls.__name__}")
    return function if owner is None else types.MethodType(function, owner)


def _read_instance(unjellier: Unjellier, expression: list[Expression]) -> object:
    if len(expression) != 3:
        raise MalformedJelly(f"instance of {len(expression) - 1} fields")
    cls = unjellier.unjelly(expression[1])
    if not isinstance(cls, type) or not unjellier.taster.isClassAllowed(cls):
        raise InsecureJelly("instance of a class that is not allowed")
    blank = blank_of(cls)
    state = unjellier.unjelly(expression[2])
    put_plain_state(blank, state, is_trusted=unjellier.is_trusted)
    return blank


READERS: dict[bytes, Callable[[Unjellier, list[Expression]], object]] = {
    atoms.CLASS: _read_class,
    atoms.MODULE: _read_module,
    atoms.FUNCTION: _read_function,
    atoms.METHOD: _read_method,
    atoms.INSTANCE: _read_instance,
}
