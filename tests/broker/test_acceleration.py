"""What ``broker`` says about the form that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import broker
from broker import acceleration

HERE = Path(broker.__file__).parents[1]
SHOW = "import broker, broker.acceleration as a; print(broker.accelerated, a.describe())"


def shown(pure: str) -> str:
    """The form that runs in another process, with ``BROKER_PURE`` set to a text."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(HERE)!r}]\n{SHOW}"],
        env=os.environ | {"BROKER_PURE": pure},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("text", ["1", "0", "no"])
def test_pure(text: str) -> None:
    """Any text in BROKER_PURE turns the compiled modules off, and is named as the reason."""
    assert shown(text) == "False pure Python (BROKER_PURE)"


def test_an_empty_text() -> None:
    """An empty BROKER_PURE is as none: what is installed decides."""
    expected = "True accelerated", "False pure Python (no compiled modules)"
    assert shown("") in expected


def test_it_is_a_bool() -> None:
    """`broker.accelerated` is a bool, and agrees with the text."""
    assert broker.accelerated is acceleration.accelerated
    assert broker.accelerated is (acceleration.describe() == "accelerated")
