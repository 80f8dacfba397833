"""Decides whether compiled modules are used in place of the Python code.

Some wheels contain compiled forms of a few modules. They are in the folder ``_compiled`` of their
package, where Python does not look. The rules, which hold for the whole process:

- Compiled modules are used if the package has them, and they belong to its Python code.
- ``BROKER_PURE``, an environment variable that is set to any text that is not empty, turns them
  off. It is read once, when ``jelly`` is imported.
- They belong to the Python code if the hash of the sources that they were made of is that of the
  sources here. If it is not, or a file is missing, one WARNING is logged and the Python code runs.
- All compiled modules are used, or none: they call each other without Python's name lookups.

The decision is made when the package ``jelly`` is imported. This module imports only what Python
has loaded anyway. ``broker.acceleration`` has the names for users. ``broker.native`` decides about
the extension module in C, which is not one of these, by rules of the same kind.
"""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import source_hash

__all__ = ["COMPILED", "FOLDER", "IS_PURE", "STAMP", "decide", "is_used", "stamp_of", "use"]

FOLDER = "_compiled"
"""The folder of a package in which its compiled modules are."""

STAMP = "sources"
"""The file in the folder of ``jelly`` that has the hash of the sources."""

COMPILED = (
    "codec/elements.py",
    "codec/reader.py",
    "codec/scalars.py",
    "codec/writer.py",
    "jellier_walk.py",
    "leaves.py",
    "parts.py",
    "unjellier_walk.py",
)
"""The modules of ``jelly`` that have a compiled form."""

# Modules whose constants the compiler puts into the compiled ones.
_CONSTANTS = ("slices.py",)

IS_PURE = bool(os.environ.get("BROKER_PURE"))
"""Whether the user turned off everything that is compiled."""

_HERE = os.path.dirname(__file__)
_LIBRARY = "all__mypyc"
# Whether the compiled modules of jelly are used. It is set once.
_is_used = False


def stamp_of(folder: str) -> str:
    """Return the hash of the sources on which the compiled modules depend.

    Args:
        folder: the folder of the package ``jelly``.

    Raises:
        OSError: a source cannot be read.
    """
    sources = []
    for name in (*COMPILED, *_CONSTANTS):
        with open(os.path.join(folder, *name.split("/")), "rb") as source:
            # The same on Windows, where an installer may change the ends of lines.
            sources.append(source.read().replace(b"\r\n", b"\n"))
    return source_hash(b"\0".join(sources)).hex()


def decide(folder: str = _HERE) -> bool:
    """Return whether the compiled modules of a package ``jelly`` can be used.

    Logs one WARNING if they do not belong to its Python code.

    Args:
        folder: the folder of the package.
    """
    compiled = os.path.join(folder, FOLDER)
    if IS_PURE or not os.path.isdir(compiled):
        return False
    try:
        with open(os.path.join(compiled, STAMP), encoding="ascii") as stamp:
            is_ours = stamp.read() == stamp_of(folder)
    except (OSError, UnicodeDecodeError):
        is_ours = False
    if is_ours and all(map(_exists, _places(folder))):
        return True
    # Imported here, since nothing else in this module needs it.
    import logging

    logging.getLogger("broker.jelly").warning(
        "the compiled modules in %s do not belong to this version of the Python code, which runs"
        " instead; install perspective-broker again",
        compiled,
    )
    return False


def _places(folder: str) -> list[str]:
    """Return the places of the compiled modules, without the ends of their names."""
    names = [*COMPILED, f"{_LIBRARY}.py"]
    parts = [name.removesuffix(".py").rpartition("/") for name in names]
    return [os.path.join(folder, package, FOLDER, module) for package, _, module in parts]


def _exists(place: str) -> bool:
    return any(os.path.exists(place + suffix) for suffix in EXTENSION_SUFFIXES)


def use(path: list[str]) -> None:
    """Let a package find its compiled modules before its Python code, if they are used.

    Args:
        path: the ``__path__`` of the package, which is changed.
    """
    if _is_used:
        path.insert(0, os.path.join(path[0], FOLDER))


def is_used() -> bool:
    """Return whether compiled modules run."""
    return _is_used


_is_used = decide()
