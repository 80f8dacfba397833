"""The targets: what each is called, and where the function is that runs one input."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

__all__ = ["SANITIZED", "TARGETS", "load", "noted", "seeds"]

# By name: the module, the attribute, and for some a key of it.
TARGETS: dict[str, tuple[str, ...]] = {
    "banana": ("banana", "fuzz"),
    "jelly": ("graphs", "fuzz"),
    "messages": ("parsing", "fuzz"),
    "handshake": ("handshake", "fuzz"),
    "frames": ("frames", "fuzz"),
    "session-pb": ("session", "DIALECTS", "pb"),
    "session-none": ("session", "DIALECTS", "none"),
    "session-msgpack": ("session", "DIALECTS", "msgpack/1"),
    "lane": ("lane", "fuzz"),
    "http-head": ("web", "fuzz_heads"),
    "websocket": ("web", "fuzz_frames"),
    "proxy-header": ("web", "fuzz_proxy_headers"),
    "twisted-banana": ("differential", "fuzz_banana"),
    "twisted-jelly": ("differential", "fuzz_jelly"),
}

# Targets of the module in C: they run with one that the sanitizers watch, see project.sanitized.
SANITIZED = frozenset({"lane"})


def load(name: str) -> Callable[[bytes], None]:
    """Return the function that runs one input of a target, and raises what it finds."""
    module, attribute, *keys = TARGETS[name]
    found = getattr(importlib.import_module(f"fuzz.targets.{module}"), attribute)
    for key in keys:
        found = found[key]
    return found  # type: ignore[no-any-return]


def seeds(name: str) -> list[bytes]:
    """Return the inputs that a target begins with, besides those at random."""
    module = importlib.import_module(f"fuzz.targets.{TARGETS[name][0]}")
    return list(module.seeds()) if hasattr(module, "seeds") else []


def noted() -> dict[str, int]:
    """Return how often each named difference was met so far, if the target compares."""
    module = sys.modules.get("fuzz.targets.differential")
    return {} if module is None else dict(module.DIFFERED)
