"""Builds the compiled modules; see docs/explanation/compiled-modules.md.

- ``broker._lane`` is written in C, in the folder ``native``. Each build tries to compile it. If
  that fails, perspective-broker is built without it, and the Python code does the same work.
- If ``BROKER_COMPILE`` is set, mypyc compiles modules of ``jelly``, and each failure is an error.
- If ``BROKER_PURE`` is set, nothing is compiled, and the wheel is for every Python.

The compiled modules of ``jelly`` are put in its folders ``_compiled``, never beside the Python
code. ``jelly.acceleration`` decides at run time whether these folders are used.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
# An editable installation and the archive of the sources have no modules of mypyc.
WITH_MYPYC = bool(os.environ.get("BROKER_COMPILE")) and "bdist_wheel" in sys.argv
OPTIONS = {"msvc": ["/O2"], "unix": ["-O3", "-fvisibility=hidden"]}
"""The options for the C code, by the kind of compiler; others get ``-O3``."""


def _rules() -> Any:
    """Return the module ``jelly.acceleration`` without its package, which needs others."""
    spec: Any = spec_from_file_location("acceleration", ROOT / "jelly" / "acceleration.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = _rules()


class BuildCompiled(build_ext):
    """Compiles with the right options, and puts each module in its place."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the place of a compiled module in the wheel; ``fullname`` may be its last part."""
        place = Path(super().get_ext_filename(fullname))
        if fullname.rpartition(".")[2] == "_lane":
            return str(place)
        return str(place.parent / RULES.FOLDER / place.name)

    def build_extension(self, ext: Any) -> None:
        """Compile one module; only here it is known what kind of compiler there is."""
        if ext.name == "broker._lane":
            ext.extra_compile_args = OPTIONS.get(self.compiler.compiler_type, ["-O3"])
        super().build_extension(ext)

    def run(self) -> None:
        """Compile, and write the stamp of the sources of jelly."""
        super().run()
        if WITH_MYPYC:
            stamp = Path(self.build_lib, "jelly", RULES.FOLDER, RULES.STAMP)
            stamp.write_text(RULES.stamp_of(str(ROOT / "jelly")), "ascii")


def in_c() -> Extension:
    """Return the extension module that is written in C."""
    return Extension(
        "broker._lane",
        sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("native/*.c")),
        depends=sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("native/*.h")),
        optional=not WITH_MYPYC,
    )


def by_mypyc() -> list[Any]:
    """Return the extension modules that mypyc makes."""
    from mypyc.build import mypycify

    # No configuration: `make check` has checked the types. The library that all modules share is in
    # the package jelly.
    options = ["--config-file=", "--ignore-missing-imports", "--always-true=_IS_COMPILED"]
    paths = [f"jelly/{name}" for name in RULES.COMPILED]
    return mypycify([*options, *paths], opt_level="3", debug_level="0", group_name="jelly.all")


def extensions() -> list[Any]:
    """Return all extension modules of this build."""
    if os.environ.get("BROKER_PURE"):
        return []
    # The module in C needs the global interpreter lock.
    has_lock = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return [*([in_c()] if has_lock else []), *(by_mypyc() if WITH_MYPYC else [])]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCompiled})
