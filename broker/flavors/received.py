"""Exceptions that are both of a registered class and RemoteErrors, for published programs.

Theory of operation. Programs that were written for Twisted catch every error of a peer as
RemoteError. Other programs catch the class that they registered. So the raised exception must have
both as bases. Its class is created once for each registered class, when the first such error is
received, and the registered class keeps it. The created class looks like the registered class as
far as Python allows. Name, module and text are the same, and so is ``__class__``, which dataclasses
compare. Creating it does not run code of the registered class.
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

# The attribute of a registered class that holds the class created for it.
_RECEIVED = "_broker_received"
# The same for classes that do not accept an attribute. These live as long as the interpreter.
_OF_BUILTINS: dict[type, type] = {}
_ATTRIBUTES = ("remoteType", "value", "remoteTraceback", "method", "type_name")
# These define the fields of a dataclass; a dataclass ignores those of its bases.
_OF_DATACLASSES = ("__dataclass_fields__", "__dataclass_params__")


class _Before:
    """The first base: overrides parts of the registered class that must not apply."""

    __slots__ = ()
    # An annotation would be a field of the registered class.
    _broker_registered = cast(Any, None)

    def __init_subclass__(cls, **options: object) -> None:
        """Override that of the registered class, which may register the subclass or refuse it."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self)._broker_registered

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return _received_again, (_moved(self, type(self)._broker_registered),)


class _After(RemoteError):
    """The last base before RemoteError's: hides RemoteError's methods from the registered class."""

    def __init__(self, *args: object, **keywords: object):
        super(RemoteError, self).__init__(*args, **keywords)

    def __str__(self) -> str:
        return super(RemoteError, self).__str__()

    text_within = cast(Any, None)


def received_class(cls: type[Raised]) -> type[Raised]:
    """Return the class of an error of a registered class that a peer sent.

    It is a subclass of ``cls`` and of RemoteError. It is ``cls`` itself if ``cls`` is a
    RemoteError, or if Python does not allow such a subclass.
    """
    made = vars(cls).get(_RECEIVED) or _OF_BUILTINS.get(cls)
    if made is None:
        made = cls if issubclass(cls, RemoteError) else _made(cls)
        try:
            # Bypasses the metaclass.
            type.__setattr__(cls, _RECEIVED, made)
        except TypeError:
            _OF_BUILTINS[cls] = made
    return made


def as_received(error: Raised, remote: RemoteError) -> Raised:
    """Return an error as one that came from a peer.

    Args:
        error: the recreated error; it must not be used afterwards.
        remote: the RemoteError for the case that the class is not registered. Its attributes are
            set on the error too, unless the class defines the name.
    """
    cls = type(error)
    received = error
    made = received_class(cls)
    if made is not cls:
        try:
            received = _moved(error, made)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a ``__new__`` may refuse another class
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


def _moved(error: Any, cls: type[Raised]) -> Raised:
    """Return an exception of another class, with the same arguments and state."""
    moved = cls.__new__(cls, *error.args)
    # Works for a frozen dataclass too, here and below.
    object.__setattr__(moved, "args", error.args)
    state: Any = object.__getstate__(error)
    attributes, slots = state if type(state) is tuple else (state, None)
    vars(moved).update(attributes or {})
    for name, item in (slots or {}).items():
        object.__setattr__(moved, name, item)
    return moved


def _received_again(error: Raised) -> Raised:
    """Return the unpickled exception unchanged."""
    return _moved(error, received_class(type(error)))
