"""The names of ``broker.testing``, and that a program without tests loads none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import broker
from broker import testing

HERE = Path(broker.__file__).parents[1]


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_resolves(name: str) -> None:
    """Each name leads to something that has that name, and no module has it, too."""
    assert getattr(testing, name).__name__ == name
    assert not (Path(testing.__file__).parent / f"{name}.py").exists()


def test_other_names() -> None:
    """A misspelt name is an AttributeError."""
    with pytest.raises(AttributeError, match="'pears'"):
        testing.pears  # noqa: B018


def test_only_the_plugin_loads_pytest() -> None:
    """The kit loads neither pytest nor Twisted, and the library loads nothing of the kit."""
    program = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import broker, broker.pb, broker.server, broker.client, broker.reactor, broker.commands
assert not [name for name in sys.modules if name.startswith("broker.testing")]
from broker.testing import *
print([name for name in ("pytest", "_pytest", "twisted") if name in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout == "[]\n", run.stderr
