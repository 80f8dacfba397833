"""The build of the wheel: without a compiler it gives the Python code, which works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"]
FOLDERS = ["broker", "cred", "jelly", "build_backend"]
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "BROKER_COMPILE": "", "BROKER_PURE": ""}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources alone."""
    folder = tmp_path_factory.mktemp("sources")
    for name in PARTS:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        unwanted = shutil.ignore_patterns("__pycache__", "_compiled")
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    return folder


def run(program: str, folder: Path, *path: Path, **environment: str) -> str:
    """Run a program in a folder, with others in front of its path; return what it printed."""
    found = [str(each) for each in path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {found!r}\n{program}"],
        cwd=folder,
        env=os.environ | NO_COMPILER | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(hook: str, sources: Path, folder: Path) -> Path:
    """Call a hook of the build backend as an installer does; return the file that it made."""
    run(f"import backend; backend.{hook}({str(folder)!r})", sources, sources / "build_backend")
    (made,) = folder.iterdir()
    return made


def test_the_wheel_without_a_compiler(sources: Path, tmp_path: Path) -> None:
    """It is for every Python, has the Python code alone, and what it contains works."""
    wheel = built("build_wheel", sources, tmp_path / "wheel")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        content.extractall(tmp_path / "installed")
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"broker", "cred", "jelly"}
    assert not any(name.endswith((".so", ".pyd", ".c")) or "_compiled" in name for name in names)
    program = "import broker, jelly; print(broker.accelerated, jelly.jelly('x'), jelly.__file__)"
    installed = tmp_path / "installed"
    place = installed / "jelly" / "__init__.py"
    assert run(program, tmp_path, installed) == f"False [b'unicode', b'x'] {place}\n"


def test_the_archive_of_the_sources(sources: Path, tmp_path: Path) -> None:
    """It contains what a build of the wheel needs."""
    with tarfile.open(built("build_sdist", sources, tmp_path / "archive")) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {"setup.py", "pyproject.toml", "build_backend/backend.py", "README.md"} <= names


@pytest.mark.parametrize(("text", "is_needed"), [("", False), ("1", True)])
def test_what_a_build_needs(sources: Path, text: str, is_needed: bool) -> None:
    """A build needs mypy only if the compiled form is asked for."""
    program = "import backend; print(backend.get_requires_for_build_wheel())"
    needed = run(program, sources, sources / "build_backend", BROKER_COMPILE=text)
    assert ("mypy" in needed) is is_needed
