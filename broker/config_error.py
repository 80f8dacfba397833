"""The errors of settings that cannot work.

This module imports nothing, since `broker` and `cred` both raise them; see ``broker.errors``.
"""

from __future__ import annotations

__all__ = ["ConfigError", "WrongType"]


class ConfigError(ValueError):
    """A setting is unsafe, contradictory or incomplete; raised before anything is opened.

    Attributes:
        setting, fix, parts: how to fix it, see ``broker.fixes``; empty if the text says all.
    """

    setting = ""
    fix = ""
    parts = ("", "")


class WrongType(ConfigError, TypeError):
    """A setting has the wrong type."""
