"""Compiles modules of jelly if BROKER_COMPILE is set; see docs/explanation/compiled-modules.md.

The compiled modules of a package are put in its folder ``_compiled``, never beside the Python code.
``jelly.acceleration`` decides at run time whether that folder is used.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def _rules() -> Any:
    """Return the module ``jelly.acceleration`` without its package, which needs others."""
    spec: Any = spec_from_file_location("acceleration", ROOT / "jelly" / "acceleration.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RULES = _rules()


class BuildCompiled(build_ext):
    """Puts compiled modules in the folders ``_compiled``, with the stamp of their sources."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the place of a compiled module in the wheel."""
        place = Path(super().get_ext_filename(fullname))
        return str(place.parent / RULES.FOLDER / place.name)

    def run(self) -> None:
        """Compile, and write the stamp."""
        super().run()
        stamp = Path(self.build_lib, "jelly", RULES.FOLDER, RULES.STAMP)
        stamp.write_text(RULES.stamp_of(str(ROOT / "jelly")), "ascii")


def extensions() -> list[Any]:
    """Return the extension modules that mypyc makes."""
    from mypyc.build import mypycify

    # No configuration: `make check` has checked the types. The library that all modules share is in
    # the package jelly.
    options = ["--config-file=", "--ignore-missing-imports", "--always-true=_IS_COMPILED"]
    paths = [f"jelly/{name}" for name in RULES.COMPILED]
    return mypycify([*options, *paths], opt_level="3", debug_level="0", group_name="jelly.all")


# An editable installation and the archive of the sources are never compiled.
if os.environ.get("BROKER_COMPILE") and "bdist_wheel" in sys.argv:
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCompiled})
else:
    setup()
