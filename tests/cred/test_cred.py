"""The cred package: its names, and what importing it loads."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

import cred


@pytest.mark.parametrize("module", ["error", "credentials", "checkers", "portal"])
def test_main_names_are_those_of_the_modules(module: str) -> None:
    """A published name of a module is the same object in the package."""
    source = import_module(f"cred.{module}")
    for name in set(source.__all__) & set(cred.__all__):
        assert getattr(cred, name) is getattr(source, name)


def test_every_name_exists() -> None:
    """Each name of `__all__`, of the package and of its modules, is there."""
    modules = [import_module(f"cred.{found.name}") for found in iter_modules(cred.__path__)]
    assert len(modules) > 9
    for module in (cred, *modules):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_import_loads_no_protocol() -> None:
    """`import cred` loads no jelly, no protocol, nothing that knows loops or sockets, no plugin."""
    code = "import sys, cred, cred.challenges; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    unwanted = re.compile(
        r"(jelly|broker\.(core|flavors|net|reactor|pb|connection|login|client|server|errors)"
        r"|cred\.(strcred|factories)|asyncio|socket|ssl|OpenSSL|msgspec|twisted)(\..*)?"
    )
    loaded = done.stdout.split()
    assert "cred.portal" in loaded
    assert [name for name in loaded if unwanted.fullmatch(name)] == []
