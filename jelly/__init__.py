"""Jelly: graphs of objects to expressions and back; banana: expressions to bytes and back.

``jelly`` knows no connection. What a peer sends is never trusted: a registry and an allow-list
decide which types come in, limits decide how much, and nothing recurses on a peer's depth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

# The tags of what jelly knows by itself, under their published names.
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
    object: Any,
    taster: Security | None = None,
    persistentStore: Callable[[Any, Any], Any] | None = None,
    invoker: Any = None,
) -> Expression:
    """Return the expression of a graph of objects (published).

    Args:
        object: where the graph starts.
        taster: says which classes' ordinary instances may go out, and which code; all may unless
            given.
        persistentStore: ``f(object, jellier)`` returns an id to send in place of an instance, or
            None.
        invoker: becomes ``jellier.invoker`` for the hooks.

    Raises:
        CannotJelly: something in the graph may not or cannot go out.
    """
    return Jellier(taster, persistentStore, invoker).jelly(object)


def unjelly(
    sexp: Expression,
    taster: Security | None = None,
    persistentLoad: Callable[[Any, Any], Any] | None = None,
    invoker: Any = None,
) -> Any:
    """Return the graph of objects that an expression stands for (published).

    Args:
        sexp: the expression, as :func:`jelly` returns it or banana decodes it.
        taster: says which types may come in; ``globalSecurity`` unless given.
        persistentLoad: ``f(id, unjellier)`` returns the object of a persistent id.
        invoker: becomes ``unjellier.invoker`` for the hooks.

    Raises:
        InsecureJelly: a type that may not come in.
        MalformedJelly: no jellier produces such an expression.
        LimitExceeded: a key or a number is beyond the default limits.
    """
    security = taster if taster is not None else defaults.security
    unjellier = Unjellier(
        security, persistentLoad, invoker, defaults.published, limits=PUBLISHED_LIMITS
    )
    return unjellier.unjellyFull(sexp)
