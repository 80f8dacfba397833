"""Tells whether compiled modules are in use, and why not."""

from __future__ import annotations

from jelly.acceleration import IS_PURE, is_used

__all__ = ["accelerated", "describe"]

accelerated: bool = is_used()
"""Whether any compiled module is in use; see ``jelly.acceleration`` for the rules."""


def describe() -> str:
    """Return what runs, for a person: ``accelerated``, or ``pure Python`` with the reason."""
    if accelerated:
        return "accelerated"
    return f"pure Python ({'BROKER_PURE' if IS_PURE else 'no compiled modules'})"
