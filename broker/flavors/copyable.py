"""Copies: an object's state crosses the connection, and the peer makes an object of its own.

The annotations of a class say which fields a peer may send. Without such a list, a peer could set
any attribute, even one with a method's name. A strict policy refuses to register such a class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from broker.errors import ConfigError
from broker.failure import qual, wire_name
from broker.flavors.enums import register_enum
from broker.flavors.field_types import FieldTypes, check_state
from broker.flavors.naming import name_class, warn_of_unstable
from broker.flavors.plain_copies import check_plain_class, is_plain, register_plain
from broker.flavors.rebuilt import check_error_class
from broker.flavors.referenceable import Serializable
from jelly.atoms import Expression
from jelly.bases import Unjellyable, engine_hook
from jelly.errors import CannotJelly
from jelly.fields import annotations_of, fields_of, unstored_shape_of
from jelly.registry import defaults
from jelly.state import post_init_arguments, put_state

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["Copyable", "RemoteCopy", "register"]

Class = TypeVar("Class", bound=type)


class Copyable(Serializable):
    """An object that is sent as a copy of its state (published)."""

    def getStateToCopy(self) -> Any:
        """Return the state to send.

        The state is the declared fields of a dataclass, or of a class that is registered with
        ``broker.register`` and does not define ``setCopyableState``. Otherwise it is all
        attributes.
        """
        return fields_of(self) if _sends_fields(type(self)) else self.__dict__

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Return the state to send to ``perspective``."""
        return self.getStateToCopy()

    def getTypeToCopy(self) -> str | bytes:
        """Return the tag under which the peer has registered its class.

        The tag is the name that the class was registered under, else its dotted name. A class of
        ``__main__`` without a registered name is logged once, since no other program has that name.
        """
        tag = wire_name(type(self))
        check_own_name(type(self))
        warn_of_unstable(type(self), tag)
        return tag

    def getTypeToCopyFor(self, perspective: Any) -> str | bytes:
        """Return the tag to send to ``perspective``."""
        return self.getTypeToCopy()

    def getStateFor(self, jellier: Jellier) -> object:
        """Return the state to write without a connection.

        For a class that is registered with ``broker.register`` it is the declared fields. Otherwise
        it is the result of ``__getstate__``, as for an ordinary instance.
        """
        if type(self) in defaults.declared.with_fields:
            return fields_of(self)
        return self.__getstate__()

    def tag_and_state(self, jellier: Jellier) -> tuple[bytes, object]:
        """Return the two parts of this object's expression: its tag and its state."""
        broker: Invoker | None = jellier.invoker
        if broker is None:
            return super().tag_and_state(jellier)
        perspective = broker.serializingPerspective
        tag = to_tag(self.getTypeToCopyFor(perspective))
        return tag, self.getStateToCopyFor(perspective)

    def has_unshared_state(self, jellier: Jellier) -> bool:
        """Whether its state is made for one message: its class sends its declared fields."""
        cls = type(self)
        if jellier.invoker is None:
            is_own = cls.getStateFor is Copyable.getStateFor
            return is_own and cls in defaults.declared.with_fields
        return (cls.getStateToCopy, cls.getStateToCopyFor) == _STATE_HOOKS and _sends_fields(cls)

    @engine_hook
    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[tag, state]``."""
        expression = jellier.prepare(self)
        tag, state = self.tag_and_state(jellier)
        expression.extend([tag, jellier.jelly(state)])
        return jellier.preserve(self, expression)


_STATE_HOOKS = (Copyable.getStateToCopy, Copyable.getStateToCopyFor)


class RemoteCopy(Unjellyable):
    """The receiver's object for a copy (published)."""

    def setCopyableState(self, state: Any) -> None:
        """Set the received state, after all objects that it refers to exist.

        Raises:
            InsecureJelly: a field is not declared, or would hide an attribute of the class.
            MalformedJelly: the state is not a dict, a declared field without a default is missing,
                or the ``__post_init__`` of the class refuses the fields.
        """
        set_fields(self, state)

    def set_unjellied_state(self, unjellier: Unjellier, state: object) -> object:
        """Pass the state to ``setCopyableState``, or to the class's own ``setStateFor``."""
        if type(self).setStateFor is not Unjellyable.setStateFor:
            self.setStateFor(unjellier, state)
        else:
            take_state(self, state, unjellier.is_declared(type(self)))
        return None

    @engine_hook
    def unjellyFor(self, unjellier: Unjellier, jellyList: list[Any]) -> object:
        """Take the state from ``[tag, state]`` and return ``self``."""
        self.set_unjellied_state(unjellier, unjellier.unjelly(jellyList[1]))
        return self


@overload
def register(cls: Class, name: str | None = None, *, typed: bool = True) -> Class: ...
@overload
def register(cls: str, *, typed: bool = True) -> Callable[[Class], Class]: ...
@overload
def register(*, name: str, typed: bool = True) -> Callable[[Class], Class]: ...
def register(
    cls: type | str | None = None, name: str | None = None, *, typed: bool = True
) -> object:
    """Allow peers to send copies, errors or members of a class; usable as a decorator.

    ::

        @broker.register("chat.Message")
        @dataclass
        class Message:
            text: str

    A dataclass or a msgspec.Struct needs no base class: it is sent as the arguments of its
    constructor, which makes it at the receiver. A member of an Enum is sent as its value.

    The fields of a RemoteCopy and of an error are those of ``dataclasses.fields``, or of another
    class its annotations and those of its bases. ClassVar, InitVar and KW_ONLY do not declare a
    field. A peer must send each field that has no default, and cannot send other fields.
    ``__init__`` does not run. The ``__post_init__`` of a dataclass of copies runs, with the
    defaults of its InitVars.

    Args:
        cls: a dataclass, a msgspec.Struct, an Enum, a RemoteCopy with fields, a RemoteCache with
            fields, or an exception class; or the name alone, to make a decorator.
        name: the wire name of the class, in both directions: 1 to 128 characters of ``A-Z a-z 0-9 _
            . -``, the first a letter. Default: the class's dotted name.
        typed: whether the fields that a peer sends are converted and checked by their annotations.
            If not, the annotations are for readers only.

    Returns:
        ``cls``. An error that a remote method raises under the name of a registered error is raised
        as that error, with its text and its declared fields.

    Raises:
        ConfigError: a RemoteCopy that declares no fields, or whose ``__post_init__`` needs an
            InitVar without a default; a dataclass without a base that has an InitVar, or whose
            constructor takes other arguments than its fields; an Enum of more than 16 flags; a name
            that is not valid, or that another class has; a class of ``__main__`` without a name; an
            exception class that a peer cannot recreate: an ExceptionGroup, a class whose
            ``__new__`` needs more than the text, or a class that does not derive from Exception.
        TypeError: ``cls`` is not one of these classes.
    """
    if cls is None or isinstance(cls, str):
        if (cls is None) is (name is None):
            raise TypeError("register takes a class, a name, or both: register(cls, name)")
        return partial(register, name=name if cls is None else cls, typed=typed)
    if not isinstance(cls, type):
        raise TypeError(f"register takes a class, not {type(cls).__name__}")
    if issubclass(cls, Enum):
        register_enum(cls, name_class(cls, name).encode("utf-8"))
    else:
        _register_fields(cls, name)
        defaults.declared.with_fields.add(cls)
        if typed:
            defaults.declared.types[cls] = FieldTypes(cls)
        else:
            defaults.declared.types.pop(cls, None)
    return cls


def _register_fields(cls: type, name: str | None) -> None:
    """Register a class that has fields under its name; see :func:`register`."""
    is_error, is_copy = issubclass(cls, BaseException), issubclass(cls, RemoteCopy)
    if is_copy:
        _check_fields(cls)
    elif not is_error:
        _check_plain(cls, name)
    if is_error:
        check_error_class(cls)
    tag = name_class(cls, name)
    if is_error:
        defaults.declared.errors[tag] = cls
    if is_copy:
        defaults.declared.add_class(tag.encode("utf-8"), cls)
    elif not is_error:
        register_plain(cls, tag.encode("utf-8"))


def _check_fields(cls: type[RemoteCopy]) -> None:
    """Refuse a class if its instances could not receive their state.

    Raises:
        ConfigError: the instances could not receive their state.
    """
    # A decorator above this one may still add fields.
    shape = unstored_shape_of(cls)
    if not shape.fields and _has_default_setter(cls):
        raise ConfigError(
            f"{qual(cls)} declares no fields: make it a dataclass, annotate its fields, or"
            f" override setCopyableState"
        )
    if hasattr(cls, "__post_init__"):
        try:
            post_init_arguments(cls, shape)
        except TypeError as error:
            raise ConfigError(str(error)) from None


def _check_plain(cls: type, name: str | None) -> None:
    """Refuse a class that is neither a RemoteCopy nor an exception nor a plain class of fields.

    Raises:
        TypeError: it is another class.
        ConfigError: see ``plain_copies.check_plain_class``.
    """
    if issubclass(cls, Serializable) and not issubclass(cls, Copyable):
        raise TypeError(f"{qual(cls)} is sent as a reference, which needs no name")
    if not is_plain(cls):
        if annotations_of(cls):
            raise TypeError(
                f"{cls.__name__} is not a dataclass yet: put @broker.register above @dataclass"
            )
        raise TypeError(
            f"{qual(cls)} is not a dataclass, a msgspec.Struct, an Enum, an exception class, a"
            " RemoteCopy or a RemoteCache"
        )
    check_plain_class(cls, name or qual(cls))


def check_own_name(cls: type) -> None:
    """Refuse to send a copy of a subclass of a registered class that is not registered itself.

    Raises:
        CannotJelly: the class is not registered, and one of its bases is.
    """
    known = defaults.declared.with_fields
    if cls in known or known.isdisjoint(cls.__mro__):
        return
    if not defaults.published.knows(wire_name(cls).encode("utf-8")):
        base = next(each for each in cls.__mro__ if each in known)
        raise CannotJelly(
            f"{qual(cls)} cannot be sent: only its base {wire_name(base)} is registered; register"
            " it with @broker.register"
        )


def to_tag(name: str | bytes) -> bytes:
    """Return a tag as it is on the wire."""
    return name.encode("utf-8") if isinstance(name, str) else name


def declared_fields(cls: type) -> frozenset[str]:
    """Return the names of the fields that a class declares; see :func:`register`."""
    return unstored_shape_of(cls).fields


def set_fields(value: object, state: object) -> None:
    """Set the received fields of an instance; see ``RemoteCopy.setCopyableState``."""
    cls = type(value)
    put_state(value, check_state(cls, state), declared=cls in defaults.declared.with_fields)


def take_state(copy: RemoteCopy, state: object, declared: bool) -> None:
    """Pass the state to ``setCopyableState``, or set it as the policy requires.

    Args:
        copy: gets the state.
        state: as it was received.
        declared: whether only declared fields are allowed.
    """
    cls = type(copy)
    if _has_default_setter(cls):
        put_state(copy, check_state(cls, state), declared)
    else:
        copy.setCopyableState(state)


def _sends_fields(cls: type) -> bool:
    """Whether the state of a class of copies is its declared fields."""
    if dataclasses.is_dataclass(cls):
        return True
    return cls in defaults.declared.with_fields and _has_default_setter(cls)


def _has_default_setter(cls: type[RemoteCopy]) -> bool:
    return cls.setCopyableState is RemoteCopy.setCopyableState
