"""Determines the fields that a class declares, and the attributes that no peer may set.

The fields of a dataclass are those of ``dataclasses.fields``. The fields of another class are its
annotations and those of its bases. ClassVar, InitVar and KW_ONLY do not declare a field; Final
does. An annotation that is a string is parsed, not evaluated: only its first name is looked up. If
that name cannot be found, it is compared with ClassVar, InitVar and the other names by its text.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import sys
import types
import typing
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, ForwardRef, NamedTuple, TypeAlias, TypeVar

if sys.version_info >= (3, 14):
    import annotationlib

__all__ = [
    "Shape",
    "annotations_of",
    "engine_class",
    "fields_of",
    "found_in",
    "shape_of",
    "unstored_shape_of",
]

Class = TypeVar("Class", bound=type)
Field: TypeAlias = dataclasses.Field[Any]


class Shape(NamedTuple):
    """The declarations of a class.

    Attributes:
        names: its fields, in order.
        fields: the same as a set, for lookups.
        required: fields without a default, which a state must have.
        defaults: functions that return the defaults of a dataclass's fields. In other classes, the
            defaults are attributes of the class.
        computed: fields of a dataclass that only ``__post_init__`` sets.
        initvars: InitVars of a dataclass: arguments of ``__post_init__`` that are not fields.
        closed: attributes that no peer may set in any case: each ClassVar, and the attributes that
            belong to this library.
    """

    names: tuple[str, ...]
    fields: frozenset[str]
    required: tuple[str, ...]
    defaults: Mapping[str, Callable[[], object]]
    computed: tuple[str, ...]
    initvars: tuple[str, ...]
    closed: frozenset[str]


# The classes of this library whose annotations are not fields, and their reserved attributes.
_ENGINE: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()
# A cache: its entries are made from the classes, and are collected with them.
_SHAPES: weakref.WeakKeyDictionary[type, Shape] = weakref.WeakKeyDictionary()
_MISSING: Final = dataclasses.MISSING


def engine_class(*closed: str) -> Callable[[Class], Class]:
    """Return a decorator for a base class of this library, whose annotations are not fields.

    Args:
        closed: attributes of its instances that no peer may set.
    """

    def decorate(cls: Class) -> Class:
        _ENGINE[cls] = frozenset(closed)
        return cls

    return decorate


def shape_of(cls: type) -> Shape:
    """Return the declarations of a class, from a cache."""
    shape = _SHAPES.get(cls)
    if shape is None:
        shape = _SHAPES[cls] = unstored_shape_of(cls)
    return shape


def unstored_shape_of(cls: type) -> Shape:
    """Return the declarations of a class without storing them.

    Use it while a decorator may still make the class a dataclass.
    """
    declared: dict[str, Field | None] = {}
    closed: set[str] = set()
    initvars: set[str] = set()
    for base in reversed(cls.__mro__):
        fields, others = _declared_by(base)
        for name, kind in others.items():
            declared.pop(name, None)
            if kind is ClassVar:
                closed.add(name)
            elif kind is dataclasses.InitVar:
                initvars.add(name)
        if base not in _ENGINE:
            closed -= fields.keys()
            initvars -= fields.keys()
            declared.update(fields)
    every: dict[str, Field] = getattr(cls, "__dataclass_fields__", {})
    if "__dataclass_fields__" in vars(cls):
        # As in a dataclass, annotations of bases that are not dataclasses are ignored.
        declared = _declared_by(cls)[0]
    closed.update(*(_ENGINE.get(base, ()) for base in cls.__mro__))
    return _shape(
        cls, declared, tuple(name for name in every if name in initvars), frozenset(closed)
    )


def found_in(cls: type, name: str) -> object:
    """Return the attribute of a class or its bases, unbound, or MISSING."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return _MISSING


def fields_of(value: object) -> dict[str, object]:
    """Return the declared fields that an instance has."""
    found = {name: getattr(value, name, _MISSING) for name in shape_of(type(value)).names}
    return {name: item for name, item in found.items() if item is not _MISSING}


def _shape(
    cls: type, declared: dict[str, Field | None], initvars: tuple[str, ...], closed: frozenset[str]
) -> Shape:
    required: list[str] = []
    computed: list[str] = []
    defaults: dict[str, Callable[[], object]] = {}
    names = tuple(name for name in declared if not name.startswith("__") and name not in closed)
    for name in names:
        field = declared[name]
        if field is None:
            found = found_in(cls, name)
            if found is _MISSING or isinstance(found, types.MemberDescriptorType):
                required.append(name)
        elif field.default_factory is not _MISSING:
            defaults[name] = field.default_factory
        elif field.default is not _MISSING:
            defaults[name] = _constant(field.default)
        else:
            (required if field.init else computed).append(name)
    return Shape(
        names, frozenset(names), tuple(required), defaults, tuple(computed), initvars, closed
    )


def _constant(value: object) -> Callable[[], object]:
    return lambda: value


def _declared_by(base: type) -> tuple[dict[str, Field | None], dict[str, object]]:
    """Return the fields of one class, and its other annotated names with their kind.

    A field of a dataclass has its ``dataclasses.Field``, any other field None. The kind of another
    name is ClassVar, InitVar or KW_ONLY.
    """
    fields: dict[str, Field | None] = {}
    others: dict[str, object] = {}
    for name, annotation in annotations_of(base).items():
        kind = _kind_of(annotation, base)
        if kind is None:
            fields[name] = None
        else:
            others[name] = kind
    if "__dataclass_fields__" in vars(base):
        fields = {field.name: field for field in dataclasses.fields(base)}
        others = {name: kind for name, kind in others.items() if name not in fields}
    return fields, others


def annotations_of(base: type) -> Mapping[str, object]:
    """Return the annotations of one class, without those of its bases; some may be strings."""
    if sys.version_info >= (3, 14):
        form = annotationlib.Format.FORWARDREF
        return annotationlib.get_annotations(base, format=form)
    found: Mapping[str, object] = vars(base).get("__annotations__", {})
    return found


def _kind_of(annotation: object, base: type) -> object:
    """Return ClassVar, InitVar or KW_ONLY if an annotation is one of them; None for a field."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            return _kind_of_text(ast.parse(annotation.strip(), mode="eval").body, base)
        except (SyntaxError, ValueError):
            return None
    if isinstance(annotation, dataclasses.InitVar):
        return dataclasses.InitVar
    origin = typing.get_origin(annotation) or annotation
    for kind in (ClassVar, dataclasses.InitVar, dataclasses.KW_ONLY):
        if origin is kind:
            return kind
    if any(origin is wrapper for wrapper in _WRAPPERS) and typing.get_args(annotation):
        return _kind_of(typing.get_args(annotation)[0], base)
    return None


def _kind_of_text(node: ast.expr, base: type) -> object:
    if isinstance(node, ast.Constant):
        return _kind_of(node.value, base) if isinstance(node.value, str) else None
    head = node.value if isinstance(node, ast.Subscript) else node
    found = _named(head, base)
    if found is _MISSING:
        # The name may be imported only for type checkers.
        found = _BY_NAME.get(ast.unparse(head).rpartition(".")[2])
    if isinstance(node, ast.Subscript) and any(found is wrapper for wrapper in _WRAPPERS):
        first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
        return _kind_of_text(first, base)
    return None if isinstance(found, str | ForwardRef) else _kind_of(found, base)


def _named(node: ast.expr, base: type) -> object:
    """Return the object of a dotted name in the class or its module, or MISSING."""
    if isinstance(node, ast.Attribute):
        owner = _named(node.value, base)
        return _MISSING if owner is _MISSING else getattr(owner, node.attr, _MISSING)
    if not isinstance(node, ast.Name):
        return None
    module = vars(sys.modules.get(base.__module__, builtins))
    for names in (vars(base), module, vars(builtins)):
        if node.id in names:
            return names[node.id]
    return _MISSING


_WRAPPERS = (typing.Annotated, Final, typing.Required, typing.NotRequired)
_BY_NAME: dict[str, object] = {
    "ClassVar": ClassVar,
    "InitVar": dataclasses.InitVar,
    "KW_ONLY": dataclasses.KW_ONLY,
    "Annotated": typing.Annotated,
    "Final": Final,
}
