"""Settings: the errors of one that cannot work.

They are under everything, since `broker` and `cred` both raise them; see ``broker.errors``.
"""

from __future__ import annotations

__all__ = ["ConfigError", "WrongType"]


class ConfigError(ValueError):
    """A setting that is unsafe, contradictory or incomplete, found before anything was opened."""


class WrongType(ConfigError, TypeError):
    """A setting that is of another type than it must be."""
