"""The names of a file that come from Twisted, and what they refer to."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from broker.porting.locations import is_twisted

__all__ = ["Names", "imports_of"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def imports_of(tree: ast.AST) -> Iterator[tuple[ast.Import | ast.ImportFrom, ast.alias, str]]:
    """Yield the imports of Twisted in a file: the statement, its part, and the dotted name.

    The name of a star import ends with ``.*``. Relative imports are of the program itself.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_twisted(alias.name):
                    yield node, alias, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level and is_twisted(node.module or ""):
            for alias in node.names:
                yield node, alias, f"{node.module}.{alias.name}"


class Names:
    """The names of one file.

    Attributes:
        parents: the parent of each node of the tree.
        bound: names that are bound by other code than an import of Twisted.
        used: names that are read, set or deleted somewhere.
    """

    def __init__(self, tree: ast.Module):
        self.parents = {
            child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
        }
        self.bound: set[str] = set()
        self.used: set[str] = set()
        self._of_twisted: dict[str, str] = {}
        self._locals: dict[ast.AST, set[str]] = {}
        imported = set()
        for _, alias, dotted in imports_of(tree):
            imported.add(alias)
            if isinstance(self.parents[alias], ast.Import) and not alias.asname:
                self._of_twisted["twisted"] = "twisted"
            else:
                self._of_twisted[alias.asname or alias.name] = dotted
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                self.used.add(node.id)
            if node not in imported:
                self.bound.update(_bound_by(node))
        # A name that an import and other code bind is ambiguous, so it is not resolved.
        for name in self.bound & self._of_twisted.keys():
            if any(self._redefines(node, name) for node in ast.walk(tree) if node not in imported):
                del self._of_twisted[name]

    def dotted(self, node: ast.AST) -> str | None:
        """Return the dotted name in Twisted that an expression refers to, or None."""
        if isinstance(node, ast.Name):
            return None if self._is_local(node) else self._of_twisted.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return f"{owner}.{node.attr}" if owner else None
        return None

    def _is_local(self, node: ast.Name) -> bool:
        """Return whether a name is a parameter or a variable of a function around it."""
        return node.id in self._of_twisted and any(
            node.id in self._locals_of(function) for function in self.functions_around(node)
        )

    def _locals_of(self, function: ast.AST) -> set[str]:
        if function not in self._locals:
            self._locals[function] = {
                name
                for node in ast.walk(function)
                if not isinstance(node, ast.alias)
                for name in _bound_by(node)
            }
        return self._locals[function]

    def _redefines(self, node: ast.AST, name: str) -> bool:
        """Whether a node makes of a name what has nothing to do with the import; no methods."""
        kinds = (ast.alias, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if not isinstance(node, kinds) or name not in _bound_by(node):
            return False
        return isinstance(node, ast.alias) or not isinstance(self.scope(node), ast.ClassDef)

    def scope(self, node: ast.AST) -> ast.AST | None:
        """Return the function or class that a node is in; None at module level."""
        found = self.parents.get(node)
        while found is not None and not isinstance(found, (*_FUNCTIONS, ast.ClassDef)):
            found = self.parents.get(found)
        return found

    def functions_around(self, node: ast.AST) -> list[ast.AST]:
        """Return the functions that a node is in, the innermost first."""
        found: list[ast.AST] = []
        scope = self.scope(node)
        while scope is not None:
            if isinstance(scope, _FUNCTIONS):
                found.append(scope)
            scope = self.scope(scope)
        return found


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds by itself."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.alias(name=name, asname=asname):
            yield asname or name.partition(".")[0]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.ExceptHandler(name=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield from names
