"""Values of a type: what is sent for one, and the check and conversion of one that has come.

A dataclass is sent as a dict of its fields, an Enum as its value, a UUID and a path as text, and an
object for a parameter whose type is a contract as a reference. All other values are sent as they
are, and msgspec converts those that come, in its strict mode.
"""

from __future__ import annotations

import collections.abc
import enum
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from broker.errors import ConfigError, WrongArguments
from broker.flavors.contracts.hints import is_contract, is_union, members_of, rebuilt, type_text
from broker.flavors.contracts.leaves import choice, copy_plan, enum_plan, lower_as, zoned_plan
from broker.flavors.contracts.plans import Lower, Plan, Planner
from broker.flavors.contracts.records import is_record, record_plan
from broker.flavors.contracts.sets import SETS, set_wire
from broker.flavors.contracts.stand_ins import Mismatch, check_supported, convert
from broker.flavors.contracts.stream_plans import STREAMS, item_hint, stream_plan
from broker.flavors.reference import RemoteReference
from jelly.bases import Jellyable
from jelly.leaves import SCALARS
from jelly.registry import defaults

__all__ = ["Value"]

_NATIVE = SCALARS | {date, time, timedelta, Decimal, list, dict, set, frozenset, tuple}
_SEQUENCES = frozenset(
    {list, tuple, collections.abc.Sequence, collections.abc.MutableSequence}
    | {collections.abc.Collection, collections.abc.Iterable}
)
_MAPPINGS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})


class Value:
    """A parameter's values, or a method's results.

    Args:
        hint: the type.
        where: begins the text of a ConfigError.
        references: makes the plan of a contract.
        error: makes the error for an item of a stream.

    Attributes:
        hint: the type.
        is_free: whether all values are taken, and sent as they are.
        exact: classes whose instances need neither a check nor a conversion.

    Raises:
        ConfigError: values of the type cannot be sent.
    """

    __slots__ = ("_lower", "_wire", "exact", "hint", "is_free")

    def __init__(
        self,
        hint: object,
        where: str,
        references: Planner,
        error: Callable[[str], Exception] = WrongArguments,
    ):
        known: dict[object, Plan] = {}

        def plan_of(hint: object, where: str) -> Plan:
            return _plan(hint, where, plan_of, references, known)

        items = item_hint(hint)
        if items is None:
            plan = plan_of(hint, where)
        else:
            each = Value(items[0], where, references, error)
            plan = stream_plan(hint, items[1], each.send, each.receive, error)
        try:
            check_supported(plan.wire)
        except TypeError as error:
            raise ConfigError(f"{where}: {error}") from None
        self.hint = hint
        self._wire, self._lower = plan.wire, plan.lower
        members = members_of(hint)
        self.is_free = plan.wire is Any
        self.exact = cast(
            "frozenset[type]",
            SCALARS.intersection(members) if SCALARS.issuperset(members) else frozenset(),
        )

    def receive(self, value: object) -> object:
        """Return a value that has come, as an instance of the type.

        Raises:
            Mismatch: it does not have the type.
        """
        return convert(value, self._wire)

    def send(self, value: object) -> object:
        """Return what is sent for a value.

        Raises:
            Mismatch: it does not have the type.
        """
        if self._lower is not None:
            try:
                value = self._lower(value)
            except RecursionError:
                raise Mismatch("it is nested too deeply") from None
        convert(value, self._wire)
        return value


def _plan(
    hint: object, where: str, plan_of: Planner, references: Planner, known: dict[object, Plan]
) -> Plan:
    """Return the plan of a type."""
    if hint is Any or hint is object:
        return Plan(Any)
    if hint is None or hint is type(None):
        return Plan(None, kinds=(type(None),))
    if is_contract(hint):
        return references(hint, where)
    origin = typing.get_origin(hint)
    if origin in (typing.Required, typing.NotRequired):
        return plan_of(typing.get_args(hint)[0], where)
    if origin is Annotated:
        return _annotated(hint, where, plan_of)
    if origin is Literal:
        return Plan(hint, kinds=tuple({type(value) for value in typing.get_args(hint)}))
    if is_union(hint):
        return _union(hint, where, plan_of)
    cls = origin or hint
    if cls is collections.abc.Callable:
        raise ConfigError(f"{where}: give it a contract with one method, or use broker.callback")
    if cls in STREAMS:
        raise ConfigError(f"{where}: a stream is a whole parameter, or a whole result")
    if isinstance(hint, typing.NewType):
        return plan_of(hint.__supertype__, where)
    if is_copied(cls):
        own: Callable[..., Plan] | None = getattr(cls, "_broker_plan", None)
        return copy_plan(cast("type", cls)) if own is None else own(hint, where, plan_of)
    if is_record(cls):
        return record_plan(hint, where, plan_of, known)
    if origin is not None and isinstance(cls, type):
        return _container(hint, cls, where, plan_of)
    return _leaf(hint, where)


def _leaf(hint: object, where: str) -> Plan:
    """Return the plan of a class without parts."""
    if hint in SETS:
        return Plan(set_wire(hint, hint, Any), kinds=(cast("type", hint),))
    if hint in _NATIVE:
        return Plan(hint, kinds=(cast("type", hint),))
    if hint is datetime:
        return zoned_plan()
    if hint is bytearray:
        return Plan(bytearray, lower_as(bytes, bytearray), (bytearray,))
    if isinstance(hint, type) and issubclass(hint, UUID | PurePath):
        return Plan(hint, lower_as(str, hint), (hint,))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return enum_plan(hint)
    if hint in _MAPPINGS | _SEQUENCES:
        return Plan(hint, kinds=(cast("type", hint),))
    if isinstance(hint, typing.TypeVar):
        raise ConfigError(f"{where}: the type variable {hint.__name__} is not fixed")
    raise ConfigError(
        f"{where}: a {type_text(hint)} cannot be sent: make it a dataclass, or register it with"
        f" @broker.register"
    )


def is_copied(cls: object) -> bool:
    """Return whether instances of a class are sent by their own rules, as copies or references."""
    if not isinstance(cls, type):
        return False
    # An Enum is sent as its value, whether it is registered or not.
    is_registered = cls in defaults.declared.with_fields and not issubclass(cls, enum.Enum)
    return is_registered or issubclass(cls, Jellyable | RemoteReference)


def _annotated(hint: object, where: str, plan_of: Planner) -> Plan:
    inner, *extras = typing.get_args(hint)
    plan = plan_of(inner, where)
    if plan.wire is Any:
        return plan
    wire: object = Annotated[(plan.wire, *extras)]
    try:
        check_supported(wire)
    except TypeError:
        # A constraint on a class of which a stand-in has the place: it is checked behind it.
        return _constrained(plan, Annotated[(inner, *extras)], where)
    return Plan(wire, plan.lower, plan.kinds, plan.is_record, plan.is_hashable)


def _constrained(plan: Plan, hint: object, where: str) -> Plan:
    try:
        check_supported(hint)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None
    wire = choice(type_text(hint), lambda value: convert(convert(value, plan.wire), hint))
    return Plan(wire, plan.lower, plan.kinds, is_hashable=plan.is_hashable)


def _union(hint: object, where: str, plan_of: Planner) -> Plan:
    members = [plan_of(member, where) for member in members_of(hint)]
    lower = _lower_member(members)
    kinds = tuple(kind for member in members for kind in member.kinds)
    is_hashable = all(member.is_hashable for member in members)
    if any(member.wire is Any for member in members):
        return Plan(Any)
    wire: object = typing.Union[tuple(cast("Any", member.wire) for member in members)]  # noqa: UP007
    try:
        check_supported(wire)
    except TypeError:
        if sum(member.is_record or dict in member.kinds for member in members) > 1:
            raise ConfigError(
                f"{where}: two classes in a union must be tagged msgspec.Structs"
            ) from None
        wire = choice(type_text(hint), _taker(members, type_text(hint)))
    return Plan(wire, lower, kinds, is_hashable=is_hashable)


def _taker(members: list[Plan], text: str) -> Callable[[object], object]:
    """Return a function that converts a value as the first member of a union that takes it.

    A member with the very class of the value comes first. Text is left out: it may stand for
    a UUID, so that the order of the union decides.
    """

    def take(value: object) -> object:
        is_text = type(value) is str
        fitting = [one for one in members if type(value) in one.kinds and not is_text]
        for member in (*fitting, *members):
            try:
                return convert(value, member.wire)
            except Mismatch:
                continue
        raise Mismatch(f"Expected `{text}`, got `{type(value).__name__}`")

    return take


def _lower_member(members: list[Plan]) -> Lower | None:
    """Return a function that lowers a value as the member of a union that it is of."""
    if all(member.lower is None for member in members):
        return None
    kinds = [member for member in members if member.kinds]
    others = [member for member in members if not member.kinds and member.lower is not None]

    def lower(value: object) -> object:
        for member in kinds:
            if isinstance(value, member.kinds):
                return value if member.lower is None else member.lower(value)
        for member in others:
            value = member.lower(value)  # type: ignore[misc]
        return value

    return lower


def _container(hint: object, cls: type, where: str, plan_of: Planner) -> Plan:
    """Return the plan of a generic container."""
    parts = typing.get_args(hint)
    plans = [Plan(Ellipsis) if part is Ellipsis else plan_of(part, where) for part in parts]
    wires = tuple(plan.wire for plan in plans)
    wire = hint if wires == parts else rebuilt(hint, wires)
    lowers = [plan.lower for plan in plans]
    lower: Lower | None = None
    if cls in _MAPPINGS:
        if not plans[0].is_hashable:
            raise ConfigError(f"{where}: a key of a dict cannot be a {type_text(parts[0])}")
        if any(lowers):
            lower = _lower_mapping(lowers[0], lowers[1])
    elif cls is tuple and Ellipsis not in parts:
        if any(lowers):
            lower = _lower_tuple(lowers)
    elif cls in _SEQUENCES or cls in SETS:
        if lowers[0] is not None:
            lower = _lower_elements(lowers[0], plans[0].is_hashable)
    else:
        raise ConfigError(f"{where}: a {type_text(hint)} cannot be sent")
    if cls in SETS:
        wire = set_wire(hint, wire, wires[0])
    return Plan(wire, lower, (cls,), is_hashable=cls in (tuple, frozenset) and not any(lowers))


def _lower_mapping(key: Lower | None, value: Lower | None) -> Lower:
    def lower(mapping: object) -> object:
        if not isinstance(mapping, collections.abc.Mapping):
            return mapping
        return {
            (key(name) if key else name): (value(part) if value else part)
            for name, part in mapping.items()
        }

    return lower


def _lower_tuple(lowers: list[Lower | None]) -> Lower:
    def lower(value: object) -> object:
        if not isinstance(value, tuple | list) or len(value) != len(lowers):
            return value
        pairs = zip(lowers, value, strict=True)
        return tuple(part if lower is None else lower(part) for lower, part in pairs)

    return lower


def _lower_elements(lower_one: Lower, is_hashable: bool) -> Lower:
    def lower(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(lower_one, value))
        if isinstance(value, set | frozenset) and is_hashable:
            return type(value)(map(lower_one, value))
        if isinstance(value, collections.abc.Collection) and not isinstance(value, str | bytes):
            return list(map(lower_one, value))
        return value

    return lower
