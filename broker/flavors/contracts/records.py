"""Classes that are sent as their fields: dataclasses, msgspec.Structs, TypedDicts, NamedTuples.

Unknown fields that come are ignored, and missing ones get their defaults. The name of the class is
not sent.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from broker.flavors.contracts.hints import hints_of, substituted
from broker.flavors.contracts.plans import Lower, Plan, Planner
from broker.flavors.contracts.stand_ins import convert, stand_in

__all__ = ["is_record", "record_plan"]

Convert: TypeAlias = Callable[[object, object], object]


class _Field(NamedTuple):
    """A field of a record; ``name`` is its name on the wire."""

    attribute: str
    name: str
    plan: Plan
    has_default: bool


class _Record:
    """A class that is sent as its fields.

    Attributes:
        fields: its fields; they are found after the record is made, since a field may have the
            record as its type.
    """

    def __init__(self, cls: type, convert: Convert):
        self.cls = cls
        self._convert = convert
        # The fields of a dataclass that __init__ does not take.
        self._computed = frozenset(
            name
            for name, field in getattr(cls, "__dataclass_fields__", {}).items()
            if not field.init
        )
        self.fields: tuple[_Field, ...] = ()
        self._shadow: type | None = None

    def lower(self, value: object) -> object:
        """Return the fields of an instance as a dict, or as a list."""
        if not isinstance(value, self.cls):
            return value
        parts = {
            field.name: _lowered(field.plan.lower, getattr(value, field.attribute))
            for field in self.fields
        }
        config = getattr(self.cls, "__struct_config__", None)
        if config is None:
            return list(parts.values()) if issubclass(self.cls, tuple) else parts
        has_tag = config.tag is not None
        if config.array_like:
            return [*([config.tag] if has_tag else []), *parts.values()]
        return {config.tag_field: config.tag, **parts} if has_tag else parts

    def lower_dict(self, value: object) -> object:
        """Return a TypedDict with its values lowered."""
        if not isinstance(value, dict):
            return value
        lowers = {field.name: field.plan.lower for field in self.fields}
        return {name: _lowered(lowers.get(name), part) for name, part in value.items()}

    def take(self, value: object) -> object:
        """Make an instance of fields that have come; msgspec does that if it knows all types."""
        if typing.is_typeddict(self.cls) or not isinstance(value, self.cls):
            return self._made(self._fields_of(value))
        return value

    def _made(self, given: dict[str, object]) -> object:
        cls: Any = self.cls
        computed = {name: given.pop(name) for name in self._computed & given.keys()}
        made = cls(**given)
        for name, part in computed.items():
            object.__setattr__(made, name, part)
        return made

    def _fields_of(self, value: object) -> dict[str, object]:
        if self._shadow is None:
            self._shadow = self._shadow_of_fields()
        if isinstance(value, list | tuple) and issubclass(self.cls, tuple):
            value = dict(zip((field.name for field in self.fields), value, strict=False))
        found = self._convert(value, self._shadow)
        return {
            field.attribute: part
            for field in self.fields
            if (part := getattr(found, field.attribute)) is not msgspec.UNSET
        }

    def _shadow_of_fields(self) -> type:
        """Return a Struct with the same fields, whose types msgspec can convert."""
        config = getattr(self.cls, "__struct_config__", None)
        options = ("tag", "tag_field", "array_like", "forbid_unknown_fields")
        default: Any = msgspec.UNSET
        return msgspec.defstruct(
            self.cls.__name__,
            [
                (field.attribute, cast("type", field.plan.wire), default)
                if field.has_default
                else (field.attribute, cast("type", field.plan.wire))
                for field in self.fields
            ],
            kw_only=True,
            rename={
                field.attribute: field.name
                for field in self.fields
                if field.name != field.attribute
            },
            **({} if config is None else {name: getattr(config, name) for name in options}),
        )


def is_record(cls: object) -> bool:
    """Return whether a class is sent as its fields."""
    if not isinstance(cls, type):
        return False
    is_named_tuple = issubclass(cls, tuple) and hasattr(cls, "_fields")
    is_class = dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct)
    return is_class or is_named_tuple or typing.is_typeddict(cls)


def record_plan(
    hint: object,
    where: str,
    plan_of: Planner,
    known: dict[object, Plan],
    convert: Convert = convert,
) -> Plan:
    """Return the plan of a class that is sent as its fields.

    Args:
        hint: the class, or a generic one with its arguments.
        where: begins the text of a ConfigError.
        plan_of: makes the plans of the fields.
        known: the plans of records; those of this one and of its fields are added.
        convert: makes a value of a type out of what has come.
    """
    if hint in known:
        return known[hint]
    cls: Any = typing.get_origin(hint) or hint
    arguments: Mapping[object, object] = dict(
        zip(getattr(cls, "__parameters__", ()), typing.get_args(hint), strict=False)
    )
    record = _Record(cls, convert)
    is_dict = typing.is_typeddict(cls)
    kinds: tuple[type, ...] = (dict,) if is_dict else (cls,)
    lower = record.lower_dict if is_dict else record.lower
    hints = {name: substituted(part, arguments) for name, part in hints_of(cls, where).items()}

    def find_fields(wire: object) -> bool:
        """Find the fields with ``wire`` as the record's own type; tell if msgspec knows all."""
        known[hint] = Plan(wire, lower, kinds, is_record=True, is_hashable=False)
        record.fields = tuple(
            _Field(attribute, name, plan_of(hints[attribute], f"{where}: {attribute}"), has_default)
            for attribute, name, has_default in _names_of(cls)
        )
        return all(field.plan.wire == _bare(hints[field.attribute]) for field in record.fields)

    before = set(known)
    if not find_fields(hint):
        # Records that have this one as the type of a field took it for a type of msgspec.
        for added in known.keys() - before:
            del known[added]
        find_fields(stand_in(cls.__name__, record.take))
    return known[hint]


def _bare(hint: object) -> object:
    """Return the type of a field without Required and NotRequired, which are of a TypedDict."""
    while typing.get_origin(hint) in (typing.Required, typing.NotRequired):
        hint = typing.get_args(hint)[0]
    return hint


def _names_of(cls: type[Any]) -> list[tuple[str, str, bool]]:
    """Return each field's attribute, its name on the wire, and whether it has a default."""
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return [
            (field.name, field.name, (field.default, field.default_factory) != (missing, missing))
            for field in dataclasses.fields(cls)
        ]
    if issubclass(cls, msgspec.Struct):
        return [
            (field.name, field.encode_name, not field.required)
            for field in msgspec.structs.fields(cls)
        ]
    if typing.is_typeddict(cls):
        required = cls.__required_keys__
        return [(name, name, name not in required) for name in cls.__annotations__]
    return [(name, name, name in cls._field_defaults) for name in cls._fields]


def _lowered(lower: Lower | None, value: object) -> object:
    return value if lower is None else lower(value)
