"""Published names of `twisted.python.components`: adapters from one interface to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import Interface, declarations
from zope.interface.adapter import AdapterRegistry
from zope.interface.interface import InterfaceClass, Specification, adapter_hooks

__all__ = ["Adapter", "Componentized", "getAdapterFactory", "registerAdapter"]

_registry = AdapterRegistry()


def registerAdapter(
    adapterFactory: Callable[[Any], object],
    origInterface: InterfaceClass | type,
    *interfaceClasses: InterfaceClass,
) -> None:
    """Have `SomeInterface(original)` return `adapterFactory(original)` (published).

    Args:
        adapterFactory: called with the original; it returns None if it cannot adapt it.
        origInterface: the interface that the original provides, or its class.
        interfaceClasses: the interfaces that the adapter provides.

    Raises:
        ValueError: no interface is given, or an adapter for one of them is registered already.
    """
    if not interfaceClasses:
        raise ValueError("registerAdapter needs at least one interface that it adapts to")
    origin = _specification(origInterface)
    for interface in interfaceClasses:
        known = _registry.registered([origin], interface)
        if known is not None:
            raise ValueError(f"{known!r} is registered already, from {origin!r} to {interface!r}")
    for interface in interfaceClasses:
        _registry.register([origin], interface, "", adapterFactory)


def getAdapterFactory(
    fromInterface: InterfaceClass | type, toInterface: InterfaceClass, default: object
) -> Any:
    """Return the factory that adapts an interface or class to another, or default (published)."""
    found = _registry.lookup1(_specification(fromInterface), toInterface)
    return default if found is None else found


class Adapter:
    """A base for adapters: keeps the original, and asks it for all other interfaces (published).

    Attributes:
        original: the adapted object.
    """

    def __init__(self, original: Any):
        self.original = original

    def __conform__(self, interface: InterfaceClass) -> object:
        return interface(self.original, None)


class Componentized:
    """An object with a component for each of many interfaces: `SomeInterface(it)` (published)."""

    def __init__(self) -> None:
        self._components: dict[InterfaceClass, object] = {}

    def setComponent(self, interfaceClass: InterfaceClass, component: object) -> None:
        """Set the component for an interface (published)."""
        self._components[interfaceClass] = component

    def unsetComponent(self, interfaceClass: InterfaceClass) -> None:
        """Forget the component for an interface (published).

        Raises:
            KeyError: the interface has no component.
        """
        del self._components[interfaceClass]

    def getComponent(self, interface: InterfaceClass, default: object = None) -> Any:
        """Return the component for an interface, or the default (published)."""
        return interface(self, default)

    def addComponent(self, component: object, ignoreClass: bool | int = 0) -> list[InterfaceClass]:
        """Set a component for every interface that it provides (published)."""
        interfaces = list(declarations.providedBy(component))
        for interface in interfaces:
            self.setComponent(interface, component)
        return interfaces

    def removeComponent(self, component: object) -> list[InterfaceClass]:
        """Forget a component for every interface; return the interfaces (published)."""
        gone = [key for key, value in self._components.items() if value is component]
        for interface in gone:
            del self._components[interface]
        return gone

    def __conform__(self, interface: InterfaceClass) -> object:
        return self._components.get(interface)


def _specification(origin: InterfaceClass | type) -> Specification:
    is_interface = isinstance(origin, type(Interface))
    return origin if is_interface else declarations.implementedBy(origin)


def _adapt(interface: InterfaceClass, original: object) -> object:
    factory = _registry.lookup1(declarations.providedBy(original), interface)
    return None if factory is None else factory(original)


adapter_hooks.append(_adapt)
