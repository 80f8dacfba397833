"""The build backend: that of setuptools, which asks for mypy only if BROKER_COMPILE is set."""

from __future__ import annotations

import os
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - all hooks that are not here

# Older ones of mypyc are not tested. It must see the bases of our records.
COMPILER = ["mypy[mypyc]>=2.0", "msgspec>=0.18"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what a build of a wheel needs; without BROKER_COMPILE, nothing more."""
    needed = build_meta.get_requires_for_build_wheel(config_settings)
    return [*needed, *COMPILER] if os.environ.get("BROKER_COMPILE") else needed
