"""Types of tables: those that a class names, and the check and conversion of keys and values.

A program without typed tables does not load the types of contracts.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from broker.errors import ConfigError, WrongType

if TYPE_CHECKING:
    from broker.flavors.contracts.plans import Plan
    from broker.flavors.contracts.values import Value
    from broker.flavors.table_view import TableView

__all__ = ["ANYTHING", "Types", "arguments_of", "types_of", "view_plan"]

Take: TypeAlias = Callable[[object], object]
"""Converts and checks a value."""


class Types(NamedTuple):
    """The types of the keys and values of a table or a view; None where all are taken.

    Attributes:
        key, value: convert and check; see ``contracts.values.Value``.
        text: the types in Python's syntax.
    """

    key: Value | None = None
    value: Value | None = None
    text: str = ""

    def sent(self, key: object, value: object) -> tuple[object, object]:
        """Return what is sent for a key and its value.

        Raises:
            WrongType: a TypeError: one of them does not have its type.
        """
        takes_key = None if self.key is None else self.key.send
        return self._both(takes_key, None if self.value is None else self.value.send, key, value)

    def received(self, key: object, value: object) -> tuple[object, object]:
        """Return a received key and its value, as instances of their types.

        Raises:
            WrongType: a TypeError: one of them does not have its type.
        """
        takes_key = None if self.key is None else self.key.receive
        return self._both(takes_key, None if self.value is None else self.value.receive, key, value)

    def _both(
        self, takes_key: Take | None, takes_value: Take | None, key: object, value: object
    ) -> tuple[object, object]:
        from broker.flavors.contracts.stand_ins import Mismatch

        what = "key"
        try:
            if takes_key is not None:
                key = takes_key(key)
            what = "value"
            if takes_value is not None:
                value = takes_value(value)
        except Mismatch as error:
            text = f"{self.text}: {what}{error.place}: {error.text}"
            raise WrongType(text) from None
        return key, value


ANYTHING = Types()
"""For tables without types."""


def types_of(name: str, arguments: tuple[object, ...]) -> Types:
    """Return the types of a table or view with these arguments, as of ``Table[str, float]``.

    Raises:
        ConfigError: values of a type cannot be sent, or have references.
    """
    # Loaded for typed tables only.
    from broker.flavors.contracts.hints import type_text
    from broker.flavors.contracts.values import Value

    if len(arguments) != 2:
        raise ConfigError(f"{name} has two types: those of its keys and of its values")
    text = f"{name}[{', '.join(map(type_text, arguments))}]"

    def no_reference(hint: object, where: str) -> Plan:
        raise ConfigError(f"{where}: the values of a table cannot be references")

    made = [
        None if _is_open(hint) else Value(hint, f"{text}: {what}", no_reference)
        for what, hint in zip(("key", "value"), arguments, strict=True)
    ]
    key, value = (None if each is None or each.is_free else each for each in made)
    return ANYTHING if key is value is None else Types(key, value, text)


def _is_open(hint: object) -> bool:
    return hint is Any or hint is object or type(hint).__name__ == "TypeVar"


def arguments_of(cls: type, generic: type) -> tuple[object, ...]:
    """Return the types that a class gives to a generic base; empty if it gives none."""
    return _arguments(cls, generic, {})


def _arguments(cls: type, generic: type, outer: dict[object, object]) -> tuple[object, ...]:
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: object = typing.get_origin(base) or base
        if not isinstance(origin, type) or not issubclass(origin, generic):
            continue
        given = tuple(_substituted(each, outer) for each in typing.get_args(base))
        if origin is generic:
            return given
        variables: tuple[object, ...] = getattr(origin, "__parameters__", ())
        return _arguments(origin, generic, dict(zip(variables, given, strict=False)))
    return ()


def _substituted(hint: object, outer: dict[object, object]) -> object:
    if not outer:
        return hint
    from broker.flavors.contracts.hints import substituted

    return substituted(hint, outer)


def view_plan(view: type[TableView[Any, Any]], hint: object) -> Plan:
    """Return the plan of results of a contract that are views.

    Args:
        view: the class of the view.
        hint: the annotation: the class, or the class with types.
    """
    from broker.flavors.contracts.hints import type_text
    from broker.flavors.contracts.plans import Plan
    from broker.flavors.contracts.stand_ins import Mismatch, stand_in, wrong
    from broker.flavors.table import Table

    arguments = typing.get_args(hint)
    types = types_of(view.__name__, arguments) if arguments else ANYTHING

    def take(value: object) -> object:
        if isinstance(value, Table):
            # At the owner, which returns it.
            return value
        if not isinstance(value, view):
            raise wrong(type_text(hint), value)
        if types is not ANYTHING:
            try:
                value._give_types(types)
            except WrongType as error:
                raise Mismatch(str(error)) from None
        return value

    return Plan(stand_in(type_text(hint), take), kinds=(view, Table))
