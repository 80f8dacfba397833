"""Which form of jelly runs: that of compiled modules, or the Python code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import jelly
from jelly import acceleration

PACKAGE = Path(jelly.__file__).parent


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A package jelly with compiled modules that cannot be loaded, and a stamp that is right."""
    package = tmp_path / "jelly"
    unwanted = shutil.ignore_patterns(acceleration.FOLDER, "__pycache__")
    shutil.copytree(PACKAGE, package, ignore=unwanted)
    for name in (*acceleration.COMPILED, "all__mypyc.py"):
        place = (package / name).with_suffix(EXTENSION_SUFFIXES[0])
        place.parent.joinpath(acceleration.FOLDER).mkdir(exist_ok=True)
        place.parent.joinpath(acceleration.FOLDER, place.name).write_bytes(b"")
    stamp = package / acceleration.FOLDER / acceleration.STAMP
    stamp.write_text(acceleration.stamp_of(str(package)), "ascii")
    return package


def loaded(package: Path, pure: str = "") -> subprocess.CompletedProcess[str]:
    """Import a package jelly in another process, and print what decodes there."""
    program = f"""import sys; sys.path[:0] = [{str(package.parent)!r}]
import jelly
print(jelly.unjelly(jelly.jelly([1, "two"])), jelly.acceleration.is_used())"""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"BROKER_PURE": pure},
        capture_output=True,
        text=True,
        check=False,
    )


def test_compiled_modules_are_used(fake: Path) -> None:
    """Compiled modules that belong to the Python code are loaded: these here cannot be."""
    done = loaded(fake)
    assert done.returncode == 1
    assert acceleration.FOLDER in done.stderr
    assert "ImportError" in done.stderr


@pytest.mark.parametrize("text", ["1", "0", "no"])
def test_pure(fake: Path, text: str) -> None:
    """With any text in BROKER_PURE the Python code runs, without a warning."""
    done = loaded(fake, text)
    assert (done.stdout, done.stderr) == ("[1, 'two'] False\n", "")


@pytest.mark.parametrize("name", [*acceleration.COMPILED, "slices.py"])
def test_other_sources(fake: Path, name: str) -> None:
    """If a source is not the one that was compiled, one warning says so and Python runs."""
    with (fake / name).open("a") as source:
        source.write("# changed\n")
    done = loaded(fake)
    assert done.stdout == "[1, 'two'] False\n"
    assert done.stderr.count("do not belong to this version of the Python code") == 1
    assert str(fake / acceleration.FOLDER) in done.stderr


@pytest.mark.parametrize("name", ["parts", "all__mypyc"])
def test_a_missing_module(fake: Path, name: str) -> None:
    """If one compiled module is missing, none is used: they call each other directly."""
    (fake / acceleration.FOLDER / f"{name}{EXTENSION_SUFFIXES[0]}").unlink()
    done = loaded(fake)
    assert done.stdout == "[1, 'two'] False\n"
    assert done.stderr.count("do not belong") == 1


def test_no_stamp(fake: Path) -> None:
    """Compiled modules without a stamp are not used."""
    (fake / acceleration.FOLDER / acceleration.STAMP).unlink()
    assert loaded(fake).stdout == "[1, 'two'] False\n"


def test_ends_of_lines(fake: Path) -> None:
    """The stamp does not depend on the ends of lines, which an installer may change."""
    before = acceleration.stamp_of(str(fake))
    source = fake / "parts.py"
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    assert acceleration.stamp_of(str(fake)) == before


def test_no_compiled_modules(tmp_path: Path) -> None:
    """Where there is no folder of them, the Python code runs without a warning."""
    assert not acceleration.decide(str(tmp_path))
