"""Checks the fields that a peer sends by the annotations of their class.

Theory of operation. All fields of a state are converted in one call of msgspec, as one tuple. For
that each annotation becomes a type that msgspec can check. A class whose instances cross as copies
is replaced by a *marker*, which accepts exactly its instances: msgspec alone would also make such
an instance of a dict. Where a reference arrives, or an object that only the sender knows, the
annotation is not checked.

msgspec makes new containers. If a converted value is equal to the received one and of the same
types, the received one is kept, so that values that the peer shares stay shared.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import re
import sys
import types
import typing
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from broker.errors import ConfigError
from broker.failure import wire_name
from broker.flavors.reference import RemoteReference
from jelly.bases import Jellyable, Unjellyable
from jelly.errors import MalformedJelly
from jelly.fields import annotations_of, shape_of
from jelly.keys import KeyGuard
from jelly.limits import Limits
from jelly.printable import printable
from jelly.registry import defaults

__all__ = ["FieldTypes", "check_state"]

Hint: TypeAlias = Any
"""An annotation, or a type for msgspec: they have no type in common."""

_BUILTIN = (
    *(bytes, bytearray, datetime.date, datetime.time, datetime.datetime),
    *(datetime.timedelta, decimal.Decimal, uuid.UUID),
)
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
_LIMITS = Limits()
_PLACE = re.compile(r" - at `(key` in `)?\$\[(\d+)\](.*)`\Z", re.DOTALL)
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


class FieldTypes:
    """The types of the fields of one class.

    The annotations are evaluated when the first state arrives: only then does each class that they
    name exist.

    Args:
        cls: a registered class.
    """

    def __init__(self, cls: type):
        self._cls = cls
        self._fields: dict[str, _Checked] | None = None
        # By the names of the received fields: the type of the tuple.
        self._tuples: dict[tuple[str, ...], Hint] = {}
        self._converts = True

    def check(self, state: Mapping[str, object]) -> Mapping[str, object]:
        """Return a state with its fields converted; other names are left for the caller to refuse.

        Raises:
            MalformedJelly: a field has another type.
            ConfigError: an annotation of the class cannot be evaluated, or cannot be checked.
        """
        fields = self._fields
        if fields is None:
            fields = self._fields = _fields_of(self._cls)
            self._converts = not all(
                each.kind in _KEPT or each.kind is Any for each in fields.values()
            )
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
            raise MalformedJelly(_told(wire_name(self._cls), names, str(error))) from None
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


def check_state(cls: type, state: object) -> object:
    """Return the received state of a class, with its fields converted if the class is typed.

    Raises:
        MalformedJelly, ConfigError: see :meth:`FieldTypes.check`.
    """
    found = defaults.declared.types.get(cls)
    if found is None or type(state) is not dict:
        return state
    return found.check(state)


def _converted(value: Hint, kind: Hint) -> Hint:
    return msgspec.convert(value, kind, builtin_types=_BUILTIN, dec_hook=_decoded)


def _tuple_of(kinds: Iterable[Hint]) -> Hint:
    return tuple.__class_getitem__(tuple(kinds))


def _told(cls: str, names: tuple[str, ...], text: str) -> str:
    """Return the text of a fault with the place of the field; it never has the peer's value."""
    place = _PLACE.search(text)
    fault = text if place is None else text[: place.start()]
    if fault.startswith("Invalid "):
        fault = " ".join(fault.split(" ")[:3])
    where = "" if place is None else f"{names[int(place[2])]}{place[3]}: "
    return printable(f"{cls}: {where}{fault}", 400, is_ascii=False)


def _fields_of(cls: type) -> dict[str, _Checked]:
    """Return the types of the fields of a class, without those that are not checked."""
    found: dict[str, _Checked] = {}
    for name in shape_of(cls).names:
        where = f"{wire_name(cls)}.{name}"
        annotation = _evaluated(cls, name, where)
        try:
            checked = _checked(annotation)
            _try(checked.kind)
        except _Unsupported as error:
            raise ConfigError(f"{where}: {error}") from None
        except TypeError as error:
            raise ConfigError(f"{where}: {printable(str(error), 300)}") from None
        if checked.kind is not Hint:
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


def _checked(annotation: Hint) -> _Checked:
    origin: Hint = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if annotation is None:
        return _Checked(type(None), True)
    if origin in _WRAPPERS:
        return _checked(args[0])
    if origin is typing.Annotated:
        inner = _checked(args[0])
        return _Checked(typing.Annotated[(inner.kind, *args[1:])], inner.keeps)
    if origin is typing.Literal:
        return _Checked(annotation, True)
    if origin is typing.Union or origin is types.UnionType:
        return _union(args)
    if origin is collections.abc.Callable or annotation is collections.abc.Callable:
        raise _Unsupported("give it a contract with one method, or use broker.callback")
    if isinstance(annotation, typing.NewType):
        return _checked(annotation.__supertype__)
    if hasattr(annotation, "__value__") and not isinstance(annotation, type):
        return _checked(annotation.__value__)
    if origin in _CONTAINERS:
        return _container(origin, args)
    return _class(origin if isinstance(origin, type) else annotation)


def _container(origin: Hint, args: tuple[Hint, ...]) -> _Checked:
    parts = [None if each is ... else _checked(each) for each in args]
    keeps = origin in _KEPT_CONTAINERS and all(each is None or each.keeps for each in parts)
    kinds = tuple(... if each is None else each.kind for each in parts)
    return _guarded(_Checked(origin[kinds] if kinds else origin, keeps), origin)


def _guarded(checked: _Checked, origin: Hint) -> _Checked:
    """Return the type with a check of the members, if it makes a set of another container."""
    if not issubclass(origin, collections.abc.Set):
        return checked

    def decode(value: object) -> object:
        if isinstance(value, list | tuple):
            KeyGuard(_LIMITS).check(value, "set member", Counter())
        return _converted((value,), _tuple_of((checked.kind,)))[0]

    return _Checked(_Marker(origin.__name__, (), {"decode": staticmethod(decode)}), False)


def _class(cls: Hint) -> _Checked:
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
        return _Checked(_marker(cls.__name__, cls), True)
    if getattr(cls, "_is_protocol", False) or issubclass(cls, Jellyable):
        # A reference arrives, or a copy of the class that the receiver has for it.
        return _ANY
    if dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct):
        return _Checked(cls, False)
    if typing.is_typeddict(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        return _Checked(cls, False)
    if cls.__module__ == "collections.abc":
        return _ANY
    return _Checked(_marker(cls.__name__, cls), True)


class _Marker(type):
    """The type of markers; an instance of the accepted class is an instance of the marker.

    Attributes:
        accepted: that class.
        decode: converts a value, for a union.
    """

    accepted: type = object
    decode: Callable[[object], object] | None = None

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.accepted)


def _marker(name: str, accepted: type) -> Hint:
    return _Marker(name, (), {"accepted": accepted})


def _decoded(kind: Hint, value: object) -> Hint:
    decode = kind.decode if isinstance(kind, _Marker) else None
    return value if decode is None else decode(value)


def _union(args: Collection[Hint]) -> _Checked:
    parts = [_checked(each) for each in args]
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
                return _converted((value,), _tuple_of((kind,)))[0]
            except msgspec.ValidationError:
                pass
        # msgspec adds the place to the text of a TypeError.
        raise TypeError(f"Expected `{name}`, got `{type(value).__name__}`")

    return _Marker(name, (), {"decode": staticmethod(decode)})
