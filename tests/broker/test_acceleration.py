"""What ``broker`` says about the form that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import broker
import jelly.acceleration
from broker import acceleration

HERE = Path(broker.__file__).parents[1]
SHOW = "import broker, broker.acceleration as a; print(broker.accelerated, a.describe())"

# By whether the module in C is in use, and whether jelly's compiled modules are.
TEXTS = {
    (True, True): "accelerated",
    (True, False): "accelerated (not jelly)",
    (False, True): "accelerated (only jelly)",
    (False, False): "pure Python (no compiled module)",
}


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
    folder = Path(jelly.acceleration.__file__).parent / jelly.acceleration.FOLDER
    installed = find_spec("broker._lane") is not None, folder.is_dir()
    assert shown("") == f"{any(installed)} {TEXTS[installed]}"


@pytest.mark.parametrize(("in_c", "by_mypyc"), TEXTS)
def test_the_kinds(in_c: bool, by_mypyc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text tells which of the two kinds of compiled modules are in use."""
    monkeypatch.setattr(acceleration, "native", pytest if in_c else None)
    monkeypatch.setattr(acceleration, "is_used", lambda: by_mypyc)
    monkeypatch.setattr(acceleration, "IS_PURE", False)
    assert acceleration.describe() == TEXTS[in_c, by_mypyc]


def test_it_is_a_bool() -> None:
    """`broker.accelerated` is a bool, and agrees with the text."""
    assert broker.accelerated is acceleration.accelerated
    assert broker.accelerated is acceleration.describe().startswith("accelerated")
