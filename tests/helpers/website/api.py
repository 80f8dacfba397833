"""Writes the reference of the public names: a page for each public module, from its ``__all__``.

The modules are read and not imported. mkdocstrings makes the text of a name from the line
``::: name``. A name that is an object of an earlier page is a link to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from griffe import Alias, GriffeLoader, Module, Object

from website.modules import API

__all__ = ["Reference", "Undocumented"]

KINDS = {"function": "Functions", "class": "Classes", "attribute": "Constants and types"}


class Undocumented(Exception):
    """A public function or class has no docstring."""


class Reference:
    """The pages of the public modules.

    Args:
        root: the folder that has the packages.
    """

    def __init__(self, root: Path) -> None:
        self._loader = GriffeLoader(search_paths=[root], docstring_parser="google")
        for package in ("broker", "cred", "jelly"):
            self._loader.load(package, try_relative_path=False)
        self._loader.resolve_aliases(external=False)
        self._pages: dict[str, tuple[str, str]] = {}
        """The page of each object by its own path, and the name that it has there."""

    def pages(self) -> Iterator[tuple[str, str, str]]:
        """Yield the group, the module and the text of each page.

        Raises:
            Undocumented: a public function or class without a docstring.
        """
        for group, modules in API.items():
            for name in modules:
                yield group, name, self._page(self._loader.modules_collection[name])

    def _page(self, module: Module) -> str:
        sections: dict[str, list[str]] = {title: [] for title in KINDS.values()}
        others, short = [], []
        for name in sorted(map(str, module.exports or ())):
            found = _member(module, name)
            path = f"{module.path}.{name}"
            if module.path == "broker" and found is not None and _is_error(found):
                others.append(f"[`{name}`](broker.errors.md#broker.errors.{name})")
            elif found is None or not _has_text(found):
                short.append(f"`{name}`")
            elif not found.has_docstring:
                raise Undocumented(f"{path}: a public {found.kind.value} without a docstring")
            elif found.path in self._pages:
                page, there = self._pages[found.path]
                others.append(f"[`{name}`]({page}.md#{there})")
            else:
                self._pages[found.path] = (module.path, path)
                sections[KINDS[found.kind.value]].append(f"::: {path}\n")
        return _text(module.path, sections, others, short)


def _member(module: Module, name: str) -> Object | None:
    """The object behind a name, or None if it is made while the module runs."""
    if name not in module.members:
        return None
    found = module.members[name]
    target = found.final_target if isinstance(found, Alias) else found
    return target if isinstance(target, Object) else None


def _has_text(found: Object) -> bool:
    """Whether an object has a text; a function and a class must have one."""
    return not found.is_module and (found.has_docstring or not found.is_attribute)


def _is_error(found: Object) -> bool:
    """Whether an object is one of the errors, which have a page of their own."""
    return found.is_class and found.module.path.split(".")[-1].endswith("errors")


def _text(module: str, sections: dict[str, list[str]], others: list[str], short: list[str]) -> str:
    lines = [f"# `{module}`", "", f"::: {module}"]
    options = {"members": "false", "show_root_heading": "false", "show_root_toc_entry": "false"}
    lines += ["    options:", *(f"      {name}: {value}" for name, value in options.items()), ""]
    for title, entries in sections.items():
        if entries:
            lines += [f"## {title}", "", *entries]
    if others or short:
        lines += ["## Other names", ""]
    if others:
        lines += ["On other pages: " + ", ".join(others) + ".", ""]
    if short:
        lines += ["Without a text of their own: " + ", ".join(short) + ".", ""]
    return "\n".join(lines)
