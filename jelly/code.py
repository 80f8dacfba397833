"""Names of code: writes and reads class, module, function and method; reads instance.

``security`` must allow the tag before a name is written. A strict policy reads no name. With any
other, ``security`` must allow the module before it is imported, and the class before an instance of
it is made.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jelly import atoms
from jelly.atoms import Expression
from jelly.bases import blank_of
from jelly.errors import CannotJelly, InsecureJelly, MalformedJelly
from jelly.foreign import has_jelly_hook
from jelly.refusals import cannot_be_sent
from jelly.registry import load_module, named_class, named_object
from jelly.security import class_name
from jelly.state import put_plain_state

if TYPE_CHECKING:
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["READERS", "writer_of"]


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


def writer_of(kind: type) -> Callable[[Jellier, Any], Expression] | None:
    """Return the function that writes a value of this type; None if it is not code.

    That function raises CannotJelly if ``security`` does not allow the value.
    """
    row = _WRITERS.get(kind)
    return _write_class if row is None and issubclass(kind, type) else row


def _require_code(jellier: Jellier, tag: bytes, value: object) -> None:
    if not jellier.taster.isTypeAllowed(tag):
        is_function = tag == atoms.FUNCTION or tag == atoms.METHOD
        way = "wrap it in broker.callback" if is_function else "the policy does not allow it"
        text = f"a {type(value).__name__} cannot be sent: {way}"
        raise CannotJelly(text).about(value)


def _write_class(jellier: Jellier, value: type) -> Expression:
    _require_code(jellier, atoms.CLASS, value)
    return [atoms.CLASS, class_name(value).encode("utf-8")]


def _write_module(jellier: Jellier, value: types.ModuleType) -> Expression:
    _require_code(jellier, atoms.MODULE, value)
    return [atoms.MODULE, value.__name__.encode("utf-8")]


def _write_function(jellier: Jellier, value: types.FunctionType) -> Expression:
    _require_code(jellier, atoms.FUNCTION, value)
    return [atoms.FUNCTION, f"{value.__module__}.{value.__qualname__}".encode()]


def _write_method(jellier: Jellier, value: types.MethodType) -> Expression:
    _require_code(jellier, atoms.METHOD, value)
    owner = value.__self__
    is_code = writer_of(type(owner)) is not None
    if not (is_code or has_jelly_hook(owner) or jellier.taster.isClassAllowed(type(owner))):
        raise cannot_be_sent(owner).about(value)
    name = value.__func__.__name__.encode("utf-8")
    return [atoms.METHOD, name, jellier.jelly(owner), jellier.jelly(type(owner))]


_WRITERS: dict[type, Callable[[Jellier, Any], Expression]] = {
    type: _write_class,
    types.ModuleType: _write_module,
    types.FunctionType: _write_function,
    types.MethodType: _write_method,
}
