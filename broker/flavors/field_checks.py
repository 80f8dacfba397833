"""Checks the fields that a peer sends by the annotations of their class.

Theory of operation. All fields of a state are converted in one call of msgspec, as one tuple. For
that each annotation becomes a type that msgspec can check. A class whose instances cross as copies
is replaced by a stand-in (``contracts.stand_ins``), which accepts exactly its instances: msgspec
alone would also make such an instance of a dict. Where a reference arrives, or an object that only
the sender knows, the annotation is not checked. A set that is made of a list has its members
checked first, also within a class that is sent as its fields.

msgspec makes new containers. If a converted value is equal to the received one and of the same
types, the received one is kept, so that values that the peer shares stay shared.
"""

from __future__ import annotations

import collections.abc
import contextlib
import datetime
import decimal
import enum
import re
import sys
import types
import typing
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from broker.errors import ConfigError
from broker.failure import wire_name
from broker.flavors.contracts.hints import hints_of, type_text
from broker.flavors.contracts.leaves import copy_plan
from broker.flavors.contracts.plans import Plan
from broker.flavors.contracts.records import is_record, record_plan
from broker.flavors.contracts.sets import check_members
from broker.flavors.contracts.stand_ins import (
    BUILTIN_TYPES,
    converted,
    read_fault,
    stand_in,
    wrong,
)
from broker.flavors.reference import RemoteReference
from jelly.bases import Jellyable, Unjellyable
from jelly.errors import MalformedJelly
from jelly.fields import annotations_of, shape_of
from jelly.printable import printable
from jelly.registry import defaults

__all__ = ["FieldChecks"]

Hint: TypeAlias = Any
"""An annotation, or a type for msgspec: they have no type in common."""

Known: TypeAlias = dict[object, Plan]
"""The plans of the records in one annotation, which may have each other as fields."""

_BUILTIN = (*BUILTIN_TYPES, uuid.UUID)
# A converted value of one of these types is the received value, or is not equal to it.
_KEPT = frozenset(
    {
        *(str, int, bool, type(None), bytes, uuid.UUID),
        *(datetime.date, datetime.time, datetime.datetime, datetime.timedelta),
    }
)
_LOOSE = frozenset({float, bytearray, decimal.Decimal})
_KEPT_CONTAINERS = frozenset({list, dict, tuple})
_CONTAINERS = _KEPT_CONTAINERS | {
    *(set, frozenset, collections.abc.Collection, collections.abc.Sequence, collections.abc.Set),
    *(collections.abc.MutableSequence, collections.abc.MutableSet),
    *(collections.abc.Mapping, collections.abc.MutableMapping),
}
_UNION: Hint = typing.Union
_WRAPPERS = (typing.Final, typing.Required, typing.NotRequired)
_FIELD = re.compile(r"\[(\d+)\]")
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Checked(NamedTuple):
    """An annotation for msgspec.

    Attributes:
        kind: the type to convert to; Any if nothing is checked.
        keeps: whether an equal converted value stands for the received one.
    """

    kind: Hint
    keeps: bool


_ANY = _Checked(Any, True)


class _Unsupported(Exception):
    """An annotation that no value can be checked by; the text says why."""


class FieldChecks:
    """The checks of the fields of one class.

    Args:
        cls: a registered class; each class that its annotations name exists.

    Raises:
        ConfigError: an annotation of the class cannot be evaluated, or cannot be checked.
    """

    def __init__(self, cls: type):
        self._cls = cls
        self._fields = _fields_of(cls)
        # By the names of the received fields: the type of the tuple.
        self._tuples: dict[tuple[str, ...], Hint] = {}
        self._converts = not all(
            each.kind in _KEPT or each.kind is Any for each in self._fields.values()
        )

    def check(self, state: Mapping[str, object]) -> Mapping[str, object]:
        """Return a state with its fields converted; other names are left for the caller to refuse.

        Raises:
            MalformedJelly: a field has another type.
        """
        fields = self._fields
        names = tuple([name for name in fields if name in state])
        if not names:
            return state
        given = tuple([state[name] for name in names])
        kind = self._tuples.get(names)
        if kind is None:
            kind = self._tuples[names] = _tuple_of(fields[name].kind for name in names)
        try:
            made = _converted(given, kind)
        except msgspec.ValidationError as error:
            raise MalformedJelly(_told(wire_name(self._cls), names, error)) from None
        except RecursionError:
            raise MalformedJelly(f"the fields of {wire_name(self._cls)} are too deep") from None
        except _FAULTS as error:
            text = f"the fields of {wire_name(self._cls)} are refused: {type(error).__name__}"
            raise MalformedJelly(text) from error
        if not self._converts:
            return state
        changed = {
            name: new
            for name, old, new in zip(names, given, made, strict=True)
            if new is not old and not (fields[name].keeps and type(new) is type(old) and new == old)
        }
        return {**state, **changed} if changed else state


def _converted(value: Hint, kind: Hint) -> Hint:
    return msgspec.convert(value, kind, builtin_types=_BUILTIN, dec_hook=converted)


def _tuple_of(kinds: Iterable[Hint]) -> Hint:
    return tuple.__class_getitem__(tuple(kinds))


def _told(cls: str, names: tuple[str, ...], error: Exception) -> str:
    """Return the text of a fault with the place of the field; it never has the peer's value."""
    fault, place, _ = read_fault(error)
    where = _FIELD.sub(lambda found: names[int(found[1])], place, count=1)
    text = f"{where}: {fault}" if where else fault
    return printable(f"{cls}: {text}", 400, is_ascii=False)


def _fields_of(cls: type) -> dict[str, _Checked]:
    """Return the types of the fields of a class, without those that are not checked."""
    found: dict[str, _Checked] = {}
    for name in shape_of(cls).names:
        where = f"{wire_name(cls)}.{name}"
        annotation = _evaluated(cls, name, where)
        try:
            checked = _checked(annotation, {})
            _try(checked.kind)
        except _Unsupported as error:
            raise ConfigError(f"{where}: {error}") from None
        except TypeError as error:
            raise ConfigError(f"{where}: {printable(str(error), 300)}") from None
        if checked.kind is not Any:
            found[name] = checked
    return found


def _evaluated(cls: type, name: str, where: str) -> Hint:
    for base in cls.__mro__:
        annotations = annotations_of(base)
        if name not in annotations:
            continue
        # As in typing: names of the module come before those of the class.
        module = vars(sys.modules.get(base.__module__, types))
        holder = types.SimpleNamespace(__annotations__={name: annotations[name]})
        try:
            return typing.get_type_hints(holder, dict(vars(base)), module, include_extras=True)[
                name
            ]
        except NameError as error:
            raise ConfigError(f"{where}: '{error.name}' is not defined") from None
        except (TypeError, SyntaxError, AttributeError) as error:
            raise ConfigError(f"{where}: {printable(str(error), 300)}") from None
    return Any


def _try(kind: Hint) -> None:
    """Raise TypeError if msgspec cannot check a type."""
    msgspec.msgpack.Decoder(_tuple_of((kind,)))


def _checked(annotation: Hint, known: Known) -> _Checked:
    origin: Hint = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if annotation is None:
        return _Checked(type(None), True)
    if origin in _WRAPPERS:
        return _checked(args[0], known)
    if origin is typing.Annotated:
        inner = _checked(args[0], known)
        return _Checked(typing.Annotated[(inner.kind, *args[1:])], inner.keeps)
    if origin is typing.Literal:
        return _Checked(annotation, True)
    if origin is typing.Union or origin is types.UnionType:
        return _union(args, known)
    if origin is collections.abc.Callable or annotation is collections.abc.Callable:
        raise _Unsupported("give it a contract with one method, or use broker.callback")
    if isinstance(annotation, typing.NewType):
        return _checked(annotation.__supertype__, known)
    if hasattr(annotation, "__value__") and not isinstance(annotation, type):
        return _checked(annotation.__value__, known)
    if origin in _CONTAINERS:
        return _container(origin, args, known)
    return _class(annotation, known)


def _container(origin: Hint, args: tuple[Hint, ...], known: Known) -> _Checked:
    parts = [None if each is ... else _checked(each, known) for each in args]
    keeps = origin in _KEPT_CONTAINERS and all(each is None or each.keeps for each in parts)
    kinds = tuple(... if each is None else each.kind for each in parts)
    return _guarded(_Checked(origin[kinds] if kinds else origin, keeps), origin)


def _guarded(checked: _Checked, origin: Hint) -> _Checked:
    """Return the type with a check of the members, if it makes a set of another container."""
    if not issubclass(origin, collections.abc.Set):
        return checked

    _try(checked.kind)

    def decode(value: object) -> object:
        if isinstance(value, list | tuple):
            check_members(value)
        return _converted(value, checked.kind)

    return _Checked(stand_in(origin.__name__, decode), False)


def _record(annotation: Hint, known: Known) -> _Checked:
    """Return the type of a class that is sent as its fields, some of which make sets."""

    def plan_of(hint: Hint, where: str) -> Plan:
        kind = _checked(hint, known).kind
        _try(kind)
        return Plan(kind)

    plan = record_plan(annotation, type_text(annotation), plan_of, known, _converted)
    return _Checked(plan.wire, False)


def _makes_sets(annotation: Hint, seen: set[Hint]) -> bool:
    """Return whether values of a type have sets, in the fields of records too."""
    origin: Hint = typing.get_origin(annotation)
    cls = origin or annotation
    if isinstance(cls, type) and issubclass(cls, collections.abc.Set):
        return True
    parts = list(typing.get_args(annotation))
    if is_record(cls) and cls not in seen:
        seen.add(cls)
        with contextlib.suppress(ConfigError):
            parts += hints_of(cls, "").values()
    return any(_makes_sets(part, seen) for part in parts)


def _class(annotation: Hint, known: Known) -> _Checked:
    origin: Hint = typing.get_origin(annotation)
    cls = origin if isinstance(origin, type) else annotation
    if not isinstance(cls, type) or cls is object or cls is Any:
        # Any, a type variable, Self.
        return _ANY
    if cls in _KEPT or cls in _KEPT_CONTAINERS:
        return _Checked(cls, True)
    if cls in _LOOSE or cls in _CONTAINERS:
        return _guarded(_Checked(cls, False), cls)
    if issubclass(cls, enum.Enum):
        return _Checked(cls, False)
    if cls in defaults.declared.with_fields or issubclass(cls, Unjellyable | RemoteReference):
        return _Checked(copy_plan(cls).wire, True)
    if getattr(cls, "_is_protocol", False) or issubclass(cls, Jellyable):
        # A reference arrives, or a copy of the class that the receiver has for it.
        return _ANY
    if is_record(cls):
        return (
            _record(annotation, known) if _makes_sets(annotation, set()) else _Checked(cls, False)
        )
    if cls.__module__ == "collections.abc":
        return _ANY
    return _Checked(copy_plan(cls).wire, True)


def _union(args: Collection[Hint], known: Known) -> _Checked:
    parts = [_checked(each, known) for each in args]
    if any(each.kind is Any for each in parts):
        return _ANY
    keeps = all(each.keeps for each in parts)
    kind = _UNION[tuple(each.kind for each in parts)]
    try:
        _try(kind)
    except TypeError:
        # msgspec cannot choose between these by their form: each is tried.
        name = " | ".join(getattr(each, "__name__", None) or str(each) for each in args)
        return _Checked(_alternatives(name, [each.kind for each in parts]), keeps)
    return _Checked(kind, keeps)


def _alternatives(name: str, kinds: list[Hint]) -> Hint:
    def decode(value: object) -> Hint:
        for kind in kinds:
            try:
                return _converted(value, kind)
            except msgspec.ValidationError:
                pass
        # msgspec adds the place to the text of a TypeError.
        raise wrong(name, value)

    return stand_in(name, decode)
