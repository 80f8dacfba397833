"""Jelly: graphs of objects to expressions and back. Banana: expressions to bytes and back.

``jelly`` does not depend on a connection. Data from a peer is never trusted: a registry and an
allow-list decide which types are accepted, limits restrict the size, and the depth of the data does
not cause recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jelly import acceleration

# Before the other modules are imported, some of which have a compiled form.
acceleration.use(__path__)

# ruff: noqa: E402
from jelly import atoms
from jelly.atoms import Expression
from jelly.bases import (
    Jellyable,
    Unjellyable,
    Unpersistable,
    getInstanceState,
    setInstanceState,
)
from jelly.errors import (
    BananaError,
    CannotJelly,
    DecodeError,
    EncodeError,
    InsecureJelly,
    JellyError,
    LimitExceeded,
    MalformedJelly,
    ProtocolError,
    TooLarge,
)
from jelly.interfaces import IJellyable, IUnjellyable
from jelly.jellier import Jellier
from jelly.limits import PUBLISHED_LIMITS, Limits
from jelly.registry import (
    Registry,
    defaults,
    setUnjellyableFactoryForClass,
    setUnjellyableForClass,
    setUnjellyableForClassTree,
)
from jelly.security import DummySecurityOptions, Security, SecurityOptions
from jelly.unjellier import Unjellier

__all__ = [
    "BananaError",
    "CannotJelly",
    "DecodeError",
    "DummySecurityOptions",
    "EncodeError",
    "Expression",
    "IJellyable",
    "IUnjellyable",
    "InsecureJelly",
    "Jellier",
    "JellyError",
    "Jellyable",
    "LimitExceeded",
    "Limits",
    "MalformedJelly",
    "None_atom",
    "ProtocolError",
    "Registry",
    "SecurityOptions",
    "TooLarge",
    "Unjellier",
    "Unjellyable",
    "Unpersistable",
    "class_atom",
    "defaults",
    "dereference_atom",
    "dictionary_atom",
    "frozenset_atom",
    "function_atom",
    "getInstanceState",
    "globalSecurity",
    "instance_atom",
    "jelly",
    "list_atom",
    "module_atom",
    "persistent_atom",
    "reference_atom",
    "setInstanceState",
    "setUnjellyableFactoryForClass",
    "setUnjellyableForClass",
    "setUnjellyableForClassTree",
    "set_atom",
    "tuple_atom",
    "unjelly",
    "unjellyableFactoryRegistry",
    "unjellyableRegistry",
    "unpersistable_atom",
]

globalSecurity = defaults.security
unjellyableRegistry = defaults.published.classes
unjellyableFactoryRegistry = defaults.published.factories

# Jelly's own tags, under Twisted's names.
None_atom = atoms.NONE
class_atom = atoms.CLASS
dereference_atom = atoms.DEREFERENCE
dictionary_atom = atoms.DICTIONARY
frozenset_atom = atoms.FROZENSET
instance_atom = atoms.INSTANCE
function_atom = atoms.FUNCTION
list_atom = atoms.LIST
module_atom = atoms.MODULE
persistent_atom = atoms.PERSISTENT
reference_atom = atoms.REFERENCE
set_atom = atoms.SET
tuple_atom = atoms.TUPLE
unpersistable_atom = atoms.UNPERSISTABLE


def jelly(
    object: object,
    taster: Security | None = None,
    persistentStore: Callable[[Any, Jellier], Any] | None = None,
    invoker: object = None,
) -> Expression:
    """Return the expression of a graph of objects (published).

    Args:
        object: the root of the graph.
        taster: decides which classes may be sent as ordinary instances, and which code. Default:
            all.
        persistentStore: ``f(object, jellier)`` returns an id to send in place of an instance, or
            None.
        invoker: becomes ``jellier.invoker`` for the hooks.

    Raises:
        CannotJelly: a value in the graph may not or cannot be sent.
    """
    return Jellier(taster, persistentStore, invoker).jelly(object)


def unjelly(
    sexp: Expression,
    taster: Security | None = None,
    persistentLoad: Callable[[Any, Unjellier], object] | None = None,
    invoker: object = None,
) -> Any:
    """Return the graph of objects of an expression (published).

    Args:
        sexp: the expression, from :func:`jelly` or decoded by banana.
        taster: decides which types are allowed. Default: ``globalSecurity``.
        persistentLoad: ``f(id, unjellier)`` returns the object of a persistent id.
        invoker: becomes ``unjellier.invoker`` for the hooks.

    Raises:
        InsecureJelly: a type is not allowed.
        MalformedJelly: no jellier produces such an expression.
        LimitExceeded: a key or a number exceeds the default limits.
    """
    security = taster if taster is not None else defaults.security
    unjellier = Unjellier(
        security, persistentLoad, invoker, defaults.published, limits=PUBLISHED_LIMITS
    )
    return unjellier.unjellyFull(sexp)
