"""Exceptions that are of a registered class and RemoteErrors, too: what published programs catch.

Theory of operation. Programs that were written for Twisted catch whatever a peer has raised as
RemoteError; others catch the class that they registered. So both must be bases of what is raised.
Its class is made once for each registered class, when the first such error comes, and is kept by
that class. It stands for the registered class wherever Python lets it: name, module and text are
the same, and so is ``__class__``, which dataclasses compare. No code of the registered class runs
when it is made.
"""

from __future__ import annotations

from abc import ABCMeta
from dataclasses import MISSING
from typing import Any, TypeVar, cast

from broker.errors import RemoteError
from broker.failure import WIRE_NAME, wire_name
from jelly.fields import found_in

__all__ = ["as_received", "received_class"]

Raised = TypeVar("Raised", bound=BaseException)

# The attribute of a registered class that holds what was made for it.
_RECEIVED = "_broker_received"
# The same of classes that take no attribute, which live as long as the interpreter.
_OF_BUILTINS: dict[type, type] = {}
_ATTRIBUTES = ("remoteType", "value", "remoteTraceback", "method", "type_name")
# A dataclass has its fields by these, and not by those of its bases.
_OF_DATACLASSES = ("__dataclass_fields__", "__dataclass_params__")


class _Before:
    """The first base: what the class made here must not have from the registered class."""

    __slots__ = ()
    # Annotations would be fields of the registered class.
    _broker_registered = cast(Any, None)

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep away that of the registered class, which may register, or refuse."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self)._broker_registered

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _received_again, (_moved(self, type(self)._broker_registered),)


class _After(RemoteError):
    """The last base but those of RemoteError: the registered class never reaches those."""

    def __init__(self, *args: object, **keywords: object):
        super(RemoteError, self).__init__(*args, **keywords)

    def __str__(self) -> str:
        return super(RemoteError, self).__str__()

    text_within = cast(Any, None)


def received_class(cls: type[Raised]) -> type[Raised]:
    """Return the class of an error of a registered class that came from a peer.

    It is a subclass of ``cls`` and of RemoteError; ``cls`` itself where it is a RemoteError, or
    where Python allows no such class.
    """
    made = vars(cls).get(_RECEIVED) or _OF_BUILTINS.get(cls)
    if made is None:
        made = cls if issubclass(cls, RemoteError) else _made(cls)
        try:
            # Past the metaclass.
            type.__setattr__(cls, _RECEIVED, made)
        except TypeError:
            _OF_BUILTINS[cls] = made
    return made


def as_received(error: Raised, remote: RemoteError) -> Raised:
    """Return an error as one that came from a peer.

    Args:
        error: as it was made from what crossed; it is not used again.
        remote: the RemoteError that it would be if its class was not registered. Its attributes
            are the error's too, where the class has none of the name.
    """
    cls = type(error)
    received = error
    made = received_class(cls)
    if made is not cls:
        try:
            received = _moved(error, made)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a ``__new__`` that wants no other class
            return error
    is_remote = issubclass(cls, RemoteError)
    for name in _ATTRIBUTES:
        if is_remote or found_in(cls, name) is MISSING:
            vars(received).setdefault(name, getattr(remote, name))
    return received


def _made(cls: type[BaseException]) -> type[BaseException]:
    own = vars(cls)
    names = {name: own[name] for name in ("__doc__", *_OF_DATACLASSES) if name in own}
    names |= {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    names |= {"_broker_registered": cls, WIRE_NAME: wire_name(cls)}
    meta: Any = type(cls)
    make = ABCMeta.__new__ if issubclass(meta, ABCMeta) else type.__new__
    made: type[BaseException]
    try:
        made = make(meta, cls.__name__, (_Before, cls, _After), names)
    except TypeError:
        return cls
    return made


def _moved(error: Any, cls: type[Any]) -> Any:
    """Return an exception of another class, with the arguments and the state of this one."""
    moved = cls.__new__(cls, *error.args)
    # Past the guard of a frozen dataclass, here and below.
    object.__setattr__(moved, "args", error.args)
    state: Any = object.__getstate__(error)
    attributes, slots = state if type(state) is tuple else (state, None)
    vars(moved).update(attributes or {})
    for name, item in (slots or {}).items():
        object.__setattr__(moved, name, item)
    return moved


def _received_again(error: Any) -> Any:
    """Return what was pickled, as it was."""
    return _moved(error, received_class(type(error)))
