"""One method of a contract: its form, its parameters and its result."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import NamedTuple

from broker.errors import ConfigError, WrongResult
from broker.flavors.contracts.hints import hints_of, is_contract, substituted
from broker.flavors.contracts.plans import Planner
from broker.flavors.contracts.stand_ins import Mismatch
from broker.flavors.contracts.stream_plans import STREAMS
from broker.flavors.contracts.values import Value

__all__ = ["ContractMethod", "Form", "Parameter", "checker"]

_Kind = inspect._ParameterKind


class Form(enum.Enum):
    """What a call of a method returns; the value is its text in a description."""

    CALL = "call"
    REFERENCE = "reference"
    ONE_WAY = "one way"
    STREAM = "stream"


class Parameter(NamedTuple):
    """A parameter of a method; the values of ``*args`` and ``**kw`` have its type each."""

    name: str
    kind: _Kind
    has_default: bool
    value: Value


class ContractMethod:
    """One method of a contract.

    Args:
        title: the contract's name, for texts.
        name: the method's name.
        function: the function of the Protocol class.
        arguments: the types that stand for the type variables.
        references: makes the plan of a contract among the types.

    Attributes:
        where: the contract and the method, for texts.
        form: what a call returns.
        parameters: without the first.
        result: its values; None for a one-way method.
        returns: the annotation of the result.

    Raises:
        ConfigError: the function is not a method of a contract.
    """

    def __init__(
        self,
        title: str,
        name: str,
        function: Callable[..., object],
        arguments: Mapping[object, object],
        references: Planner,
    ):
        self.name = name
        self.function = function
        self.where = where = f"{title}.{name}"
        hints = {
            key: substituted(hint, arguments) for key, hint in hints_of(function, where).items()
        }
        if "return" not in hints:
            raise ConfigError(f"{where}: the result has no type")
        self.returns = hints["return"]
        self.form = _form(function, self.returns, where)
        self.parameters = tuple(
            _parameter(given, hints, where, references)
            for given in list(inspect.signature(function).parameters.values())[1:]
        )
        self.result = Value(self.returns, f"{where}: result", references, WrongResult)

    @property
    def doc(self) -> str:
        """The docstring, without indentation, or an empty str."""
        return inspect.getdoc(self.function) or ""


def _form(function: Callable[..., object], returns: object, where: str) -> Form:
    if inspect.iscoroutinefunction(function):
        return Form.CALL
    if returns in STREAMS or typing.get_origin(returns) in STREAMS:
        return Form.STREAM
    if is_contract(returns):
        return Form.REFERENCE
    if returns is type(None):
        return Form.ONE_WAY
    raise ConfigError(f"{where}: make it async, or return a contract, an AsyncIterator or None")


def _parameter(
    given: inspect.Parameter, hints: Mapping[str, object], where: str, references: Planner
) -> Parameter:
    name = given.name
    if name not in hints:
        raise ConfigError(f"{where}: the parameter '{name}' has no type")
    if name == "pbanswer":
        raise ConfigError(f"{where}: 'pbanswer' is an argument of callRemote: name it otherwise")
    has_default = given.default is not inspect.Parameter.empty
    return Parameter(
        name, given.kind, has_default, Value(hints[name], f"{where}: {name}", references)
    )


def checker(
    convert: Callable[[object], object], place: str, error: Callable[[str], Exception]
) -> Callable[[object], object]:
    """Return a function that converts a value, and raises ``error(text)`` if it has a wrong type.

    Args:
        convert: `Value.send` or `Value.receive`.
        place: begins the text.
        error: makes the error.
    """

    def check(value: object) -> object:
        try:
            return convert(value)
        except Mismatch as mismatch:
            text = f"{place}{mismatch.place}: {mismatch.text}"
        raise error(text)

    return check
