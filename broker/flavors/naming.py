"""The names of registered classes on the wire, and which names are valid.

A class without a registered name is called by module and class. That name must be the same in every
program. It differs if the module is the program itself: a module may be ``__main__`` when started
one way, and ``chat_server`` when started another way.
"""

from __future__ import annotations

import logging
import re

from broker.errors import ConfigError
from broker.failure import WIRE_NAME, qual, wire_name
from jelly import atoms
from jelly.registry import defaults

__all__ = ["checked_name", "is_unstable", "name_class", "warn_of_unstable"]

logger = logging.getLogger("broker.flavors")

# Modules whose names depend on how a program was started. ``pb run`` gives the last name to the
# files that it runs.
_UNSTABLE = frozenset({"__main__", "__mp_main__", "__application__"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", re.ASCII)
_WARNED = "_broker_is_warned"
# Tags with another meaning on the wire: those of jelly, and of references and caches.
_OTHER_TAGS = (
    "bool str float long long_int dict classobj instancemethod"
    " remote local copy cache cached lcache"
)
_TAKEN = {
    *(value.decode() for value in vars(atoms).values() if isinstance(value, bytes)),
    *_OTHER_TAGS.split(),
}


def is_unstable(cls: type) -> bool:
    """Whether the module name of a class depends on how the program was started."""
    return cls.__module__ in _UNSTABLE


def name_class(cls: type, name: str | None) -> str:
    """Set and return the wire name of a class, for sending and receiving.

    Args:
        cls: the class.
        name: 1 to 128 characters of ``A-Z a-z 0-9 _ . -``, the first a letter. Default: the dotted
            name of the class.

    Raises:
        ConfigError: the name is not valid, another class has it, or the class needs one since its
            module is ``__main__``.
    """
    if name is None:
        if is_unstable(cls) and WIRE_NAME not in vars(cls):
            raise ConfigError(
                f"{cls.__name__} is defined in {cls.__module__}, whose name differs from program to"
                f' program; name it: @broker.register("app.{cls.__name__}")'
            )
        tag = wire_name(cls)
    else:
        tag = checked_name(cls, name)
    _refuse_taken(tag, cls)
    if name is not None:
        try:
            setattr(cls, WIRE_NAME, tag)
        except TypeError:
            raise ConfigError(f"{qual(cls)} is built in and keeps its own name") from None
    return tag


def checked_name(cls: type, name: str) -> str:
    """Return a name for a class.

    Raises:
        ConfigError: it is not valid; see :func:`name_class`.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ConfigError(
            f"{name[:128]!r} cannot be the name of {cls.__name__}: a name is 1 to 128 characters"
            " of A-Z a-z 0-9 _ . -, begins with a letter, and is not a tag of jelly"
        )
    return name


def warn_of_unstable(cls: type, tag: str) -> None:
    """Log one warning for a class that is sent under a name that only this program has."""
    if is_unstable(cls) and tag == f"{cls.__module__}.{cls.__name__}" and _WARNED not in vars(cls):
        setattr(cls, _WARNED, True)
        logger.warning(
            "%s is sent under a name that only this program has; name the class:"
            ' @broker.register("app.%s")',
            tag,
            cls.__name__,
        )


def _refuse_taken(tag: str, cls: type) -> None:
    declared = defaults.declared
    known = [declared.classes.get(tag.encode()), declared.errors.get(tag)]
    known += [other for other, form in declared.forms.items() if form.tag == tag.encode()]
    for other in known:
        if other is not None and _identity(other) != _identity(cls):
            raise ConfigError(
                f"'{tag}' is registered for {other.__module__}.{other.__qualname__};"
                f" give {cls.__name__} another name"
            )


def _identity(cls: type) -> tuple[str, str]:
    # A module that is reloaded has other classes of the same names.
    return cls.__module__, cls.__qualname__
