"""Objects that are copied: what crosses is their state, and the peer makes an object of its own.

A class says which fields may come in, by its annotations. Without such a list a peer could set any
attribute, a method's name among them; a strict policy registers no such class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from broker.errors import ConfigError
from broker.failure import qual, wire_name
from broker.flavors.naming import name_class, warn_of_unstable
from broker.flavors.rebuilt import check_error_class
from broker.flavors.referenceable import Serializable
from jelly.atoms import Expression
from jelly.bases import Unjellyable, engine_hook
from jelly.fields import fields_of, unstored_shape_of
from jelly.registry import defaults
from jelly.state import post_init_arguments, put_state

if TYPE_CHECKING:
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["Copyable", "RemoteCopy", "register"]

Class = TypeVar("Class", bound=type)


class Copyable(Serializable):
    """An object that goes out as a copy of its state (published)."""

    def getStateToCopy(self) -> Any:
        """Return the state to send.

        That is the declared fields of a dataclass, and of a class that is registered with
        ``broker.register`` and has no ``setCopyableState`` of its own; else all attributes.
        """
        return fields_of(self) if _sends_fields(type(self)) else self.__dict__

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
        """Return the state to write where no connection is involved.

        That is the declared fields of a class that is registered with ``broker.register``; else
        what ``__getstate__`` returns, as for an ordinary instance.
        """
        if type(self) in defaults.declared.with_fields:
            return fields_of(self)
        return self.__getstate__()

    def tag_and_state(self, jellier: Jellier) -> tuple[bytes, Any]:
        """Return what the expression of this object consists of: its tag, and its state."""
        if jellier.invoker is None:
            return super().tag_and_state(jellier)
        perspective = jellier.invoker.serializingPerspective
        tag = to_tag(self.getTypeToCopyFor(perspective))
        return tag, self.getStateToCopyFor(perspective)

    def has_unshared_state(self, jellier: Jellier) -> bool:
        """Whether its state is made for one message: its class sends its fields."""
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
    """What a copy becomes at the side that receives it (published)."""

    def setCopyableState(self, state: Any) -> None:
        """Take over the state that came in, once what it refers to exists.

        Raises:
            InsecureJelly: a field is not declared, or would hide what the class defines.
            MalformedJelly: the state is no dict, a declared field without a default is missing, or
                the ``__post_init__`` of the class refuses the fields.
        """
        set_fields(self, state)

    def set_unjellied_state(self, unjellier: Unjellier, state: Any) -> None:
        """Hand the state to ``setCopyableState``, or to a ``setStateFor`` of the class's own."""
        if type(self).setStateFor is not Unjellyable.setStateFor:
            self.setStateFor(unjellier, state)
        else:
            take_state(self, unjellier, state)

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

    The fields of a dataclass are those of ``dataclasses.fields``; the fields of another class are
    its annotations and those of its bases. ClassVar, InitVar and KW_ONLY declare no field. A peer
    must send each field that has no default, and can send no others. ``__init__`` does not run;
    the ``__post_init__`` of a dataclass of copies does, with the defaults of its InitVars.

    Args:
        cls: a RemoteCopy with fields, a RemoteCache with fields, or an exception class; or
            the name alone, to make a decorator.
        name: what the class is called on the wire, in both directions: 1 to 128 characters of
            ``A-Z a-z 0-9 _ . -``, the first a letter. The class's own dotted name unless given.

    Returns:
        ``cls``. What a remote method raises under the name of a registered error arrives as that
        error, with its text and its declared fields.

    Raises:
        ConfigError: a RemoteCopy that declares no fields, or whose ``__post_init__`` needs an
            InitVar without a default; a name that cannot be one, or that another class has; a class
            of ``__main__`` without a name; an exception class that a peer could not make again,
            such as an ExceptionGroup, one whose ``__new__`` wants more than the text, or no
            Exception.
        TypeError: something else than these classes.
    """
    if cls is None or isinstance(cls, str):
        if (cls is None) is (name is None):
            raise TypeError("register takes a class, a name, or both: register(cls, name)")
        return partial(register, name=name if cls is None else cls)
    if not isinstance(cls, type):
        raise TypeError(f"register takes a class, not {type(cls).__name__}")
    is_error, is_copy = issubclass(cls, BaseException), issubclass(cls, RemoteCopy)
    if not is_error and not is_copy:
        raise TypeError(f"{qual(cls)} is neither a RemoteCopy nor an exception")
    if is_copy:
        _check_fields(cls)
    if is_error:
        check_error_class(cls)
    tag = name_class(cls, name)
    if is_error:
        defaults.declared.errors[tag] = cls
    if is_copy:
        defaults.declared.add_class(tag.encode("utf-8"), cls)
    defaults.declared.with_fields.add(cls)
    return cls


def _check_fields(cls: type[RemoteCopy]) -> None:
    """Refuse a class whose state could not be put into its instances.

    Raises:
        ConfigError: it is such a class.
    """
    # A decorator that stands above this one may still add fields.
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


def to_tag(name: str | bytes) -> bytes:
    """Return a tag as the wire has it."""
    return name.encode("utf-8") if isinstance(name, str) else name


def declared_fields(cls: type) -> frozenset[str]:
    """Return the names of the fields that a class declares; see :func:`register`."""
    return unstored_shape_of(cls).fields


def set_fields(value: Any, state: Any) -> None:
    """Give an instance the fields that came in; see ``RemoteCopy.setCopyableState``."""
    put_state(value, state, declared=type(value) in defaults.declared.with_fields)


def take_state(copy: RemoteCopy, unjellier: Unjellier, state: Any) -> None:
    """Hand the state to ``setCopyableState``, or do its work as the policy wants it."""
    cls = type(copy)
    if _has_default_setter(cls):
        put_state(copy, state, unjellier.is_declared(cls))
    else:
        copy.setCopyableState(state)


def _sends_fields(cls: Any) -> bool:
    """Whether the declared fields of a class of copies are its state."""
    if dataclasses.is_dataclass(cls):
        return True
    return cls in defaults.declared.with_fields and _has_default_setter(cls)


def _has_default_setter(cls: type[RemoteCopy]) -> bool:
    return cls.setCopyableState is RemoteCopy.setCopyableState
