"""Decides whether the extension module in C, ``broker._lane``, is used.

:data:`native` is that module, or None. If it is None, the Python code does the same work. The
decision is made once, when this module is imported, and holds for the whole process. The module is
not used in these cases:

- It is not installed: perspective-broker was built without a C compiler.
- The environment variable ``BROKER_PURE`` is set to any text that is not empty.
- Python is a free-threaded build. The module needs the global interpreter lock (GIL).
- It cannot be loaded, or its ``VERSION`` is not :data:`VERSION`. Then it was built from other
  sources. One WARNING is logged.

``BROKER_PURE`` is read here and also in ``jelly.acceleration``, which decides about the modules
that mypyc compiles. Neither can ask the other one: jelly imports nothing of broker, and
``import cred``, which needs this module, loads nothing of jelly.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["VERSION", "find", "native"]

VERSION = 3
"""The version of what this code and the extension module expect of each other.

It is raised, here and in ``native/module.c``, whenever one of them changes what it expects.
"""


def find(name: str = "broker._lane") -> ModuleType | None:
    """Return the extension module if it is to be used, otherwise None.

    Logs one WARNING if it is installed and does not fit.

    Args:
        name: the full name of the module.
    """
    # Since Python 3.13 this text is the documented mark of a build without the GIL.
    if os.environ.get("BROKER_PURE") or "free-threading build" in sys.version:
        return None
    try:
        module = import_module(name)
    except Exception as error:  # noqa: BLE001 - a module of other sources can fail in any way
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return None
        reason = str(error)
    else:
        found = getattr(module, "VERSION", None)
        if found == VERSION:
            return module
        reason = f"version {found} in {module.__file__}, not {VERSION}"
    # Imported here, since nothing else in this module needs it.
    import logging

    logging.getLogger("broker").warning(
        "the extension module %s does not belong to this version of the Python code, which runs"
        " instead (%s); install perspective-broker again",
        name,
        reason,
    )
    return None


native: ModuleType | None = find()
"""The extension module, or None if the Python code runs."""
