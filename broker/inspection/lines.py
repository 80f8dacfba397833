"""Compiles and runs lines of Python in one namespace, with ``await`` outside of functions."""

from __future__ import annotations

import ast
import builtins
import inspect
import keyword
import re
from codeop import CommandCompiler
from collections.abc import Iterable
from traceback import TracebackException
from types import CodeType

__all__ = ["FAULTS", "FILE", "MOST_COMPLETIONS", "Lines", "told"]

FILE = "<shell>"
"""The name of the file in the tracebacks of lines."""

FAULTS = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)
"""The errors of `Lines.compiled`."""

MOST_COMPLETIONS = 200

_DOTTED = re.compile(r"((?:[^\W\d]\w*\.)*)([^\W\d]\w*)?\Z")
_LONGEST = 500


class Lines:
    """A namespace, and the lines that run in it.

    Args:
        names: the names that the lines have at first.

    Attributes:
        names: the namespace.
    """

    def __init__(self, names: dict[str, object]):
        self.names: dict[str, object] = {"__name__": "__console__", "__doc__": None, **names}
        self._compiler = CommandCompiler()
        self._compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def compiled(self, source: str) -> CodeType | None:
        """Return the code of the source; None if it needs more lines.

        Raises:
            SyntaxError, ValueError, OverflowError, RecursionError, MemoryError: it is not Python.
        """
        return self._compiler(source, FILE, "single")

    async def run(self, code: CodeType) -> None:
        """Run the code.

        Raises:
            BaseException: what it raises.
        """
        result = eval(code, self.names)  # noqa: S307 - the purpose of this module
        if code.co_flags & inspect.CO_COROUTINE:
            await result

    def complete(self, text: str) -> list[str]:
        """Return what the end of a text can become: names, and attributes behind a dot.

        A property may run code of its class.
        """
        found = _DOTTED.search(text)
        if found is None or not found[0]:
            return []
        path, start = found[1], found[2] or ""
        try:
            names = self._names_of(path)
        except Exception:  # noqa: BLE001 - any error of a property: it has no completions
            return []
        hidden = () if start.startswith("_") else ("_",)
        return [
            f"{path}{name}"
            for name in sorted(names)
            if name.startswith(start) and not name.startswith(hidden)
        ][:MOST_COMPLETIONS]

    def _names_of(self, path: str) -> Iterable[str]:
        if not path:
            return {*self.names, *dir(builtins), *keyword.kwlist}
        first, *rest = path.removesuffix(".").split(".")
        value = self.names[first] if first in self.names else getattr(builtins, first)
        for name in rest:
            value = getattr(value, name)
        return {name for name in dir(value) if isinstance(name, str)}


def told(error: BaseException) -> str:
    """Return the traceback of an error of a line, from the line on."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename != FILE:
        traceback = traceback.tb_next
    shown = TracebackException(type(error), error, traceback, limit=-_LONGEST)
    return "".join(shown.format())
