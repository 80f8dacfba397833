"""Tests that no code makes a decision by the text of an error; it uses the attributes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("broker", "cred", "jelly", "examples", "tests/helpers/fuzz", "tests/helpers/support")

ALLOWED = {
    "broker.core.calls.dispatch._signature_fault": "Python has no other sign of wrong arguments",
    "broker.flavors.rebuilt._why_not": "it checks whether a class shows its text",
    "broker.net.proxies.socks._refusal": "python-socks has no codes for some errors",
    "broker.reactor.endpoints.strings._parse": "it passes on the end of Python's text",
    "broker.traces._end": "it checks whether a text was made printable",
    "cred.store_checker.StoreChecker._reaching_the_store": "it logs the same error once",
    "broker.flavors.contracts.stand_ins.read_fault": "msgspec has the place in its text alone",
    "cred.stores.sql.SQLStore._begin": "SQLite has no other sign of a missing table",
    "tests.helpers.fuzz.differences._is_lost_in_itself": "it compares our text with Twisted's",
}
"""Functions that use the text of an error, each with the reason."""

# Names of arguments and attributes that are errors.
NAMES = {"error", "exc", "exception", "failure", "fault", "reason", "refusal"}
# Functions that return the text of an error, also if they get a text of one.
TO_TEXT = {"str", "repr", "text_of_error", "text_of_value", "text_of", "printable", "shown"}
TEXTS = {"exc_text", "getErrorMessage", "problem"}
METHODS = {name for name in dir(str) if not name.startswith("_")} - {"encode", "format", "join"}
PATTERNS = {"match", "fullmatch", "search", "findall", "finditer", "split", "sub", "subn"}


class Looks:
    """Finds the lines of a function, and of its inner functions, that decide by an error's text."""

    def __init__(self, function: ast.AST):
        self._errors = set(NAMES)
        self._texts: set[str] = set()
        nodes = list(ast.walk(function))
        handlers = (node for node in nodes if isinstance(node, ast.ExceptHandler))
        self._errors |= {handler.name for handler in handlers if handler.name is not None}
        # Twice, for a text that is made from another text.
        for node in nodes * 2:
            if isinstance(node, ast.Assign) and self._is_text(node.value):
                names = (part for target in node.targets for part in ast.walk(target))
                self._texts |= {name.id for name in names if isinstance(name, ast.Name)}
        self.lines = sorted({node.lineno for node in nodes if self._decides(node)})

    def _is_error(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._errors
        if not isinstance(node, ast.Attribute):
            return False
        return node.attr in NAMES or (
            node.attr in ("value", "__cause__") and self._is_error(node.value)
        )

    def _is_text(self, node: ast.AST) -> bool:
        match node:
            case ast.Name(name):
                return name in self._texts
            case ast.Attribute(attr=name):
                return name in TEXTS
            case ast.Call(func=ast.Name(name), args=[first, *_]) if name in TO_TEXT:
                return self._is_error(first) or self._is_text(first)
            case ast.Call(func=ast.Attribute(value=made, attr=name)):
                return name in TEXTS or (name in METHODS and self._is_text(made))
            case ast.Subscript(value=ast.Attribute(value=made, attr="args")):
                return self._is_error(made)
            case ast.Subscript(value=made):
                return self._is_text(made)
            case ast.BoolOp(values=parts):
                return any(map(self._is_text, parts))
            case ast.JoinedStr(values=[ast.FormattedValue(value=made)]):
                return self._is_error(made)
        return False

    def _decides(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Attribute(value=made, attr=name), args=arguments):
                is_method = name in METHODS and self._is_text(made)
                return is_method or (name in PATTERNS and any(map(self._is_text, arguments)))
            case ast.Compare(left=left, ops=ops, comparators=others):
                kinds = (ast.In, ast.NotIn, ast.Eq, ast.NotEq)
                return any(isinstance(op, kinds) for op in ops) and any(
                    map(self._is_text, (left, *others))
                )
            case ast.Match(subject=subject):
                return self._is_text(subject)
        return False


def functions(tree: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions of a module, and the methods of its classes, with their names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{name}.{node.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{node.name}", node


def found() -> dict[str, list[int]]:
    """Return the functions that decide by the text of an error, with the lines."""
    looks = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = str(path.relative_to(ROOT)).removesuffix(".py").replace("/", ".")
            for name, node in functions(ast.parse(path.read_text("utf-8")), module):
                lines = Looks(node).lines
                if lines:
                    looks[name] = lines
    return looks


def test_nothing_decides_by_the_text_of_an_error() -> None:
    """The functions that decide by a text are those in the table."""
    assert found().keys() == ALLOWED.keys()


@pytest.mark.parametrize(
    "code",
    [
        'str(error).endswith("(max_refs)")',
        'name = str(error).rpartition("(")[2].split(" ")[0]',
        'text = shown(text_of_error(error, 9))\n    text = text.replace("tls=", "--tls")',
        '"no such table" in str(error)',
        'str(failure.value) == "not logged in"',
        'failure.getErrorMessage().startswith("x")',
        're.search("max", str(error))',
        'last = (record.exc_text or "").rpartition("x")[2]\n    return last == "y"',
        'error.args[0].startswith("x")',
        'f"{error}".strip() == ""',
        'try:\n        pass\n    except OSError as wrong:\n        return "x" in str(wrong)',
        'match str(error):\n        case "x":\n            return 1',
    ],
)
def test_what_is_found(code: str) -> None:
    """Each way to decide by a text is found."""
    assert Looks(ast.parse(f"def f(error, failure, record):\n    {code}")).lines


@pytest.mark.parametrize(
    "code",
    [
        "return str(error)",
        "return f'{error}; it was'",
        "raise ValueError(str(error)) from error",
        "return str(error)[:200].encode()",
        "return len(str(error)) <= 400",
        "return error.limit == 'max_refs'",
        "return name.startswith('x')",
    ],
)
def test_what_is_not(code: str) -> None:
    """Code may pass on a text, and shorten it."""
    assert not Looks(ast.parse(f"def f(error, name):\n    {code}")).lines
