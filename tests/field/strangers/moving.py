"""Copies of a program whose imports are rewritten as the README's table says."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["ALL", "PB_ALONE", "PB_AND_DEFER", "copy_moved", "move_file"]

MOVES = {
    "twisted.spread.pb": "broker.pb",
    "twisted.spread.flavors": "broker.pb",
    "twisted.spread.util": "broker.pb",
    "twisted.spread.publish": "broker.pb",
    "twisted.spread.jelly": "jelly",
    "twisted.spread.banana": "jelly.banana",
    "twisted.spread.interfaces": "jelly.interfaces",
    "twisted.cred": "cred",
    "twisted.cred.checkers": "cred.checkers",
    "twisted.cred.credentials": "cred.credentials",
    "twisted.cred.error": "cred.error",
    "twisted.cred.portal": "cred.portal",
    "twisted.cred.strcred": "cred.strcred",
    "twisted.internet.defer": "broker.defer",
    "twisted.python.failure": "broker.failure",
    "twisted.internet.reactor": "broker.reactor",
    "twisted.internet.protocol": "broker.reactor.protocol",
    "twisted.internet.task": "broker.reactor.task",
    "twisted.internet.threads": "broker.reactor.threads",
    "twisted.internet.error": "broker.reactor.error",
    "twisted.internet.ssl": "broker.reactor.ssl",
    "twisted.internet.endpoints": "broker.reactor.endpoints",
    "twisted.internet.stdio": "broker.reactor.stdio",
    "twisted.application.service": "broker.reactor.service",
    "twisted.application.internet": "broker.reactor.service",
    "twisted.python.components": "broker.reactor.components",
    "twisted.python.log": "broker.reactor.log",
}
"""The README's table, one module a line."""

ALL = frozenset(MOVES)
PB_ALONE = frozenset(name for name in MOVES if name.startswith(("twisted.spread", "twisted.cred")))
PB_AND_DEFER = PB_ALONE | {"twisted.internet.defer", "twisted.python.failure"}


def copy_moved(package: Path, to: Path, modules: Collection[str] = ALL) -> list[str]:
    """Copy a package, rewrite the imports of those modules, and return which files changed."""
    shutil.copytree(package, to, ignore=shutil.ignore_patterns("__pycache__"))
    return [
        str(path.relative_to(to)) for path in sorted(to.rglob("*.py")) if move_file(path, modules)
    ]


def move_file(path: Path, modules: Collection[str] = ALL) -> bool:
    """Rewrite the imports of those modules in a file; return whether there were any."""
    source = path.read_bytes()
    lines = source.decode("utf-8").splitlines(keepends=True)
    statements = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    changed = False
    # From the last to the first, so that the numbers of those before stay right.
    for node in sorted(statements, key=lambda node: node.lineno, reverse=True):
        written = list(_rewritten(node, modules))
        if written != [ast.unparse(node)]:
            assert node.end_lineno is not None
            indent = " " * node.col_offset
            rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
            lines[node.lineno - 1 : node.end_lineno] = [
                "".join(f"{indent}{line}\n" for line in written).removesuffix("\n") + rest
            ]
            changed = True
    if changed:
        path.write_text("".join(lines), "utf-8")
    return changed


def _rewritten(node: ast.Import | ast.ImportFrom, modules: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import) or node.level or not node.module:
        yield ast.unparse(node)
        return
    if node.module in modules:
        yield ast.unparse(ast.ImportFrom(MOVES[node.module], node.names, 0))
        return
    stays = []
    for alias in node.names:
        name = f"{node.module}.{alias.name}"
        if name in modules:
            yield _import_of(MOVES[name], alias.asname or alias.name)
        else:
            stays.append(alias)
    if stays:
        yield ast.unparse(ast.ImportFrom(node.module, stays, 0))


def _import_of(module: str, name: str) -> str:
    package, _, last = module.rpartition(".")
    renamed = "" if last == name else f" as {name}"
    return f"from {package} import {last}{renamed}" if package else f"import {last}{renamed}"
