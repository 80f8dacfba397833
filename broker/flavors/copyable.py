"""Objects that are copied: what crosses is their state, and the peer makes an object of its own.

A class says which fields may come in, by its annotations. Without such a list a peer could set any
attribute, a method's name among them; a strict policy registers no such class.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from broker.errors import ConfigError
from broker.failure import qual, wire_name
from broker.flavors.naming import name_class, warn_of_unstable
from broker.flavors.referenceable import Serializable
from jelly.atoms import Expression, text_of
from jelly.bases import Unjellyable, engine_hook
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.registry import defaults

if TYPE_CHECKING:
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["Copyable", "RemoteCopy", "register"]

Class = TypeVar("Class", bound=type)


class Copyable(Serializable):
    """An object that goes out as a copy of its state (published)."""

    def getStateToCopy(self) -> Any:
        """Return the state to send; the declared fields of a dataclass, else all attributes."""
        if dataclasses.is_dataclass(type(self)):
            return {name: getattr(self, name) for name in field_names(type(self))}
        return self.__dict__

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Return the state to send to ``perspective``."""
        return self.getStateToCopy()

    def getTypeToCopy(self) -> str | bytes:
        """Return the tag under which the peer has registered its class.

        It is the name that the class was registered under, else its dotted name. A class of
        ``__main__`` without a registered name is logged once, since no other program has that name.
        """
        tag = wire_name(type(self))
        warn_of_unstable(type(self), tag)
        return tag

    def getTypeToCopyFor(self, perspective: Any) -> str | bytes:
        """Return the tag to send to ``perspective``."""
        return self.getTypeToCopy()

    def getStateFor(self, jellier: Jellier) -> Any:
        """Return the state to write where no connection is involved."""
        return self.getStateToCopy()

    def tag_and_state(self, jellier: Jellier) -> tuple[bytes, Any]:
        """Return what the expression of this object consists of: its tag, and its state."""
        if jellier.invoker is None:
            return super().tag_and_state(jellier)
        perspective = jellier.invoker.serializingPerspective
        tag = to_tag(self.getTypeToCopyFor(perspective))
        return tag, self.getStateToCopyFor(perspective)

    @engine_hook
    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[tag, state]``."""
        expression = jellier.prepare(self)
        tag, state = self.tag_and_state(jellier)
        expression.extend([tag, jellier.jelly(state)])
        return jellier.preserve(self, expression)


class RemoteCopy(Unjellyable):
    """What a copy becomes at the side that receives it (published)."""

    def setCopyableState(self, state: Any) -> None:
        """Take over the state that came in, once what it refers to exists.

        Raises:
            InsecureJelly: a field is not declared, or would hide what the class defines.
            MalformedJelly: the state is no dict, or a declared field is missing.
        """
        set_fields(self, state)

    def set_unjellied_state(self, unjellier: Unjellier, state: Any) -> None:
        """Hand the state to ``setCopyableState``, or to a ``setStateFor`` of the class's own."""
        if type(self).setStateFor is not Unjellyable.setStateFor:
            self.setStateFor(unjellier, state)
        else:
            self.setCopyableState(state)

    @engine_hook
    def unjellyFor(self, unjellier: Unjellier, jellyList: list[Any]) -> Any:
        """Take the state from ``[tag, state]`` and return ``self``."""
        self.set_unjellied_state(unjellier, unjellier.unjelly(jellyList[1]))
        return self


@overload
def register(cls: Class, name: str | None = None) -> Class: ...
@overload
def register(cls: str) -> Callable[[Class], Class]: ...
@overload
def register(*, name: str) -> Callable[[Class], Class]: ...
def register(cls: Any = None, name: str | None = None) -> Any:
    """Let a class of copies, or of errors, come in from peers; usable as a decorator.

    ::

        @broker.register("chat.Message")
        @dataclass
        class Message(broker.Copyable, broker.RemoteCopy):
            text: str

    Args:
        cls: a RemoteCopy whose annotations are its fields, a RemoteCache, or an exception class; or
            the name alone, to make a decorator.
        name: what the class is called on the wire, in both directions: 1 to 128 characters of
            ``A-Z a-z 0-9 _ . -``, the first a letter. The class's own dotted name unless given.

    Returns:
        ``cls``. Instances of a RemoteCopy get the declared fields and no others; what a remote
        method raises under the name of a registered error arrives as that error.

    Raises:
        ConfigError: a RemoteCopy that declares no fields; a name that cannot be one, or that
            another class has; a class of ``__main__`` without a name.
        TypeError: something else than these classes.
    """
    if cls is None or isinstance(cls, str):
        if (cls is None) is (name is None):
            raise TypeError("register takes a class, a name, or both: register(cls, name)")
        return partial(register, name=name if cls is None else cls)
    if not isinstance(cls, type):
        raise TypeError(f"register takes a class, not {type(cls).__name__}")
    tag = name_class(cls, name)
    if issubclass(cls, BaseException):
        defaults.declared.errors[tag] = cls
    if issubclass(cls, RemoteCopy):
        if not declared_fields(cls) and _has_default_setter(cls):
            raise ConfigError(
                f"{qual(cls)} declares no fields: make it a dataclass, annotate its fields, or"
                f" override setCopyableState"
            )
        defaults.declared.add_class(tag.encode("utf-8"), cls)
        defaults.declared.fields[cls] = declared_fields(cls)
    elif not issubclass(cls, BaseException):
        raise TypeError(f"{qual(cls)} is neither a RemoteCopy nor an exception")
    return cls


def to_tag(name: str | bytes) -> bytes:
    """Return a tag as the wire has it."""
    return name.encode("utf-8") if isinstance(name, str) else name


def declared_fields(cls: type) -> frozenset[str]:
    """Return the fields that a class declares, by dataclass or annotations.

    Annotations of our own bases do not count.
    """
    fields: set[str] = set()
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("broker.flavors."):
            fields.update(vars(base).get("__annotations__", {}))
    return frozenset(fields)


def set_fields(value: Any, state: Any) -> None:
    """Give an instance the fields that came in; see ``RemoteCopy.setCopyableState``."""
    cls = type(value)
    if not isinstance(state, dict):
        raise MalformedJelly(f"state of {cls.__name__} is no dictionary")
    # Of classes that ``register`` knows; annotations of others are for type checkers only.
    declared = defaults.declared.fields.get(cls)
    for key in state:
        if not isinstance(key, str):
            raise MalformedJelly(f"state of {cls.__name__} with a key of {type(key).__name__}")
        if declared is not None and key not in declared:
            raise InsecureJelly(f"field '{text_of(key)}' is not declared by {qual(cls)}")
        if key.startswith("__") or callable(getattr(cls, key, None)):
            raise InsecureJelly(f"field '{text_of(key)}' hides what {qual(cls)} defines")
    if dataclasses.is_dataclass(cls):
        state = {**_missing_defaults(cls, state), **state}
    for key, item in state.items():
        if isinstance(getattr(cls, key, None), types.MemberDescriptorType):
            # A slot, also of an instance whose bases give it a dict; past a frozen class's guard.
            object.__setattr__(value, key, item)
        else:
            vars(value)[key] = item


def field_names(cls: Any) -> list[str]:
    """Return the names of a dataclass's fields, in order."""
    return [field.name for field in dataclasses.fields(cls)]


def _missing_defaults(cls: Any, state: dict[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name in state:
            continue
        if field.default is not dataclasses.MISSING:
            filled[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            filled[field.name] = field.default_factory()
        else:
            raise MalformedJelly(f"field '{field.name}' of {qual(cls)} is missing")
    return filled


def _has_default_setter(cls: type[RemoteCopy]) -> bool:
    return cls.setCopyableState is RemoteCopy.setCopyableState
