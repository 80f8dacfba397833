"""Calls a function as soon as a module of another package has been loaded.

The module is not imported for this. If it is loaded already, the call is made at once; otherwise a
finder in ``sys.meta_path`` waits for its name. This costs every other import one lookup in a small
dict.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["when_loaded"]

Function = Callable[[ModuleType], object]


class _Finder:
    """Asks the finders behind it, and wraps the loader of a module in ``waiting``.

    Attributes:
        waiting: the functions to call, by the name of the module. They stay, since a module that is
            deleted and imported again has new classes.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, list[Function]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        functions = self.waiting.get(name)
        if functions is None:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, functions)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a module with its own loader, then calls the functions with the module."""

    def __init__(self, loader: Any, functions: list[Function]):
        self._loader = loader
        self._functions = functions

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module has its own loader as attribute, which knows its source and its files.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for function in self._functions:
            function(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_finder = _Finder()


def when_loaded(module: str, function: Function) -> None:
    """Call ``function(module)`` now if the module is loaded, and each time that it is loaded.

    The ``import`` raises the exceptions of the function.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.waiting.setdefault(module, []).append(function)
    loaded = sys.modules.get(module)
    if loaded is not None:
        function(loaded)
