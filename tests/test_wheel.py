"""What is built and installed with a C compiler, and without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"]
FOLDERS = ["broker", "cred", "jelly", "native", "build_backend"]
COMPILED = (".so", ".pyd")
# Nothing of the environment of this process asks for a form, or for another compiler.
USUAL = {"BROKER_COMPILE": "", "BROKER_PURE": ""}
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}
SHOW = """import broker.acceleration, jelly
print(broker.acceleration.describe(), jelly.jelly('x'), jelly.__file__)"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources alone; a build leaves files there."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in PARTS:
        shutil.copy(ROOT / name, folder)
    unwanted = shutil.ignore_patterns(
        "__pycache__", "_compiled", "node_modules", *(f"*{end}" for end in COMPILED)
    )
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    return folder


@pytest.fixture(scope="module")
def has_compiler(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether this machine can build an extension module for this Python."""
    folder = tmp_path_factory.mktemp("compiler")
    (folder / "module.c").write_text("#include <Python.h>\n", "ascii")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    command = [*compiler, "-I", sysconfig.get_path("include"), "-shared", "-fPIC", "module.c"]
    if shutil.which(compiler[0]) is None:
        return False
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def run(folder: Path, *arguments: str, **environment: str) -> str:
    """Run Python in a folder; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | USUAL | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(hook: str, sources: Path, folder: Path, **environment: str) -> Path:
    """Call a hook of the build backend as an installer does; return the file that it made."""
    program = f"import sys; sys.path[:0] = ['build_backend']; import backend; backend.{hook}"
    run(sources, "-c", f"{program}({str(folder)!r})", **environment)
    (made,) = folder.iterdir()
    return made


def installed(sources: Path, folder: Path, **environment: str) -> str:
    """Install with pip into a folder, without the network; return what runs there."""
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target"]
    run(sources, "-m", "pip", "install", *options, str(folder), str(sources), **environment)
    path = f"import sys; sys.path[:0] = [{str(folder)!r}]\n"
    return run(folder, "-c", path + SHOW)


def expected(form: str, folder: Path) -> str:
    """What is printed where a form runs that is installed in a folder."""
    return f"{form} [b'unicode', b'x'] {folder / 'jelly' / '__init__.py'}\n"


def test_the_wheel_for_every_python(sources: Path, tmp_path: Path) -> None:
    """With BROKER_PURE nothing is compiled: the wheel is for every Python, without native."""
    wheel = built("build_wheel", sources, tmp_path / "wheel", BROKER_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"broker", "cred", "jelly"}
    assert not any(name.endswith((*COMPILED, ".c")) or "_compiled" in name for name in names)
    static = ("broker.js", "broker-login.js", "broker-served.js", "broker-again.js")
    pages = {f"broker/web/static/{each}" for each in static}
    pages |= {f"broker/web/admin/{each}" for each in ("admin.html", "admin.js")}
    assert {"broker/_lane.pyi", *pages} <= set(names)
    assert not any(name.startswith("broker/web/client") for name in names)


def test_an_installation_without_a_compiler(sources: Path, tmp_path: Path) -> None:
    """Without a compiler pip installs the Python code, which works."""
    folder = tmp_path / "installed"
    form = "pure Python (no compiled module)"
    assert installed(sources, folder, **NO_COMPILER) == expected(form, folder)
    assert [path for path in folder.rglob("*") if path.suffix in COMPILED] == []


@pytest.mark.timeout(300)  # It compiles all modules.
def test_an_installation(sources: Path, tmp_path: Path, has_compiler: bool) -> None:
    """With a compiler pip installs the module in C, which runs; without one, the Python code."""
    folder = tmp_path / "installed"
    forms = {True: "accelerated (not jelly)", False: "pure Python (no compiled module)"}
    assert installed(sources, folder) == expected(forms[has_compiler], folder)
    compiled = [path for path in folder.rglob("*") if path.suffix in COMPILED]
    assert [path.name.partition(".")[0] for path in compiled] == ["_lane"] * has_compiler
    assert {path.parent for path in compiled} <= {folder / "broker"}


def test_an_editable_installation(sources: Path, tmp_path: Path, has_compiler: bool) -> None:
    """The module in C is put beside the Python code, where there is a compiler."""
    built("build_editable", sources, tmp_path / "first", **NO_COMPILER)
    assert list(sources.glob("broker/_lane.*")) == [sources / "broker" / "_lane.pyi"]
    built("build_editable", sources, tmp_path / "second")
    compiled = [path for path in sources.glob("broker/*") if path.suffix in COMPILED]
    assert len(compiled) == has_compiler


def test_the_archive_of_the_sources(sources: Path, tmp_path: Path) -> None:
    """It contains what a build of the wheel needs."""
    with tarfile.open(built("build_sdist", sources, tmp_path / "archive")) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    in_c = {f"native/{path.name}" for path in ROOT.glob("native/*")}
    assert "native/module.c" in in_c
    needed = {"setup.py", "pyproject.toml", "build_backend/backend.py", "README.md"}
    needed |= {"broker/web/static/broker.js", "broker/web/client/src/browser.ts"}
    needed |= {"broker/web/admin/admin.html", "broker/web/client/admin/admin.ts"}
    assert needed | in_c <= names


@pytest.mark.parametrize(("text", "is_needed"), [("", False), ("1", True)])
def test_what_a_build_needs(sources: Path, text: str, is_needed: bool) -> None:
    """A build needs mypy only if mypyc is asked for."""
    program = "import sys; sys.path[:0] = ['build_backend']; import backend\n"
    program += "print(backend.get_requires_for_build_wheel())"
    assert ("mypy" in run(sources, "-c", program, BROKER_COMPILE=text)) is is_needed
