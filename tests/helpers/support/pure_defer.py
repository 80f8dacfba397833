"""``broker.defer`` a second time in the same process, without the module in C."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import broker.defer
from broker.defer import awaiting, chain

__all__ = ["FORMS", "outcome", "wait"]

_NAMES = ("broker.defer", "broker.native")


def _is_ours(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in _NAMES)


def _form(defer: Any, of_awaiting: Any, of_chain: Any) -> SimpleNamespace:
    return SimpleNamespace(
        defer=defer,
        Deferred=defer.Deferred,
        Bridge=of_awaiting.Bridge,
        TaskBridge=of_awaiting.TaskBridge,
        PENDING=of_awaiting.PENDING,
        ChainBase=of_chain.ChainBase,
        BridgeBase=of_awaiting.BridgeBase,
    )


def _pure() -> SimpleNamespace:
    """Import the modules again, and put those back that were there."""
    package = sys.modules["broker"]
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    places = {
        name: getattr(package, name) for name in ("defer", "native") if hasattr(package, name)
    }
    before = os.environ.get("BROKER_PURE")
    os.environ["BROKER_PURE"] = "1"
    try:
        modules = [
            importlib.import_module(name)
            for name in ("broker.defer", "broker.defer.awaiting", "broker.defer.chain")
        ]
    finally:
        if before is None:
            del os.environ["BROKER_PURE"]
        else:
            os.environ["BROKER_PURE"] = before
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, module in places.items():
            setattr(package, name, module)
    return _form(*modules)


FORMS = {"used": _form(broker.defer, awaiting, chain), "pure": _pure()}
"""The classes as they are used here, and as they are in Python."""


async def wait(deferred: Any) -> Any:
    """Await it."""
    return await deferred


def outcome(function: Callable[[], Any]) -> str:
    """What a function returns or raises, as text."""
    try:
        return f"returned {function()!r}"
    except StopIteration as stop:
        return f"ended with {stop.value!r}"
    except BaseException as error:
        return f"raised {type(error).__name__}({error})"
