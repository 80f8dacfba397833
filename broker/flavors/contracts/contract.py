"""Contracts: the methods of a Protocol class, resolved once."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar, cast, overload

from broker.errors import ConfigError
from broker.flavors.contracts.hints import is_contract, substituted, type_text
from broker.flavors.contracts.method import ContractMethod
from broker.flavors.contracts.plans import Plan

__all__ = ["Contract", "contract", "contract_of", "contracts_of", "declared"]

C = TypeVar("C", bound=type)

_ROOTS = (object, Protocol, Generic)
# Names that @broker.contract gave.
_NAMES: dict[object, str] = {}


class Contract:
    """A Protocol class whose methods peers can call.

    Attributes:
        protocol: the Protocol class, or a generic one with its arguments.
        title: its name for texts, such as ``Store[int]``.
        name: its name for peers: that of ``broker.contract``, else the dotted name of the class.
        doc: its docstring, or an empty str.
        methods: its methods by name, in their order, those of its bases first.

    Raises:
        ConfigError: it cannot be a contract; the text says why.
    """

    def __init__(self, protocol: object):
        cls = cast("type", typing.get_origin(protocol) or protocol)
        self.protocol = protocol
        self.title = type_text(protocol)
        arguments = f"[{self.title.partition('[')[2]}" if "[" in self.title else ""
        self.name = _NAMES.get(cls, f"{cls.__module__}.{cls.__qualname__}") + arguments
        self.doc = cls.__doc__ or ""
        self.methods: dict[str, ContractMethod] = {}
        for base, fixed in reversed(_bases_of(protocol)):
            for name, function in _functions_of(base, self.title):
                self.methods[name] = ContractMethod(
                    self.title, name, function, fixed, reference_plan
                )


def _bases_of(protocol: object) -> list[tuple[type, Mapping[object, object]]]:
    """Return the Protocol classes of a contract, with the types of their type variables."""
    fixed: dict[type, Mapping[object, object]] = {}

    def visit(base: object, outer: Mapping[object, object]) -> None:
        cls = typing.get_origin(base) or base
        given = [substituted(part, outer) for part in typing.get_args(base)]
        arguments = dict(zip(_variables_of(cls), given, strict=False))
        if cls in _ROOTS:
            return
        fixed[cast("type", cls)] = arguments
        own = vars(cls)
        for inner in own.get("__orig_bases__", own.get("__bases__", cast("type", cls).__bases__)):
            visit(inner, arguments)

    visit(protocol, {})
    top = cast("type", typing.get_origin(protocol) or protocol)
    return [(cls, fixed.get(cls, {})) for cls in top.__mro__ if cls not in _ROOTS]


def _variables_of(cls: object) -> tuple[object, ...]:
    """Return the type variables of a class, in the order of ``Protocol[…]`` among its bases."""
    for base in getattr(cls, "__orig_bases__", ()):
        if typing.get_origin(base) in (Protocol, Generic):
            return typing.get_args(base)
    parameters: tuple[object, ...] = getattr(cls, "__parameters__", ())
    return parameters


def _functions_of(base: type, title: str) -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield the methods that a Protocol class declares itself.

    Raises:
        ConfigError: it declares something else.
    """
    if not is_contract(base):
        raise ConfigError(f"{title}: its base {base.__name__} is not a Protocol")
    names = [*inspect.get_annotations(base), *vars(base)]
    for name in dict.fromkeys(names):
        value = vars(base).get(name)
        if name.startswith("_"):
            continue
        if not isinstance(value, types.FunctionType):
            raise ConfigError(f"{title}.{name}: a contract has methods only")
        yield name, value


# The caller is a checker of types: it knows the class, and this function returns it.
@overload
def contract(protocol: C) -> C: ...
@overload
def contract(*, name: str) -> Callable[[C], C]: ...
def contract(protocol: C | None = None, *, name: str | None = None) -> object:
    """Check a contract at once, and give it a name for peers; a decorator of a Protocol class.

    Without this decorator a contract is checked when it is first used, and its name is the dotted
    name of its class.

    Args:
        protocol: the Protocol class.
        name: its name in descriptions; see ``broker.describe``.

    Raises:
        ConfigError: it cannot be a contract.
        TypeError: it is not a Protocol class.
    """
    if protocol is None:
        return functools.partial(_named, name)
    return _named(name, protocol)


def _named(name: str | None, protocol: C) -> C:
    if name is not None:
        _NAMES[protocol] = name
    declared(protocol, "contract")
    return protocol


def declared(protocol: object, function: str) -> Contract:
    """Return the Contract of a Protocol class that an application gave to a public function.

    Raises:
        TypeError: it is not a Protocol class. ConfigError: it cannot be a contract.
    """
    if not is_contract(protocol):
        name = getattr(protocol, "__name__", type(protocol).__name__)
        hint = "; pb describe --python writes one" if _is_interface(protocol) else ""
        raise TypeError(f"{function}() takes a Protocol class, not {name}{hint}")
    return contract_of(protocol)


def _is_interface(value: object) -> bool:
    return type(value).__name__ == "InterfaceClass"


def contracts_of(cls: type) -> tuple[Contract, ...]:
    """Return the contracts that a class implements, or that of a class of servants."""
    found: tuple[Contract, ...] = getattr(cls, "_broker_contracts", ())
    return found


@functools.cache
def contract_of(protocol: object) -> Contract:
    """Return the Contract of a Protocol class; it is made at the first use.

    Raises:
        ConfigError: it cannot be a contract.
    """
    return Contract(protocol)


def reference_plan(hint: object, where: str) -> Plan:
    """Return the plan of a parameter or a result whose type is a contract."""
    # Imported here: a contract may have itself among its types.
    from broker.flavors.contracts.references import plan_of_contract

    return plan_of_contract(hint)
