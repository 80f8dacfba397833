"""Proxies: the caller's side of a contract, an object with its methods in front of a reference."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from broker.core.calls.dispatch import as_call_error
from broker.defer import Deferred
from broker.errors import WrongArguments, WrongResult
from broker.failure import Failure
from broker.flavors.contracts.contract import Contract, contract_of, declared
from broker.flavors.contracts.generated import SELF, generated
from broker.flavors.contracts.method import ContractMethod, Form, Parameter, checker
from broker.flavors.contracts.pending import PendingReference
from broker.flavors.promise import Promise, PromisedItems
from broker.flavors.reference import RemoteReference
from broker.native import native
from jelly.atoms import Expression
from jelly.bases import Jellyable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from types import ModuleType

    from jelly.jellier import Jellier

__all__ = ["Proxy", "proxy_of", "reference_of", "resolved", "typed", "typed_promise"]

C = TypeVar("C")


class Proxy(Jellyable):
    """A reference with the methods of a contract; the subclass of each contract has them.

    It equals its reference and has the same hash. It is sent as its reference.
    """

    _broker_contract: ClassVar[Contract]
    _broker_reference: RemoteReference | PendingReference

    def __init__(self, reference: RemoteReference | PendingReference):
        self._broker_reference = reference

    def __repr__(self) -> str:
        return f"<{self._broker_contract.title} of {self._broker_reference!r}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Proxy):
            return _settled(self) == _settled(other)
        return _settled(self) == other if isinstance(other, RemoteReference) else NotImplemented

    def __hash__(self) -> int:
        return hash(reference_of(self))

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the expression of the reference."""
        return _settled(self).jellyFor(jellier)


def typed(reference: RemoteReference, contract: Callable[..., C]) -> C:
    """Return a proxy; see ``RemoteReference.of``."""
    return cast("C", proxy_of(declared(contract, "of").protocol, reference))


def typed_promise(promise: Promise[Any], contract: Callable[..., C]) -> C:
    """Return a proxy of the reference that a call returns; see ``Promise.of``."""
    reference = PendingReference(promise)
    return cast("C", proxy_of(declared(contract, "of").protocol, reference))


def proxy_of(protocol: object, reference: RemoteReference | PendingReference) -> Proxy:
    """Return a proxy of a reference."""
    return _class_of(protocol)(reference)


def _settled(proxy: Proxy) -> RemoteReference | PendingReference:
    """Return the reference of a proxy, or the one that stands for it until its call is answered."""
    reference = proxy._broker_reference
    if isinstance(reference, PendingReference):
        return reference.reference or reference
    return reference


def reference_of(proxy: object) -> RemoteReference:
    """Return the reference of a proxy.

    Raises:
        TypeError: it is not a proxy.
        RuntimeError: it is a result that has not come yet; await ``broker.resolved`` before.
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f"reference_of() takes a proxy, not {type(proxy).__name__}")
    reference = _settled(proxy)
    if isinstance(reference, PendingReference):
        raise RuntimeError("the reference has not come yet: await broker.resolved(proxy) before")
    return reference


async def resolved(proxy: C) -> C:
    """Wait for a reference that is used at once, and return its proxy.

    Raises:
        TypeError: it is not a proxy. The error of the call that returns the reference is raised.
    """
    if not isinstance(proxy, Proxy):
        raise TypeError(f"resolved() takes a proxy, not {type(proxy).__name__}")
    if isinstance(proxy._broker_reference, PendingReference):
        proxy._broker_reference = await proxy._broker_reference.wait()
    return cast("C", proxy)


@functools.cache
def _class_of(protocol: object) -> type[Proxy]:
    contract = contract_of(protocol)
    called = contract.name
    methods = {name: _method(method, called) for name, method in contract.methods.items()}
    name = contract.title
    return type(name, (Proxy,), {"_broker_contract": contract, "__doc__": contract.doc, **methods})


def _method(method: ContractMethod, contract: str) -> Callable[..., object]:
    """Return the method of a proxy; ``contract`` is the name of its contract."""
    name = method.name

    def check(parameter: Parameter) -> Callable[[object], object]:
        return checker(parameter.value.send, f"{name}: {parameter.name}", WrongArguments)

    kind = _checking(method, contract)

    def reference(answer: Deferred[Any]) -> Proxy:
        return proxy_of(method.returns, PendingReference(cast("Promise[Any]", answer)))

    is_one_way = method.form is Form.ONE_WAY
    call = f"send({name!r}, " if is_one_way else f"call_as(_broker_answer, {name!r}, "
    result = {
        Form.REFERENCE: "_broker_refer(_broker_result)",
        Form.STREAM: "_broker_items(_broker_result)",
    }.get(method.form, "_broker_result")
    function = generated(
        method,
        name,
        (SELF,),
        f"{SELF}._broker_reference.{call}",
        check,
        f"return {result}",
        {"_broker_answer": kind, "_broker_refer": reference, "_broker_items": PromisedItems},
        is_packed=not is_one_way,
    )
    bound = _bound_by_python(function, method)
    return bound if native is None else _in_c(native, bound, method, kind)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _in_c(
    native: ModuleType, function: Callable[..., object], method: ContractMethod, kind: type
) -> Callable[..., object]:
    """Return a method in C in front of a function, which it needs for calls that need a check."""
    simple = method.form is Form.CALL and all(
        each.kind in _POSITIONAL and not each.has_default for each in method.parameters
    )
    if not simple:
        return function
    classes = tuple(frozenset(each.value.exact) for each in method.parameters)
    made: Callable[..., object] = native.Method(function, method.name, classes, kind)
    functools.update_wrapper(made, method.function)
    made.__signature__ = inspect.signature(method.function)  # type: ignore[attr-defined]
    return made


def _checking(method: ContractMethod, name: str) -> type[Promise[Any]]:
    """Return a class of Promises that fail with WrongResult if a result has the wrong type."""
    if method.result.is_free:
        return Promise
    take = checker(method.result.receive, f"{method.name}: result", WrongResult)
    exact = method.result.exact
    # Quicker than super(): this runs for each answer.
    fire = Deferred.fire

    class Answer(Promise[Any]):
        __slots__ = ()
        contract = name
        plain_results = frozenset(exact)

        def fire(self, result: object, loop: AbstractEventLoop | None = None) -> None:
            """Fire with the converted result."""
            if result.__class__ not in exact and not isinstance(result, Failure):
                try:
                    result = take(result)
                except WrongResult as error:
                    result = Failure(error)
            fire(self, result, loop)

    # What ``repr()`` shows, for a call with a contract as for one without.
    Answer.__name__ = Promise.__name__
    return Answer


def _bound_by_python(
    function: Callable[..., object], method: ContractMethod
) -> Callable[..., object]:
    """Return a function that raises WrongArguments where Python cannot bind the arguments."""
    name = method.name

    def call(self: Proxy, /, *args: object, **kw: object) -> object:
        try:
            return function(self, *args, **kw)
        except TypeError as error:
            fault = as_call_error(error, name) if type(error) is TypeError else error
            try:
                raise fault from None
            finally:
                del fault  # a reference cycle: this frame is in its traceback

    functools.update_wrapper(call, method.function)
    call.__signature__ = inspect.signature(method.function)  # type: ignore[attr-defined]
    return call
