"""Classes in the published style that implement a contract: the check when they are made.

The methods of such a class are those with its prefix. Their names, parameters and types must be
those of the contract. Each call then checks arguments and results as a servant does.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar, cast, get_args, get_origin

from zope.interface import Interface, classImplements
from zope.interface.interface import InterfaceClass
from zope.interface.interface import Method as InterfaceMethod

from broker.core.calls.dispatch import Method, replace_methods
from broker.defer import Deferred
from broker.errors import ConfigError, WrongType
from broker.flavors.avatar import Avatar
from broker.flavors.contracts.contract import contracts_of, declared
from broker.flavors.contracts.description import describer
from broker.flavors.contracts.generated import SELF
from broker.flavors.contracts.hints import hints_of, members_of, type_text
from broker.flavors.contracts.method import ContractMethod, Parameter
from broker.flavors.contracts.servant import callee_method
from broker.flavors.contracts.stream_plans import same_stream
from broker.flavors.referenceable import Referenceable
from broker.flavors.viewable import Viewable

__all__ = ["implements", "interface_of"]

Class = TypeVar("Class", bound=type)

_PREFIXES = ((Avatar, "perspective_"), (Viewable, "view_"), (Referenceable, "remote_"))
_Kind = inspect._ParameterKind


def implements(*contracts: Callable[..., object]) -> Callable[[Class], Class]:
    """Check that the methods of a class are those of contracts; a class decorator.

    ::

        @broker.implements(TicketOffice)
        class User(broker.Avatar):
            async def perspective_reserve(self, seats: int, *, row: str = "A") -> list[Seat]: ...

    The methods are the ``perspective_`` methods of an Avatar, the ``view_`` methods of a Viewable,
    and the ``remote_`` methods of a Referenceable. Annotations may be left out; those of the
    contract hold. A method may be plain where the contract is async. A parameter may take more
    types than in the contract, a result may have fewer, and further parameters need a default.

    Arguments and results of each call of a peer are converted and checked. The class ignores
    ``dynamic_methods``. It also provides the interface ``broker.interface_of(contract)``.

    Raises:
        ConfigError: a method does not fit; the text names it and says why.
        TypeError: an argument is not a Protocol class.
    """
    wanted = [declared(contract, "implements") for contract in contracts]

    def decorate(cls: Class) -> Class:
        prefix = next((prefix for base, prefix in _PREFIXES if issubclass(cls, base)), None)
        if prefix is None:
            raise WrongType(
                f"{cls.__name__} is not an Avatar, a Viewable or a Referenceable: make an object of"
                f" it a servant, with broker.servant({wanted[0].title})(…)"
            )
        for contract in wanted:
            for name, method in contract.methods.items():
                _check(cls, prefix + name, method, contract.title, 1 + (prefix == "view_"))
        known = contracts_of(cls)
        cls._broker_contracts = (*known, *(one for one in wanted if one not in known))  # type: ignore[attr-defined]
        replace_methods(cls, functools.partial(_methods, prefix))
        classImplements(cls, *(_interface(contract.protocol) for contract in wanted))
        return cls

    return decorate


def _methods(
    own_prefix: str, cls: Any, prefix: str, methods: Mapping[str, Method]
) -> Mapping[str, Method]:
    """Return the methods of a class for its table, with the checks of its contracts."""
    if prefix != own_prefix:
        return methods
    leading = (SELF, "_broker_perspective") if prefix == "view_" else (SELF,)
    checked = dict(methods)
    for contract in cls._broker_contracts:
        for name, method in contract.methods.items():
            found = methods.get(name)
            if found is None:
                continue
            function = callee_method(
                method,
                f"{prefix}{name}",
                leading,
                f"_broker_function({', '.join(leading)}, ",
                {"_broker_function": found.function},
            )
            checked[name] = Method(function, found.conditions, found.is_async)
    return {**checked, **describer(cls._broker_contracts)}


def interface_of(contract: Callable[..., object]) -> InterfaceClass:
    """Return the zope interface of a contract, which ``broker.implements`` declares.

    It is made once a contract: ``broker.interface_of(TicketOffice).providedBy(user)``.

    Raises:
        TypeError: it is not a Protocol class. ConfigError: it cannot be a contract.
    """
    return _interface(declared(contract, "interface_of").protocol)


@functools.cache
def _interface(protocol: object) -> Any:
    contract = declared(protocol, "interface_of")
    attributes = {}
    for name, method in contract.methods.items():
        made = InterfaceMethod(name, method.doc)
        made.positional = tuple(
            p.name for p in method.parameters if p.kind <= _Kind.POSITIONAL_OR_KEYWORD
        )
        made.required = tuple(
            p.name
            for p in method.parameters
            if p.kind <= _Kind.POSITIONAL_OR_KEYWORD and not p.has_default
        )
        attributes[name] = made
    return InterfaceClass(
        contract.title, (Interface,), attributes, contract.doc, cast("Any", protocol).__module__
    )


def _check(cls: type, attribute: str, method: ContractMethod, title: str, leading: int) -> None:
    """Check one method of a class.

    Args:
        cls: the class.
        attribute: the name of its method.
        method: the method of the contract.
        title: the contract's name.
        leading: the number of parameters before those of the contract.

    Raises:
        ConfigError: it does not fit.
    """
    function = getattr(cls, attribute, None)
    if not callable(function):
        raise ConfigError(f"{cls.__name__} has no method '{attribute}', which {title} declares")
    where = f"{cls.__name__}: {attribute}"
    plain = inspect.unwrap(function)
    hints = hints_of(plain, where)
    parameters = list(inspect.signature(function).parameters.values())[leading:]
    by_name = {parameter.name: parameter for parameter in parameters}
    for wanted in method.parameters:
        given = by_name.get(wanted.name)
        if given is None:
            raise ConfigError(f"{where} has no parameter '{wanted.name}'")
        _check_parameter(where, title, wanted, given, hints)
    declared_names = [wanted.name for wanted in method.parameters]
    for parameter in parameters:
        is_new = parameter.name not in declared_names
        is_optional = parameter.default is not parameter.empty or parameter.kind in _VARIABLE
        if is_new and not is_optional:
            raise ConfigError(
                f"{where} has the parameter '{parameter.name}' without a default, which {title}"
                f" does not declare"
            )
    _check_order(where, title, declared_names, parameters)
    if "return" in hints:
        _check_result(where, title, method, hints["return"])


_VARIABLE = (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD)


def _check_parameter(
    where: str,
    title: str,
    wanted: Parameter,
    given: inspect.Parameter,
    hints: Mapping[str, object],
) -> None:
    name = wanted.name
    fits = given.kind is wanted.kind or (
        given.kind is _Kind.POSITIONAL_OR_KEYWORD
        and wanted.kind in (_Kind.POSITIONAL_ONLY, _Kind.KEYWORD_ONLY)
    )
    if not fits:
        raise ConfigError(
            f"{where}: '{name}' is {given.kind.description}, and {wanted.kind.description} in"
            f" {title}"
        )
    if wanted.has_default and given.default is given.empty:
        raise ConfigError(f"{where}: '{name}' has no default, and has one in {title}")
    if name in hints and not _is_part(wanted.value.hint, hints[name]):
        raise ConfigError(
            f"{where}: '{name}' is {type_text(hints[name])}, and {type_text(wanted.value.hint)} in"
            f" {title}"
        )


def _check_order(
    where: str, title: str, names: list[str], parameters: list[inspect.Parameter]
) -> None:
    """Check that the positional parameters have the contract's order, and come first."""
    positional = [p.name for p in parameters if p.kind <= _Kind.POSITIONAL_OR_KEYWORD]
    known = [name for name in names if name in positional]
    for place, name in enumerate(known):
        if positional[place] != name:
            raise ConfigError(f"{where}: '{name}' has another place than in {title}")


def _check_result(where: str, title: str, method: ContractMethod, hint: object) -> None:
    origin = get_origin(hint)
    if isinstance(origin, type) and issubclass(origin, Deferred | Awaitable):
        # A plain method that returns an awaitable.
        hint = get_args(hint)[
            2 if issubclass(origin, Coroutine) and len(get_args(hint)) == 3 else 0
        ]
    if not _is_part(hint, method.returns):
        raise ConfigError(
            f"{where} returns {type_text(hint)}, and {type_text(method.returns)} in {title}"
        )


def _is_part(hint: object, whole: object) -> bool:
    """Return whether each value of a type is of another one."""
    if Any in (hint, whole) or object in (hint, whole) or same_stream(hint, whole):
        return True
    return set(members_of(hint)) <= set(members_of(whole))
