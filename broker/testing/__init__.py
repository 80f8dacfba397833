"""The test kit for programs that use this library: two connected ends in memory, and more.

Names are loaded when they are first used. Nothing else in this library imports this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Wire"]

if TYPE_CHECKING:
    from broker.testing.network import Wire

_HOMES = {"broker.testing.network": "Wire"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:
    # A type checker that sees this function accepts every misspelt name.
    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'broker.testing' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value
