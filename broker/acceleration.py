"""Tells which compiled modules are in use, and why not.

There are two kinds: the extension module in C (``broker.native``), and the modules of jelly that
mypyc compiles (``jelly.acceleration``). Each is in use or not, independently of the other.
"""

from __future__ import annotations

from broker.native import native
from jelly.acceleration import IS_PURE, is_used

__all__ = ["accelerated", "describe"]

accelerated: bool = native is not None or is_used()
"""Whether any compiled module is in use, of either kind."""


def describe() -> str:
    """Return what runs, for a person.

    The text is one of these:

    - ``accelerated``: both kinds of compiled modules are in use.
    - ``accelerated (not jelly)``: the module in C, and jelly as Python code.
    - ``accelerated (only jelly)``: jelly's compiled modules, without the module in C.
    - ``pure Python (BROKER_PURE)``: the user has turned off all compiled modules.
    - ``pure Python (no compiled module)``: none is installed, or none fits this Python code. In the
      second case, a WARNING in the log has the reason.
    """
    if native is not None:
        return "accelerated" if is_used() else "accelerated (not jelly)"
    if is_used():
        return "accelerated (only jelly)"
    return f"pure Python ({'BROKER_PURE' if IS_PURE else 'no compiled module'})"
