"""Descriptions of contracts: what an object tells a peer that asks, and its text in Python."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from broker.core.calls.dispatch import Method
from broker.errors import WrongResult
from broker.flavors.contracts.contract import Contract, contract_of
from broker.flavors.contracts.hints import hints_of, is_contract, type_text
from broker.flavors.contracts.method import ContractMethod, Form
from broker.flavors.contracts.proxy import Proxy, reference_of
from broker.flavors.contracts.records import is_record
from broker.flavors.contracts.stand_ins import Mismatch, convert
from broker.flavors.contracts.stream_plans import item_hint
from broker.flavors.contracts.typescript import as_typescript
from broker.flavors.reference import RemoteReference

__all__ = ["Description", "describe", "describer"]

_ASKED = "pb:describe"
"""The name of the method; no method of Python can have it."""


class DescribedParameter(Struct):
    """A parameter: ``kind`` is Python's name of its kind, ``type`` has Python's syntax."""

    name: str
    kind: str
    type: str
    has_default: bool
    schema: dict[str, Any] = field(default_factory=dict)


class DescribedMethod(Struct):
    """A method: ``form`` is ``call``, ``reference``, ``one way`` or ``stream``."""

    name: str
    doc: str
    form: str
    parameters: list[DescribedParameter]
    result: str
    schema: dict[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """The method in Python's syntax, without its body."""
        start = "async def" if self.form == Form.CALL.value else "def"
        parts = ["self"]
        before = ""
        for parameter in self.parameters:
            kind = parameter.kind
            if before == "positional-only" != kind:
                parts.append("/")
            if kind == "keyword-only" and before not in ("keyword-only", "variadic positional"):
                parts.append("*")
            stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
            default = " = ..." if parameter.has_default else ""
            parts.append(f"{stars}{parameter.name}: {parameter.type}{default}")
            before = kind
        if before == "positional-only":
            parts.append("/")
        return f"{start} {self.name}({', '.join(parts)}) -> {self.result}"


class DescribedContract(Struct):
    """A contract; ``is_served`` is False for one that is only among the types of another."""

    name: str
    title: str
    doc: str
    is_served: bool
    methods: list[DescribedMethod]


class DescribedClass(Struct):
    """A class among the types, as Python text; ``schema`` is its JSON Schema."""

    name: str
    source: str
    schema: dict[str, Any] = field(default_factory=dict)


class Description(Struct):
    """The contracts of an object, and those that its methods take and return.

    Attributes:
        contracts: the contracts, those of the object first.
        classes: the dataclasses and Enums among the types.
    """

    contracts: list[DescribedContract]
    classes: list[DescribedClass]

    @property
    def methods(self) -> list[DescribedMethod]:
        """The methods of the object."""
        return [
            method
            for contract in self.contracts
            if contract.is_served
            for method in contract.methods
        ]

    def as_python(self) -> str:
        """Return a module with the contracts, to be adapted."""
        lines: list[str] = []
        for cls in self.classes:
            lines += ["", "", *cls.source.splitlines()]
        for contract in self.contracts:
            lines += ["", "", f"class {contract.title.partition('[')[0]}(Protocol):"]
            parts = [_docstring(contract.doc, 4)] if contract.doc else []
            for method in contract.methods:
                one = f"    {method.signature}:"
                parts.append([one, *_docstring(method.doc, 8)] if method.doc else [f"{one} ..."])
            for place, part in enumerate(parts or [["    pass"]]):
                lines += ([""] if place else []) + part
        text = "\n".join(lines) + "\n"
        return "\n".join([*_imports(text), text])

    def as_typescript(self) -> str:
        """Return a module of TypeScript with the contracts, for the TypeScript client."""
        return as_typescript(self)

    def as_json_schema(self) -> dict[str, Any]:
        """Return the parameters and the result of each method as JSON Schema, by contract."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {cls.name: cls.schema for cls in self.classes},
            "contracts": {
                contract.name: {method.name: _schema_of(method) for method in contract.methods}
                for contract in self.contracts
            },
        }


_HOMES = {
    "collections.abc": "AsyncGenerator AsyncIterable AsyncIterator Mapping Sequence Set",
    "dataclasses": "dataclass",
    "datetime": "date datetime time timedelta",
    "decimal": "Decimal",
    "pathlib": "Path PurePath",
    "typing": "Annotated Any Literal Protocol",
    "uuid": "UUID",
}


def _imports(text: str) -> list[str]:
    """Return the imports that a module needs."""
    words = set(re.findall(r"\w+", text))
    lines = ["from __future__ import annotations", ""] + ["import enum"] * ("enum" in words)
    for home, names in _HOMES.items():
        used = [name for name in names.split() if name in words]
        lines += [f"from {home} import {', '.join(used)}"] * bool(used)
    return lines


def _docstring(doc: str, indent: int) -> list[str]:
    """Return the lines of a docstring."""
    space = " " * indent
    first, *rest = doc.replace("\\", "\\\\").replace('"""', '\\"""').splitlines()
    if not rest:
        return [f'{space}"""{first}"""']
    lines = [f"{space}{line}" if line else "" for line in rest]
    return [f'{space}"""{first}', *lines, f'{space}"""']


def _schema_of(method: DescribedMethod) -> dict[str, Any]:
    named = [p for p in method.parameters if not p.kind.startswith("variadic")]
    return {
        "form": method.form,
        "parameters": {
            "type": "object",
            "properties": {parameter.name: parameter.schema for parameter in named},
            "required": [parameter.name for parameter in named if not parameter.has_default],
        },
        "result": method.schema,
    }


async def describe(reference: object) -> Description:
    """Ask an object for its contracts.

    Args:
        reference: a RemoteReference, or a proxy.

    Raises:
        NoSuchMethod: the object has no contract, or its side is Twisted's.
        WrongResult: the answer is not a description.
        TypeError: it is not a reference.
    """
    if isinstance(reference, Proxy):
        reference = reference_of(reference)
    if not isinstance(reference, RemoteReference):
        raise TypeError(f"describe() takes a reference, not {type(reference).__name__}")
    answer = await reference.callRemote(_ASKED)
    try:
        return cast("Description", convert(answer, Description))
    except Mismatch as mismatch:
        text = f"describe: result{mismatch.place}: {mismatch.text}"
    raise WrongResult(text)


def describer(contracts: Iterable[Contract]) -> dict[str, Method]:
    """Return the method that answers `describe`, by its name for a table of methods."""
    described: list[object] = []

    def answer(*leading: object) -> object:
        # Made at the first question.
        if not described:
            described.append(msgspec.to_builtins(_description(list(contracts))))
        return described[0]

    return {_ASKED: Method(answer)}


def _description(served: list[Contract]) -> Description:
    """Return the description of contracts, and of those among their types."""
    found = [contract.protocol for contract in served]
    classes: dict[object, None] = {}
    place = 0
    while place < len(found):
        for method in contract_of(found[place]).methods.values():
            for hint in (method.returns, *(p.value.hint for p in method.parameters)):
                for part in _parts(hint, classes):
                    if is_contract(part) and part not in found:
                        found.append(part)
        place += 1
    components: dict[str, Any] = {}
    contracts = [
        _described(contract_of(protocol), place < len(served), components)
        for place, protocol in enumerate(found)
    ]
    return Description(
        contracts,
        [
            DescribedClass(name, _source(cls), components.get(name, {}))
            for cls in classes
            for name in [cast("type", cls).__name__]
        ],
    )


def _parts(hint: object, classes: dict[object, None]) -> list[object]:
    """Return the types in a type; add its dataclasses and Enums to ``classes``."""
    cls = typing.get_origin(hint) or hint
    is_class = is_record(cls) or (isinstance(cls, type) and issubclass(cls, enum.Enum))
    parts = [hint]
    inner = [part for part in typing.get_args(hint) if not isinstance(part, str | int)]
    if is_class and cls not in classes:
        classes[cls] = None
        if is_record(cls):
            inner += hints_of(cls, cast("type", cls).__name__).values()
    for part in inner:
        parts += _parts(part, classes)
    return parts


def _source(cls: Any) -> str:
    """Return a class that is sent as its fields, or an Enum, as Python text."""
    if issubclass(cls, enum.Enum):
        members = [f"    {member.name} = {member.value!r}" for member in cls]
        return "\n".join([f"class {cls.__name__}(enum.Enum):", *members])
    defaults: Mapping[str, bool] = (
        {
            one.name: (one.default, one.default_factory) != (dataclasses.MISSING,) * 2
            for one in dataclasses.fields(cls)
        }
        if dataclasses.is_dataclass(cls)
        else {}
    )
    lines = [
        f"    {name}: {type_text(hint)}{' = ...' * defaults.get(name, False)}"
        for name, hint in hints_of(cls, cls.__name__).items()
        if not name.startswith("__")
    ]
    return "\n".join(["@dataclass", f"class {cls.__name__}:", *(lines or ["    pass"])])


def _described(
    contract: Contract, is_served: bool, components: dict[str, Any]
) -> DescribedContract:
    methods = [_described_method(method, components) for method in contract.methods.values()]
    doc = inspect.cleandoc(contract.doc)
    return DescribedContract(contract.name, contract.title, doc, is_served, methods)


def _described_method(method: ContractMethod, components: dict[str, Any]) -> DescribedMethod:
    parameters = [
        DescribedParameter(
            parameter.name,
            parameter.kind.description,
            type_text(parameter.value.hint),
            parameter.has_default,
            _schema(parameter.value.hint, components),
        )
        for parameter in method.parameters
    ]
    schema = _schema(method.returns, components)
    return DescribedMethod(
        method.name, method.doc, method.form.value, parameters, type_text(method.returns), schema
    )


def _schema(hint: object, components: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a type; empty if it has none."""
    stream = item_hint(hint)
    if stream is not None:
        items, is_optional = stream
        schema = {
            "title": "Stream",
            "description": "a stream",
            "items": _schema(items, components),
        }
        return {"anyOf": [schema, {"type": "null"}]} if is_optional else schema
    try:
        (schema,), found = msgspec.json.schema_components(
            [hint], schema_hook=_schema_of_class, ref_template="#/$defs/{name}"
        )
    except TypeError:
        return {}
    components.update(found)
    return schema


def _schema_of_class(cls: type) -> dict[str, Any]:
    if is_contract(cls):
        return {"title": cls.__name__, "description": "a reference"}
    return {"title": cls.__name__}
