"""The imports of a file: what happens to each, and the edits of the text that move them.

Theory of operation. If all names of a statement come from one module here, the statement keeps its
form: only the module is replaced, and names that are different here. Any other statement is
rewritten as one statement for each module, with its comments. A dotted use, as after ``import
twisted.spread.pb``, changes with its import: both are edited, or neither.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from broker.porting.findings import Finding, Kind
from broker.porting.locations import Location, Outcome, outcome_of, replacement_of
from broker.porting.names import Names, imports_of
from broker.porting.sources import Source

__all__ = ["Edit", "Moves", "apply"]

_LONGEST = 88
_FROM = re.compile(r"from(?:\s|\\)+(twisted(?:\s*\.\s*\w+)*)")


class Edit(NamedTuple):
    """A part of a text, and its replacement."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Return a text after edits that do not overlap."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


class _Part(NamedTuple):
    """One name that a new statement imports, with its comments in the old statement."""

    module: str
    name: str
    local: str
    comments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name if self.name == self.local else f"{self.name} as {self.local}"


# For each module, the names to import from it; for "" the modules themselves.
_Groups = dict[str, list[_Part]]


class Moves:
    """What happens to the imports of a file.

    Args:
        source: the file.
        names: its names.
        keep_reactor: whether the program keeps the reactor of Twisted.
        hidden: packages of this library that modules of the program hide, and the hiding files.

    Attributes:
        findings: one or more lines of the report for each import.
        edits: the edits that move the imports.
    """

    def __init__(
        self, source: Source, names: Names, keep_reactor: bool, hidden: dict[str, Path]
    ) -> None:
        self.findings: list[Finding] = []
        self.edits: list[Edit] = []
        self._source = source
        self._names = names
        self._keep_reactor = keep_reactor
        self._hidden = hidden
        self._outcomes = {
            alias: self._outcome(dotted) for _, alias, dotted in imports_of(source.tree)
        }
        if not any(replacement_of(path) for _, path in self._uses()):
            for node, alias, dotted in imports_of(source.tree):
                if isinstance(node, ast.Import) and dotted == "twisted":
                    self._outcomes[alias] = Outcome(
                        Kind.STAYS, "what is used of it has no place here"
                    )
        self._locals = self._choose_locals()
        for node in dict.fromkeys(node for node, _, _ in imports_of(source.tree)):
            self._statement(node)

    def moves(self, dotted: str) -> bool:
        """Return whether an import of this name would move."""
        return self._outcome(dotted).kind is Kind.MOVES

    def _outcome(self, dotted: str) -> Outcome:
        outcome = outcome_of(dotted, self._keep_reactor)
        own = outcome.location and self._hidden.get(outcome.location.package)
        if not own:
            return outcome
        text = f"{own.name if own.name != '__init__.py' else own.parent.name} of this program hides"
        return Outcome(Kind.LOOK, f"{text} our package of that name: rename it, then this moves")

    # Dotted uses

    def _choose_locals(self) -> dict[str, str]:
        """Return the new names of modules that are imported and used by their dotted names.

        Empty if any use of ``twisted`` would lose its import.
        """
        locations: dict[str, Location] = {}
        moving: dict[str, list[ast.alias]] = {}
        others = []
        for node, alias, dotted in imports_of(self._source.tree):
            if isinstance(node, ast.Import) and not alias.asname:
                if (location := self._outcomes[alias].location) is not None:
                    locations[dotted] = location
                    moving.setdefault(dotted, []).append(alias)
                else:
                    others.append(alias)
        if not moving:
            return {}
        edits, stuck = [], []
        chosen = {dotted: self._free_name(location) for dotted, location in locations.items()}
        for use, path in self._uses():
            module = next((name for name in _prefixes(path) if name in moving), None)
            edit = module and self._edit_of_use(use, module, chosen[module], moving[module])
            if edit:
                edits.append(edit)
            elif not any(_covers(alias.name, path) for alias in self._visible(use, others)):
                stuck.append((use.lineno, path))
        if stuck:
            for line, path in stuck:
                text = f"{path}: no import here binds it for sure: import its module by name first"
                self._add(line, Kind.LOOK, text)
            for alias in (alias for aliases in moving.values() for alias in aliases):
                text = "stays as it is, as long as a dotted use in this file cannot move with it"
                self._outcomes[alias] = Outcome(Kind.LOOK, text)
            return {}
        self.edits += edits
        return chosen

    def _uses(self) -> Iterator[tuple[ast.Name, str]]:
        """Yield each use of the name ``twisted``, and the dotted name that it begins."""
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.Name) and node.id == "twisted":
                yield node, ast.unparse(self._outermost(node))

    def _outermost(self, node: ast.expr) -> ast.expr:
        around = self._names.parents.get(node)
        while isinstance(around, ast.Attribute):
            node, around = around, self._names.parents.get(around)
        return node

    def _edit_of_use(
        self, use: ast.Name, module: str, local: str, aliases: list[ast.alias]
    ) -> Edit | None:
        node: ast.expr = use
        for _ in range(module.count(".")):
            around = self._names.parents[node]
            if not isinstance(around, ast.Attribute):
                return None
            node = around
        start, end = self._source.span(node)
        # Python 3.11 gives positions inside an f-string that are not in the file.
        is_there = "".join(self._source.text[start:end].split()) == module
        is_ours = "twisted" not in self._names.bound and isinstance(node, ast.Attribute)
        is_read = isinstance(getattr(node, "ctx", None), ast.Load)
        if is_there and is_ours and is_read and any(self._visible(use, aliases)):
            return Edit(start, end, local)
        return None

    def _visible(self, use: ast.AST, aliases: Iterable[ast.alias]) -> Iterator[ast.alias]:
        """Yield the imports that a use can see: of the module, its class, its functions."""
        scopes = [None, self._names.scope(use), *self._names.functions_around(use)]
        for alias in aliases:
            if self._names.scope(alias) in scopes:
                yield alias

    def _free_name(self, location: Location) -> str:
        same = {
            alias.asname or alias.name
            for node, alias, _ in imports_of(self._source.tree)
            if (alias.asname or isinstance(node, ast.ImportFrom))
            and self._outcomes[alias].location == location
        }
        taken = self._names.bound | self._names.used
        taken |= {
            alias.asname or alias.name.partition(".")[0]
            for _, alias, _ in imports_of(self._source.tree)
        }
        candidate = location.name
        if candidate in taken - same:
            candidate = location.dotted.replace(".", "_")
        while candidate in taken - same:
            candidate += "_"
        return candidate

    # Statements

    def _statement(self, node: ast.Import | ast.ImportFrom) -> None:
        groups: _Groups = {}
        moved = []
        comments = _comments_of(self._source, node)
        for alias in node.names:
            outcome = self._outcomes.get(alias)
            if outcome is not None and outcome.location is not None:
                part = self._moved(node, alias, outcome.location)
                moved.append((alias, part))
            else:
                module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
                part = _Part(module, alias.name, alias.asname or alias.name)
                if outcome is not None:
                    self._add(alias.lineno, outcome.kind, f"{_shown(node, alias)}: {outcome.text}")
            part = part._replace(comments=tuple(comments.get(alias, ())))
            if str(part) not in map(str, groups.get(part.module, ())):
                groups.setdefault(part.module, []).append(part)
        if not moved:
            return
        edits = self._in_place(node, moved, groups) or self._anew(node, groups)
        if not edits:
            text = f"{ast.unparse(node)}: comments inside, code beside it: move it by hand"
            self._add(node.lineno, Kind.LOOK, text)
            return
        self.edits += edits
        self._tell(node, moved)

    def _moved(self, node: ast.stmt, alias: ast.alias, location: Location) -> _Part:
        """Return the name that the new statement imports in place of one that moves."""
        if isinstance(node, ast.ImportFrom):
            return _Part(*location, alias.asname or ("*" if location.name == "*" else alias.name))
        if alias.asname:
            return _Part("", location.dotted, alias.asname)
        return _Part(*location, self._locals[alias.name])

    def _in_place(
        self,
        node: ast.Import | ast.ImportFrom,
        moved: list[tuple[ast.alias, _Part]],
        groups: _Groups,
    ) -> list[Edit]:
        """Return edits that keep the form of a statement; empty if it must be rewritten."""
        if isinstance(node, ast.Import):
            if not all(alias.asname for alias, _ in moved):
                return []
            return [Edit(*self._source.span(alias), str(part)) for alias, part in moved]
        [*modules] = groups
        if modules in ([""], []) or len(modules) > 1 or len(groups[modules[0]]) < len(node.names):
            return []
        start, end = self._source.span(node)
        found = _FROM.match(self._source.text, start, end)
        if found is None:
            return []
        edits = [Edit(*found.span(1), modules[0])]
        for alias, part in moved:
            if part.name != alias.name:
                edits.append(Edit(*self._source.span(alias), str(part)))
        return edits

    def _anew(self, node: ast.Import | ast.ImportFrom, groups: _Groups) -> list[Edit]:
        """Return the edit that rewrites a statement; empty if its comments cannot be kept."""
        start, end = self._source.span(node)
        before, behind = self._source.line_around(start, end)
        is_alone = not before.strip() and (not behind.strip() or behind.lstrip().startswith("#"))
        if not is_alone and any(part.comments for parts in groups.values() for part in parts):
            return []
        indent = before[: len(before) - len(before.lstrip())]
        newline = self._source.newline
        lines = [
            line
            for module, parts in groups.items()
            for line in _statements(module, parts, indent, newline)
        ]
        return [Edit(start, end, (newline + indent if is_alone else "; ").join(lines))]

    # The report

    def _tell(self, node: ast.stmt, moved: list[tuple[ast.alias, _Part]]) -> None:
        old = ast.unparse(_with_names(node, [alias for alias, _ in moved]))
        groups: _Groups = {}
        for _, part in moved:
            groups.setdefault(part.module, []).append(part)
        new = "; ".join(_one_line(module, parts) for module, parts in groups.items())
        self._add(node.lineno, Kind.MOVES, f"{old} -> {new}")
        for alias, part in moved:
            if part.name == "*":
                text = f"{_shown(node, alias)}: brings the names that {part.module} lists"
                self._add(node.lineno, Kind.LOOK, f"{text}; check that it has the used names")

    def _add(self, line: int, kind: Kind, text: str) -> None:
        self.findings.append(Finding(str(self._source.path), line, kind, text))


def _covers(imported: str, path: str) -> bool:
    """Return whether a dotted use needs an import that stays.

    An import of the package ``twisted`` alone does not count for a module that moves.
    """
    if imported == "twisted":
        return replacement_of(path) is None
    return path == imported or path.startswith(f"{imported}.")


def _shown(node: ast.stmt, alias: ast.alias) -> str:
    return ast.unparse(_with_names(node, [ast.alias(alias.name)]))


def _prefixes(dotted: str) -> Iterator[str]:
    """Yield the prefixes of a dotted name, the longest first, starting with the name itself."""
    while dotted:
        yield dotted
        dotted = dotted.rpartition(".")[0]


def _with_names(node: ast.stmt, names: list[ast.alias]) -> ast.stmt:
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, names, node.level)
    return ast.Import(names)


def _one_line(module: str, parts: list[_Part]) -> str:
    listed = ", ".join(map(str, parts))
    return f"from {module} import {listed}" if module else f"import {listed}"


def _statements(module: str, parts: list[_Part], indent: str, newline: str) -> list[str]:
    """Return the statements that import names of one module; comments stay with their names."""
    line = _one_line(module, parts)
    has_comments = any(part.comments for part in parts)
    if not module and has_comments:
        return ["  ".join([_one_line(module, [part]), *part.comments]) for part in parts]
    if not has_comments and (not module or len(indent + line) <= _LONGEST):
        return [line]
    deeper = indent + ("\t" if "\t" in indent else "    ")
    lines = [f"from {module} import ("]
    lines += (deeper + "  ".join([f"{part},", *part.comments]) for part in parts)
    return [newline.join([*lines, f"{indent})"])]


def _comments_of(source: Source, node: ast.Import | ast.ImportFrom) -> dict[ast.alias, list[str]]:
    """Return the comments inside a statement, by the name on their line or after them."""
    start, end = source.span(node)
    found: dict[ast.alias, list[str]] = {}
    text = source.text[start:end]
    if "#" not in text:
        return found
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line = node.lineno + token.start[0] - 1
            at = [alias for alias in node.names if alias.lineno == line]
            behind = [alias for alias in node.names if alias.lineno > line]
            owner = at[-1] if at else behind[0] if behind else node.names[-1]
            found.setdefault(owner, []).append(token.string)
    return found
