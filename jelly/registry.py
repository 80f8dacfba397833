"""Which class an incoming tag becomes: registries, and the published functions that fill one."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from jelly.atoms import text_of
from jelly.errors import InsecureJelly
from jelly.refusals import not_registered
from jelly.security import SecurityOptions, class_name

__all__ = [
    "Defaults",
    "Registry",
    "defaults",
    "setUnjellyableFactoryForClass",
    "setUnjellyableForClass",
    "setUnjellyableForClassTree",
]


class Registry:
    """Tags to classes, tags to factories, and names of errors to exception classes.

    A registry may stand on others, which are asked, in order, for what it does not know itself.
    """

    def __init__(self, *bases: Registry) -> None:
        self.classes: dict[bytes, Any] = {}
        self.factories: dict[bytes, Callable[[Any], Any]] = {}
        # Exception classes by the name that they have on the wire.
        self.errors: dict[str, type[BaseException]] = {}
        # Classes that get the fields which they declare, and no others; see ``jelly.fields``.
        self.with_fields: set[type] = set()
        self._bases = bases

    def add_class(self, tag: bytes, cls: Any) -> None:
        """Let expressions that start with ``tag`` become instances of ``cls``."""
        self.classes[tag] = cls

    def add_factory(self, tag: bytes, factory: Callable[[Any], Any]) -> None:
        """Let expressions that start with ``tag`` become ``factory(state)``."""
        self.factories[tag] = factory

    def class_for(self, tag: bytes) -> Any:
        """Return the class, or callable, of a tag, or None."""
        found = self.classes.get(tag)
        for base in self._bases:
            found = found or base.class_for(tag)
        return found

    def knows(self, tag: bytes) -> bool:
        """Return whether a tag has a class or a factory."""
        return self.class_for(tag) is not None or self.factory_for(tag) is not None

    def factory_for(self, tag: bytes) -> Callable[[Any], Any] | None:
        """Return the factory of a tag, or None."""
        found = self.factories.get(tag)
        for base in self._bases:
            found = found or base.factory_for(tag)
        return found


def _global_security() -> SecurityOptions:
    options = SecurityOptions()
    options.allowBasicTypes()
    return options


class Defaults(Struct):
    """The settings that PB's published module-level names share; nothing else here is global.

    Attributes:
        published: what the ``setUnjellyableFor…`` family registered.
        declared: what ``broker.register`` registered, with declared fields.
        security: the published ``globalSecurity``.
        size_limit: ``banana.SIZE_LIMIT``, bytes of a string and elements of a list.
        prefix_limit: what ``banana.setPrefixLimit`` set, in bytes.
        max_broker_refs: ``pb.MAX_BROKER_REFS``, live references of a connection.
    """

    published: Registry = field(default_factory=Registry)
    declared: Registry = field(default_factory=Registry)
    security: SecurityOptions = field(default_factory=_global_security)
    size_limit: int = 640 * 1024
    prefix_limit: int = 64
    max_broker_refs: int = 1024


defaults = Defaults()


def _tag_of(classname: type | bytes | str) -> bytes:
    if isinstance(classname, type):
        classname = class_name(classname)
    return classname.encode("utf-8") if isinstance(classname, str) else classname


def setUnjellyableForClass(classname: type | bytes | str, unjellyable: Any) -> None:
    """Let instances of a peer's class become instances of ``unjellyable`` here (published).

    Args:
        classname: the peer's class name on the wire, or the class that has it.
        unjellyable: a class whose blank instances have ``unjellyFor(unjellier, jellyList)``, or a
            function called as ``unjellyable(unjellier, jellyList)``.
    """
    tag = _tag_of(classname)
    defaults.published.add_class(tag, unjellyable)
    defaults.security.allowTypes(tag)


def setUnjellyableFactoryForClass(
    classname: type | bytes | str, copyFactory: Callable[[Any], Any]
) -> None:
    """Let instances of a peer's class become ``copyFactory(state)`` here (published)."""
    tag = _tag_of(classname)
    defaults.published.add_factory(tag, copyFactory)
    defaults.security.allowTypes(tag)


def setUnjellyableForClassTree(
    module: types.ModuleType, baseClass: type, prefix: str | None = None
) -> None:
    """Register a module's subclasses of ``baseClass``, each as ``prefix.Class`` (published).

    Args:
        module: where the classes are looked for.
        baseClass: only its subclasses, and itself, are registered.
        prefix: the module name on the wire; the module's own unless given. An empty string
            registers the bare class names.
    """
    if prefix is None:
        prefix = module.__name__
    if prefix:
        prefix += "."
    for name, cls in vars(module).items():
        if isinstance(cls, type) and issubclass(cls, baseClass):
            setUnjellyableForClass(prefix + name, cls)


def named_class(name: str, security: Any) -> type:
    """Return the class of a dotted name that ``security`` allows; nothing is imported otherwise.

    Raises:
        InsecureJelly: module or class is not allowed, or the name is no class.
    """
    found = named_object(name, security)
    if not isinstance(found, type):
        raise InsecureJelly(f"type '{text_of(name)}' is not a class")
    if not security.isClassAllowed(found):
        raise not_registered(name)
    return found


def named_object(name: str, security: Any) -> Any:
    """Return the attribute that a dotted name ends in, of a module that ``security`` allows.

    It may also be of a class in such a module, whose dotted name ``security`` must allow as well.
    """
    owner, _, attribute = name.rpartition(".")
    if not owner or not security.isModuleAllowed(owner):
        raise not_registered(name)
    try:
        return getattr(_module_or_class(owner, security), attribute)
    except AttributeError:
        raise InsecureJelly(f"type '{text_of(name)}' does not exist") from None


def _module_or_class(name: str, security: Any) -> types.ModuleType | type:
    try:
        return load_module(name, security)
    except InsecureJelly:
        if "." not in name:
            raise
        try:
            found = named_object(name, security)
        except InsecureJelly:
            found = None
        if not isinstance(found, type):
            raise
        return found


def load_module(name: str, security: Any) -> types.ModuleType:
    """Import and return a module that ``security`` allows.

    Raises:
        InsecureJelly: it is not allowed, or cannot be imported.
    """
    if not security.isModuleAllowed(name):
        raise InsecureJelly(f"module '{text_of(name)}' is not allowed")
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InsecureJelly(f"module '{text_of(name)}' cannot be imported") from None
