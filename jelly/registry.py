"""Registries: the classes of incoming tags, and Twisted's functions that register classes."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from msgspec import Struct, field

from jelly.atoms import text_of
from jelly.errors import InsecureJelly
from jelly.refusals import not_registered
from jelly.security import Security, SecurityOptions, class_name

__all__ = [
    "Defaults",
    "FieldChecker",
    "Form",
    "Registry",
    "defaults",
    "setUnjellyableFactoryForClass",
    "setUnjellyableForClass",
    "setUnjellyableForClassTree",
]

Factory: TypeAlias = Callable[[Any], object]
"""Makes an object of its state."""


class Form(NamedTuple):
    """How the instances of a class that has no hook are sent.

    Attributes:
        tag: the name of the class on the wire.
        state: returns the state to send of an instance.
        is_shared: whether an instance that occurs twice in a message is sent once.
    """

    tag: bytes
    state: Callable[[Any], object]
    is_shared: bool = True


class FieldChecker(Protocol):
    """Checks the types of the fields of one class."""

    def check(self, state: Mapping[str, object], /) -> Mapping[str, object]:
        """Return a received state, with its fields converted.

        Raises:
            MalformedJelly: a field has another type.
        """
        ...


class Registry:
    """Maps tags to classes, tags to factories, and names of errors to exception classes.

    Args:
        bases: other registries, which are searched in order for a name that is not found here.
    """

    def __init__(self, *bases: Registry) -> None:
        self.classes: dict[bytes, Any] = {}
        self.factories: dict[bytes, Factory] = {}
        # Load the class of a tag at its first use, if no other class has the tag.
        self.loaders: dict[bytes, Callable[[], type]] = {}
        # Exception classes by their names on the wire.
        self.errors: dict[str, type[BaseException]] = {}
        # Classes that get only the fields that they declare; see ``jelly.fields``.
        self.with_fields: set[type] = set()
        # What checks the types of the fields of some of these.
        self.types: dict[type, FieldChecker] = {}
        # The classes whose instances are sent, although they have no hook for that.
        self.forms: dict[type, Form] = {}
        # The classes whose instances are sent as another object, which has a hook.
        self.stand_ins: dict[type, Callable[[Any], object]] = {}
        self._bases = bases

    def add_class(self, tag: bytes, cls: Any) -> None:
        """Decode expressions that start with ``tag`` to instances of ``cls``."""
        self.classes[tag] = cls

    def add_factory(self, tag: bytes, factory: Factory) -> None:
        """Decode expressions that start with ``tag`` to ``factory(state)``."""
        self.factories[tag] = factory

    def class_for(self, tag: bytes) -> Any:
        """Return the class, or callable, of a tag, or None."""
        found = self.classes.get(tag)
        if found is None and tag in self.loaders:
            found = self.classes[tag] = self.loaders[tag]()
        for base in self._bases:
            found = found or base.class_for(tag)
        return found

    def knows(self, tag: bytes) -> bool:
        """Return whether a tag has a class or a factory."""
        return self.class_for(tag) is not None or self.factory_for(tag) is not None

    def factory_for(self, tag: bytes) -> Factory | None:
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
    """The settings of Twisted's module-level names; the only global state of this package.

    Attributes:
        published: the classes of the ``setUnjellyableFor…`` functions.
        declared: the classes of ``broker.register``, with declared fields.
        security: Twisted's ``globalSecurity``.
        size_limit: ``banana.SIZE_LIMIT``: most bytes of a string, and most elements of a list.
        prefix_limit: the limit of ``banana.setPrefixLimit``, in bytes.
        max_broker_refs: ``pb.MAX_BROKER_REFS``: most live references of a connection.
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
    """Decode instances of a peer's class to instances of ``unjellyable`` (published).

    Args:
        classname: the peer's class name on the wire, or the class with this name.
        unjellyable: a class whose blank instances have ``unjellyFor(unjellier, jellyList)``, or a
            function called as ``unjellyable(unjellier, jellyList)``.
    """
    tag = _tag_of(classname)
    defaults.published.add_class(tag, unjellyable)
    defaults.security.allowTypes(tag)


def setUnjellyableFactoryForClass(classname: type | bytes | str, copyFactory: Factory) -> None:
    """Decode instances of a peer's class to ``copyFactory(state)`` (published)."""
    tag = _tag_of(classname)
    defaults.published.add_factory(tag, copyFactory)
    defaults.security.allowTypes(tag)


def setUnjellyableForClassTree(
    module: types.ModuleType, baseClass: type, prefix: str | None = None
) -> None:
    """Register a module's subclasses of ``baseClass``, each as ``prefix.Class`` (published).

    Args:
        module: the module with the classes.
        baseClass: only this class and its subclasses are registered.
        prefix: the module name on the wire. Default: the name of the module. An empty string
            registers the bare class names.
    """
    if prefix is None:
        prefix = module.__name__
    if prefix:
        prefix += "."
    for name, cls in vars(module).items():
        if isinstance(cls, type) and issubclass(cls, baseClass):
            setUnjellyableForClass(prefix + name, cls)


def named_class(name: str, security: Security) -> type:
    """Return the class of a dotted name that ``security`` allows.

    A module is imported only if it is allowed.

    Raises:
        InsecureJelly: the module or class is not allowed, or the name is not a class.
    """
    found = named_object(name, security)
    if not isinstance(found, type):
        raise InsecureJelly(f"type '{text_of(name)}' is not a class")
    if not security.isClassAllowed(found):
        raise not_registered(name)
    return found


def named_object(name: str, security: Security) -> object:
    """Return the object of a dotted name, from a module that ``security`` allows.

    It may also be an attribute of a class in such a module. Then ``security`` must allow the dotted
    name of the class as well.
    """
    owner, _, attribute = name.rpartition(".")
    if not owner or not security.isModuleAllowed(owner):
        raise not_registered(name)
    try:
        return getattr(_module_or_class(owner, security), attribute)
    except AttributeError:
        raise InsecureJelly(f"type '{text_of(name)}' does not exist") from None


def _module_or_class(name: str, security: Security) -> types.ModuleType | type:
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


def load_module(name: str, security: Security) -> types.ModuleType:
    """Import and return a module that ``security`` allows.

    Raises:
        InsecureJelly: the module is not allowed, or cannot be imported.
    """
    if not security.isModuleAllowed(name):
        raise InsecureJelly(f"module '{text_of(name)}' is not allowed")
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InsecureJelly(f"module '{text_of(name)}' cannot be imported") from None
