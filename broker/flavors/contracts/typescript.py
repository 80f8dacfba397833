"""Contracts in TypeScript: the interfaces that a program with the TypeScript client uses.

The types of a description are text that a peer has sent. They are parsed, and written anew; a type
that is not understood becomes ``unknown``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from broker.flavors.contracts.description import (
        DescribedContract,
        DescribedMethod,
        DescribedParameter,
        Description,
    )

__all__ = ["as_typescript"]

_SIMPLE: Final = {
    "None": "null",
    "bool": "boolean",
    "int": "number",
    "float": "number",
    "str": "string",
    "bytes": "Uint8Array",
    "bytearray": "Uint8Array",
    "UUID": "string",
    "Path": "string",
    "PurePath": "string",
    "Any": "any",
    "date": "PyDate",
    "time": "PyTime",
    "datetime": "PyDateTime",
    "timedelta": "TimeDelta",
    "Decimal": "Decimal",
}
_LISTS: Final = {"list", "Sequence", "List"}
_SETS: Final = {"set", "frozenset", "Set"}
_MAPS: Final = {"dict", "Mapping", "Dict"}
_STREAMS: Final = {"AsyncIterator", "AsyncIterable", "AsyncGenerator"}
_IMPORTED: Final = [
    "Decimal",
    "PyDate",
    "PyDateTime",
    "PyTime",
    "Ref",
    "RemotePromise",
    "RemoteReference",
    "Stream",
    "TimeDelta",
]
_WORDS: Final = (
    "arguments await break case catch class const continue debugger default delete do else enum"
    " eval export extends false finally for function if implements import in instanceof interface"
    " let new null package private protected public return static super switch this throw true try"
    " typeof var void while with yield"
)
_RESERVED: Final = frozenset(_WORDS.split())
_LONGEST: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Types:
    """Writes types.

    Args:
        contracts: the names of the contracts.
        classes: the names of the classes among the types.
    """

    def __init__(self, contracts: Iterable[str], classes: Iterable[str]):
        self._contracts = frozenset(contracts)
        self._classes = frozenset(classes)

    def given(self, text: str) -> str:
        """Return the type of what is sent to the server."""
        return self._written(text, lambda name: f"Ref<{name}>", "Stream<{0}> | AsyncGenerator<{0}>")

    def received(self, text: str) -> str:
        """Return the type of what comes from the server."""
        return self._written(text, lambda name: "RemoteReference", "AsyncIterable<{0}>")

    def item(self, text: str) -> str:
        """Return the type of the items of a stream of the server."""
        node = _parsed(text)
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=inner) if name in _STREAMS:
                first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
                return self.received(ast.get_source_segment(text, first) or "")
        return "unknown"

    def contract(self, text: str) -> str | None:
        """Return the name of the contract that a type is, or None."""
        name = text.partition("[")[0].strip()
        return name if name in self._contracts else None

    def _written(self, text: str, reference: Callable[[str], str], stream: str) -> str:
        def write(node: ast.expr) -> str:
            match node:
                case ast.Constant(value=None):
                    return "null"
                case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                    return _union([write(left), write(right)])
                case ast.Name(id=name):
                    return self._named(name, reference)
                case ast.Attribute(attr=name):
                    return self._named(name, reference)
                case ast.Subscript(value=ast.Name(id=name), slice=inner):
                    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                    return generic(name, parts)
            return "unknown"

        def generic(name: str, parts: list[ast.expr]) -> str:
            if name == "Literal":
                return _union(_literal(part) for part in parts)
            if name in ("Annotated", "Optional"):
                optional = ["null"] * (name == "Optional")
                return _union([write(parts[0]), *optional])
            if name == "Union":
                return _union(map(write, parts))
            if name in _STREAMS:
                return stream.format(write(parts[0]))
            if name in _LISTS:
                return _array(write(parts[0]))
            if name in _SETS:
                return f"Set<{write(parts[0])}>"
            if name in _MAPS and len(parts) == 2:
                key, value = map(write, parts)
                return f"Record<string, {value}>" if key == "string" else f"Map<{key}, {value}>"
            if name == "tuple":
                return tuple_of(parts)
            return self._named(name, reference)

        def tuple_of(parts: list[ast.expr]) -> str:
            if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
                return _array(write(parts[0]))
            return f"[{', '.join(map(write, parts))}]"

        node = _parsed(text)
        return "unknown" if node is None else write(node)

    def _named(self, name: str, reference: Callable[[str], str]) -> str:
        if name in self._contracts:
            return reference(name)
        if name in self._classes:
            return name
        bare = {"list": "any[]", "tuple": "any[]", "dict": "Record<string, any>", "set": "Set<any>"}
        return _SIMPLE.get(name) or bare.get(name) or "unknown"


def _parsed(text: str) -> ast.expr | None:
    """Return a type as an expression, or None if it is not one, or too long to be walked."""
    if len(text) > _LONGEST:
        return None
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _union(parts: Iterable[str]) -> str:
    found = dict.fromkeys(part for each in parts for part in _parts(each))
    return "any" if "any" in found else " | ".join(found)


def _parts(union: str) -> list[str]:
    """Return the parts of a union that `_union` has written, if it is one of simple parts."""
    return union.split(" | ") if re.fullmatch(r"[\w$. |]+", union) else [union]


def _array(item: str) -> str:
    return f"{item}[]" if re.fullmatch(r"[\w$.]+|.*\[\]|[\w$]+<[^|]*>", item) else f"({item})[]"


def _literal(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=bool(value)):
            return "true" if value else "false"
        case ast.Constant(value=int(value) | str(value)):
            return json.dumps(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return str(-value)
    return "unknown"


def _property(name: str) -> str:
    """Return a name as that of a property."""
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _comment(doc: str, indent: str) -> Iterator[str]:
    """Yield the lines of a comment."""
    lines = doc.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"


def _class(name: str, source: str, types: _Types) -> Iterator[str]:
    """Yield a dataclass as an interface, or an Enum as the union of its values."""
    tree = _module(source)
    if tree is None or not tree.body or not isinstance(tree.body[0], ast.ClassDef):
        yield f"export type {name} = unknown;"
        return
    cls = tree.body[0]
    if cls.bases:
        values = [each.value for each in cls.body if isinstance(each, ast.Assign)]
        yield f"export type {name} = {_union(map(_literal, values)) or 'never'};"
        return
    yield f"export interface {name} {{"
    for each in cls.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            optional = "?" * (each.value is not None)
            text = types.received(ast.get_source_segment(source, each.annotation) or "")
            yield f"  {_property(each.target.id)}{optional}: {text};"
    yield "}"


def _module(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _is_keyword(parameter: DescribedParameter) -> bool:
    return parameter.kind in ("keyword-only", "variadic keyword")


def _keywords(method: DescribedMethod) -> int | None:
    """Return the number of positional arguments if keywords may follow them, else None."""
    kinds = [parameter.kind for parameter in method.parameters]
    if "variadic positional" in kinds or not any(map(_is_keyword, method.parameters)):
        return None
    return sum(not _is_keyword(parameter) for parameter in method.parameters)


def _signature(method: DescribedMethod, types: _Types) -> str:
    """Return the parameters of a method."""
    named = [each for each in method.parameters if each.kind == "keyword-only"]
    others = [each for each in method.parameters if each.kind == "variadic keyword"]
    must = [each for each in named if not each.has_default]
    has_keywords = _keywords(method) is not None
    parts: list[str] = []
    for parameter in method.parameters:
        if _is_keyword(parameter):
            continue
        name = f"{parameter.name}_" if parameter.name in _RESERVED else parameter.name
        text = types.given(parameter.type)
        if parameter.kind == "variadic positional":
            parts.append(f"...{name}: {_array(text)}")
        elif not parameter.has_default:
            parts.append(f"{name}: {text}")
        elif has_keywords and must:
            # TypeScript has no optional parameter before one that must be given.
            parts.append(f"{name}: {text} | undefined")
        else:
            parts.append(f"{name}?: {text}")
    if has_keywords:
        fields = [
            f"{_property(each.name)}{'?' * each.has_default}: {types.given(each.type)}"
            for each in named
        ]
        fields += [f"[name: string]: {'unknown' if named else types.given(o.type)}" for o in others]
        parts.append(f"kw{'?' * (not must)}: {{ {'; '.join(fields)} }}")
    return ", ".join(parts)


def _result(method: DescribedMethod, types: _Types) -> str:
    match method.form:
        case "one way":
            return "void"
        case "stream":
            return f"AsyncIterable<{types.item(method.result)}>"
        case "reference":
            return types.contract(method.result) or "unknown"
    return f"RemotePromise<{types.received(method.result)}>"


def _contract(contract: DescribedContract, title: str, types: _Types) -> Iterator[str]:
    """Yield an interface, and the contract of its name."""
    yield from _comment(contract.doc, "")
    yield f"export interface {title} {{"
    for method in contract.methods:
        yield from _comment(method.doc, "  ")
        signature = _signature(method, types)
        yield f"  {_property(method.name)}({signature}): {_result(method, types)};"
    yield "}"
    yield f"export const {title} = contract<{title}>({json.dumps(contract.name)}, {{"
    for method in contract.methods:
        fields = [f"form: {json.dumps(method.form)}"]
        keywords = _keywords(method)
        if keywords is not None:
            fields.append(f"keywords: {keywords}")
        of = types.contract(method.result)
        if method.form == "reference" and of is not None:
            fields.append(f"of: () => {of}")
        yield f"  {_property(method.name)}: {{ {', '.join(fields)} }},"
    yield "});"


def _titles(description: Description) -> Mapping[str, DescribedContract]:
    """Return the contracts by the names of their interfaces."""
    found: dict[str, DescribedContract] = {}
    for contract in description.contracts:
        title = contract.title.partition("[")[0]
        if _NAME.fullmatch(title) and title not in _RESERVED:
            found.setdefault(title, contract)
    return found


def as_typescript(description: Description) -> str:
    """Return a module of TypeScript with the contracts of an object, and the types in them."""
    titles = _titles(description)
    classes = {cls.name: cls.source for cls in description.classes if _NAME.fullmatch(cls.name)}
    types = _Types(titles, classes)
    parts = [list(_class(name, source, types)) for name, source in classes.items()]
    parts += [list(_contract(contract, title, types)) for title, contract in titles.items()]
    body = "\n\n".join("\n".join(part) for part in parts)
    used = [name for name in _IMPORTED if re.search(rf"\b{name}\b", body)]
    imports = ", ".join(["contract", *(f"type {name}" for name in used)])
    return f'import {{ {imports} }} from "perspective-broker";\n\n{body}\n'
