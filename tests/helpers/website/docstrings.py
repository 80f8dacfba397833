"""Makes Markdown of the docstrings: an extension of griffe, which mkdocstrings loads.

The docstrings name things as in ``:meth:`close` ``, and have ``::`` before code, as many Python
projects do; Markdown has neither.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

from griffe import Extension, Object

__all__ = ["Markdown", "markdown"]

ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([^`]+)`")
CODE = re.compile(r"(?m)(?P<before>^.*?)(?P<colons> *::)\n\n(?P<code>(?: {4}.*\n?|\n)+)")


def markdown(text: str) -> str:
    """Return a docstring as Markdown."""

    def fenced(found: re.Match[str]) -> str:
        before = found["before"].rstrip()
        code = textwrap.dedent(found["code"]).strip("\n")
        language = "python" if _is_python(code) else "text"
        return f"{before}{':' * bool(before)}\n\n```{language}\n{code}\n```\n\n"

    return CODE.sub(fenced, ROLE.sub(r"`\1`", text))


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


class Markdown(Extension):
    """Changes the docstring of each object that is read."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
