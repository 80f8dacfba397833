"""Settings: the error of one that cannot stand.

It is under everything, since `broker` and `cred` both raise it; to be had from ``broker.errors``.
"""

from __future__ import annotations

__all__ = ["ConfigError"]


class ConfigError(ValueError):
    """A setting that is unsafe, contradictory or incomplete, found before anything was opened."""
