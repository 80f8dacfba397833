"""The allow-list of the decoder: incoming types, modules and classes.

Registered classes (``jelly.registry``) need no entry; everything else is denied without an entry.
"""

from __future__ import annotations

import types
from collections.abc import Set
from typing import Final, Protocol

__all__ = [
    "REGISTERED_NAME",
    "DummySecurityOptions",
    "Security",
    "SecurityOptions",
    "class_name",
    "shown_name",
]


REGISTERED_NAME: Final = "_broker_wire_name"
"""The attribute of a class with the name that it was registered under."""


class Security(Protocol):
    """The allow-list that the decoder uses; Twisted's SecurityOptions is one."""

    def isTypeAllowed(self, typeName: bytes | str, /) -> bool:
        """Whether an expression may start with this tag."""
        ...

    def isModuleAllowed(self, moduleName: bytes | str, /) -> bool:
        """Whether names of this module may be looked up."""
        ...

    def isClassAllowed(self, klass: type, /) -> bool:
        """Whether instances of this class may be sent and made."""
        ...


def class_name(cls: type) -> str:
    """Return the dotted name that a class has on the wire."""
    return f"{cls.__module__}.{cls.__name__}"


def shown_name(cls: type) -> str:
    """Return the name of a class for errors: its registered name, else its dotted name."""
    name: str | None = vars(cls).get(REGISTERED_NAME)
    return class_name(cls) if name is None else name


def _to_bytes(name: bytes | str) -> bytes:
    return name.encode("utf-8") if isinstance(name, str) else name


class SecurityOptions:
    """An allow-list that allows sets and the scalars at first (published).

    Attributes:
        allowedTypes, allowedModules, allowedClasses: dicts whose keys are allowed.
    """

    basicTypes = ("dictionary", "list", "tuple", "reference", "dereference", "unpersistable",
                  "persistent", "long_int", "long", "dict")  # fmt: skip

    def __init__(self) -> None:
        harmless = (
            b"None bool boolean string str int float datetime time date timedelta NoneType unicode"
            b" decimal set frozenset uuid.UUID"
        )
        self.allowedTypes: dict[bytes, int] = dict.fromkeys(harmless.split(), 1)
        self.allowedModules: dict[bytes, int] = {}
        self.allowedClasses: dict[type, int] = {}

    def allowBasicTypes(self) -> None:
        """Allow lists, tuples, dicts, and references within a message."""
        self.allowTypes(*self.basicTypes)

    def allowTypes(self, *types: type | bytes | str) -> None:
        """Allow tags, given by name or by the class with this name."""
        for item in types:
            name = class_name(item) if isinstance(item, type) else item
            self.allowedTypes[_to_bytes(name)] = 1

    def allowInstancesOf(self, *classes: type) -> None:
        """Allow instances of these classes, and with them the basic types, classes and modules."""
        self.allowBasicTypes()
        self.allowTypes("instance", "class", "classobj", "module")
        for cls in classes:
            self.allowTypes(cls)
            self.allowModules(cls.__module__)
            self.allowedClasses[cls] = 1

    def allowModules(self, *modules: types.ModuleType | bytes | str) -> None:
        """Allow names of these modules to be looked up."""
        for module in modules:
            name = module.__name__ if isinstance(module, types.ModuleType) else module
            self.allowedModules[_to_bytes(name)] = 1

    def allows_all(self, tags: Set[bytes]) -> bool:
        """Return whether all these tags are listed."""
        return tags <= self.allowedTypes.keys()

    def isTypeAllowed(self, typeName: bytes | str) -> bool:
        """Whether the tag is listed, or is dotted: its module and class are then checked next."""
        name = _to_bytes(typeName)
        return name in self.allowedTypes or b"." in name

    def isModuleAllowed(self, moduleName: bytes | str) -> bool:
        """Whether the module is listed."""
        return _to_bytes(moduleName) in self.allowedModules

    def isClassAllowed(self, klass: type) -> bool:
        """Whether the class is listed."""
        return klass in self.allowedClasses


class DummySecurityOptions:
    """Allows everything: for data that did not come from a peer (published)."""

    def isTypeAllowed(self, typeName: bytes | str) -> bool:
        """Return True."""
        return True

    def isModuleAllowed(self, moduleName: bytes | str) -> bool:
        """Return True."""
        return True

    def isClassAllowed(self, klass: type) -> bool:
        """Return True."""
        return True
