"""A scripted peer: an object that takes the expected calls of a contract, with scripted results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from broker.errors import Error, WrongArguments, WrongResult
from broker.flavors.contracts.contract import Contract, declared
from broker.flavors.contracts.method import ContractMethod, Form, checker
from broker.flavors.contracts.servant import Servant, servant_of
from broker.flavors.referenceable import Root

__all__ = ["Expectation", "Peer", "peer"]


class Expectation:
    """One expected call; `returns` or `raises` says how it ends.

    Without either, the method returns None.
    """

    def __init__(self, method: ContractMethod, text: str, arguments: dict[str, object]):
        self.text = text
        self.is_met = False
        self.arguments = arguments
        self._method = method
        self._result: object = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<expectation of {self.text}, {'met' if self.is_met else 'not met'}>"

    def returns(self, value: object) -> None:
        """Let the call return a value. A method with a stream takes a list of its items.

        Raises:
            WrongResult: a TypeError: the value does not have the type of the contract.
        """
        method = self._method
        if method.form is Form.CALL:
            checker(method.result.send, f"{method.name}: result", WrongResult)(value)
        elif method.form is Form.STREAM and not isinstance(value, list | tuple):
            kind = type(value).__name__
            raise WrongResult(f"{method.name}: result: give a list of the items, not {kind}")
        self._result = value

    def raises(self, error: BaseException | type[BaseException]) -> None:
        """Let the call raise an error; a class of errors is called without arguments.

        Raises:
            TypeError: it is not an exception.
        """
        made = error() if isinstance(error, type) else error
        if not isinstance(made, BaseException):
            raise TypeError(f"raises() takes an exception, not {type(error).__name__}")
        self._error = made

    def play(self) -> object:
        """End a call as the script says."""
        if self._method.form is Form.STREAM:
            items: Any = () if self._result is None else self._result
            return _items(items, self._error)
        if self._error is not None:
            raise self._error
        return self._result


async def _items(items: Any, error: BaseException | None) -> Any:
    for item in items:
        yield item
    if error is not None:
        raise error


class Peer(Root):
    """A far end by script; see :func:`peer`.

    Attributes:
        servant: the object that takes the calls: an argument for `callRemote`, or an avatar.
    """

    def __init__(self, contract: Contract):
        self._contract = contract
        self._expected: list[Expectation] = []
        self._surprises: list[str] = []
        stage = type("Script", (), {name: _scripted(self, name) for name in contract.methods})
        self.servant: Servant = servant_of(contract.protocol, stage())

    def __repr__(self) -> str:
        return f"<Peer of {self._contract.title}, {len(self._expected)} expected calls>"

    @property
    def mind_object(self) -> Servant:
        """The object that a realm gets if this peer is a mind."""
        return self.servant

    def rootObject(self, broker: Any) -> Any:
        """Return the object that takes the calls."""
        return self.servant

    def expects(self, name: str, /, *args: object, **kw: object) -> Expectation:
        """Expect one call of a method; its end is scripted on the result.

        Calls may come in any order. Of equal expectations, the first is met first.

        Raises:
            AttributeError: the contract has no such method.
            WrongArguments: a TypeError: the arguments do not fit the contract.
        """
        method = self._contract.methods.get(name)
        if method is None:
            raise AttributeError(f"{self._contract.title} has no method '{name}'")
        arguments = _bound(method, args, kw)
        _check_values(method, arguments)
        expectation = Expectation(method, _text(name, args, kw), arguments)
        self._expected.append(expectation)
        return expectation

    def check_script(self, conversation: str = "", *, is_complete: bool = True) -> None:
        """Check that each expected call has come, and no other.

        The end of a `pair` with this peer does so.

        Args:
            conversation: added to the text of the error; see `broker.testing.record`.
            is_complete: whether calls that have not come are a fault.

        Raises:
            AssertionError: a call has not come, or another has.
        """
        faults = [f"not expected: {text}" for text in self._surprises]
        if is_complete:
            faults += [f"not called: {each.text}" for each in self._expected if not each.is_met]
        if faults:
            lines = [f"{self._contract.title}:", *faults]
            if conversation:
                lines += ["the conversation:", conversation]
            raise AssertionError("\n".join(lines))

    def take(self, name: str, args: tuple[object, ...], kw: dict[str, object]) -> object:
        """End a call that has come."""
        arguments = _bound(self._contract.methods[name], args, kw)
        for expectation in self._expected:
            is_it = expectation._method.name == name and expectation.arguments == arguments
            if is_it and not expectation.is_met:
                expectation.is_met = True
                return expectation.play()
        text = _text(name, args, kw)
        self._surprises.append(text)
        raise Error(f"the script does not expect {text}")


def _scripted(script: Peer, name: str) -> Callable[..., object]:
    def method(self: object, *args: object, **kw: object) -> object:
        return script.take(name, args, kw)

    return method


def _text(name: str, args: tuple[object, ...], kw: dict[str, object]) -> str:
    return f"{name}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in kw.items())])})"


def _bound(
    method: ContractMethod, args: tuple[object, ...], kw: dict[str, object]
) -> dict[str, object]:
    """Return the arguments by name, with defaults, as the callee gets them.

    Raises:
        WrongArguments: they do not fit the method.
    """
    signature = inspect.signature(method.function)
    own = list(signature.parameters.values())[1:]
    try:
        bound = signature.replace(parameters=own).bind(*args, **kw)
    except TypeError as error:
        raise WrongArguments(f"{method.name}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def _check_values(method: ContractMethod, arguments: dict[str, Any]) -> None:
    """Check that arguments have the types of the contract.

    Raises:
        WrongArguments: one has another type.
    """
    for parameter in method.parameters:
        value, name = arguments[parameter.name], parameter.name
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values = list(value.values())
        else:
            is_variable = parameter.kind is inspect.Parameter.VAR_POSITIONAL
            values = list(value) if is_variable else [value]
        check = checker(parameter.value.send, f"{method.name}: {name}", WrongArguments)
        for each in values:
            check(each)


def peer(contract: Callable[..., object]) -> Peer:
    """Return a far end by script, for a contract.

    ::

        office = broker.testing.peer(TicketOffice)
        office.expects("reserve", seats=3).returns([Seat("A", 1)])
        office.expects("room", "x").raises(SoldOut("none"))
        async with broker.testing.pair(office) as pair:
            await book_a_row(pair.client.root.of(TicketOffice))

    It is the target of a `pair`, or its mind. Its ``servant`` can be sent, or returned by a realm;
    then call `Peer.check_script` at the end. The script and the calls are checked by the types of
    the contract. A call that the script does not expect gets a `broker.Error`. The end of the pair
    raises AssertionError, with the conversation, if there was such a call, or if an expected call
    has not come.

    Args:
        contract: a Protocol class.

    Raises:
        TypeError: it is not a Protocol class. ConfigError: it cannot be a contract.
    """
    return Peer(declared(contract, "peer"))
