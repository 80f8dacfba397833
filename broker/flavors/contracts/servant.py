"""Servants: the callee's side of a contract, a Referenceable in front of any object.

Its ``remote_`` methods are those of the contract. Each checks the arguments, calls the method of
the object, and checks the result.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar, TypeVar

from broker.core.calls.dispatch import Method, Refusal, replace_methods
from broker.core.calls.exposed_methods import conditions_of
from broker.defer import Deferred
from broker.defer.foreign import is_twisted_deferred
from broker.errors import ConfigError, WrongResult, WrongType
from broker.flavors.contracts.contract import Contract, contract_of, declared
from broker.flavors.contracts.description import describer
from broker.flavors.contracts.generated import SELF, generated
from broker.flavors.contracts.method import ContractMethod, Parameter, checker
from broker.flavors.referenceable import Root

__all__ = ["Servant", "callee_method", "lacks", "servant", "servant_of"]

C = TypeVar("C")


class Servant(Root):
    """An object that peers can call by the methods of a contract; see ``broker.servant``.

    A server can serve it, a realm can return it, and it can be a mind.

    Attributes:
        target: the object.
    """

    _contract: ClassVar[Contract]

    def __init__(self, target: object):
        self.target = target

    def __repr__(self) -> str:
        return f"<servant of {self._contract.title} for {type(self.target).__name__}>"

    def processUniqueID(self) -> Hashable:
        """Return a value that is equal for all servants of one contract and one object."""
        return self._contract.protocol, id(self.target)

    @property
    def logout(self) -> Callable[[], object]:
        """The ``logout`` of the object, for an avatar; if it has none, a function without effect.

        Raises:
            ConfigError: the contract has a method of that name, so that peers could call it.
        """
        if "logout" in self._contract.methods:
            raise ConfigError(
                f"{self._contract.title}.logout: an avatar's logout is not for peers: name the"
                f" method otherwise"
            )
        return getattr(self.target, "logout", _nothing)


def _nothing() -> None:
    """Log out an avatar that has nothing to do then."""


def servant(contract: Callable[..., C]) -> Callable[[C], Servant]:
    """Return a function that makes any object callable by the methods of a contract.

    ::

        await broker.serve(broker.servant(TicketOffice)(Office()), "pbs://…", tls=tls)

    The object needs no base class. Its methods may be async or plain, also those that are async in
    the contract. Arguments and results are converted and checked by the types of the contract.

    Args:
        contract: a Protocol class.

    Returns:
        A function of the object that returns a Servant. It raises a WrongType (a TypeError) if the
        object lacks a method of the contract.

    Raises:
        TypeError: ``contract`` is not a Protocol class.
        ConfigError: it cannot be a contract.
    """
    protocol = declared(contract, "servant").protocol

    def of(target: C) -> Servant:
        return servant_of(protocol, target)

    return of


def servant_of(protocol: object, target: object) -> Servant:
    """Return a servant of an object; see :func:`servant`."""
    cls = type(target)
    classes = _CLASSES.setdefault(cls, {})
    contract = contract_of(protocol)
    own = getattr(target, "__dict__", {})
    has_own = not own.keys().isdisjoint(contract.methods)
    if protocol in classes and not has_own:
        return classes[protocol](target)
    lacking = lacks(contract, target)
    if lacking is not None:
        raise WrongType(
            f"a {cls.__name__} has no method '{lacking}', which {contract.title} declares"
        )
    if has_own or not all(hasattr(cls, name) for name in contract.methods):
        # A method of this very object, which may have conditions of its own.
        return _make_class(contract, target)(target)
    classes[protocol] = _make_class(contract, cls)
    return classes[protocol](target)


# A cache: its entries are collected with the classes of the objects.
_CLASSES: weakref.WeakKeyDictionary[type, dict[object, type[Servant]]] = weakref.WeakKeyDictionary()


def lacks(contract: Contract, target: object) -> str | None:
    """Return a method of a contract that an object lacks, or None."""
    missing = (name for name in contract.methods if not callable(getattr(target, name, None)))
    return next(missing, None)


def _make_class(contract: Contract, owner: object) -> type[Servant]:
    """Return a class of servants with the conditions of the methods of a class, or of an object."""
    functions: dict[str, Callable[..., object]] = {}
    methods: dict[str, Method] = {}
    for name, method in contract.methods.items():
        own = getattr(owner, name)
        function = callee_method(method, f"remote_{name}", (SELF,), f"{SELF}.target.{name}(", {})
        conditions = conditions_of(own)
        functions[f"remote_{name}"] = function
        methods[name] = Method(function, conditions, inspect.iscoroutinefunction(own))
    methods.update(describer([contract]))
    attributes = {"_contract": contract, "__doc__": contract.doc, **functions}
    # For the record of a call, as in a class with ``broker.implements``.
    attributes["_broker_contracts"] = (contract,)
    made = type(f"{contract.title}Servant", (Servant,), attributes)
    replace_methods(made, lambda cls, prefix, found: methods if prefix == "remote_" else found)
    return made


def callee_method(
    method: ContractMethod,
    name: str,
    leading: tuple[str, ...],
    callee: str,
    used: Mapping[str, object],
) -> Callable[..., object]:
    """Return a function that a peer's call runs: it checks arguments, and then the result.

    Args:
        method: the method of the contract.
        name, leading, callee, used: see `generated`.
    """
    result = method.result

    def check(parameter: Parameter) -> Callable[[object], object]:
        return checker(parameter.value.receive, f"{method.name}: {parameter.name}", Refusal)

    send = checker(result.send, f"{method.name}: result", WrongResult)
    exact = result.exact

    def give(value: object) -> object:
        if type(value) in exact:
            return value
        if getattr(type(value), "__await__", None) is None:
            return send(value)
        if isinstance(value, Deferred) or is_twisted_deferred(value):
            deferred: Any = value
            return deferred.addCallback(give_value)
        return later(value)

    def give_value(value: object) -> object:
        return value if type(value) in exact else send(value)

    async def later(awaitable: Any) -> object:
        value = await awaitable
        return value if type(value) in exact else send(value)

    returns = "return _broker_give(_broker_result)"
    if result.is_free:
        returns = "return _broker_result"
    elif len(exact) == 1:
        returns = (
            "if type(_broker_result) is _broker_kind: return _broker_result\n"
            "return _broker_give(_broker_result)"
        )
    kind = next(iter(exact), None)
    return generated(
        method,
        name,
        leading,
        callee,
        check,
        returns,
        {"_broker_give": give, "_broker_kind": kind, **used},
    )
