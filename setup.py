"""Compiles some modules of jelly if BROKER_COMPILE is set; see docs/explanation/compiled-modules.md.

The compiled modules of a package are put in its folder ``_compiled``, never beside the Python code.
``jelly.acceleration`` decides at run time whether that folder is used.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent


def rules():
    """Return the module ``jelly.acceleration``, without the package, whose requirements may miss."""
    spec = spec_from_file_location("acceleration", ROOT / "jelly" / "acceleration.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildExt(build_ext):
    """Puts compiled modules in the folders ``_compiled``, with the stamp of their sources."""

    def get_ext_filename(self, fullname):
        """Return the place of a compiled module in the wheel."""
        place = Path(super().get_ext_filename(fullname))
        return str(place.parent / rules().FOLDER / place.name)

    def run(self):
        """Compile, and write the stamp."""
        if self.inplace:
            raise SystemExit("BROKER_COMPILE does not work for an editable installation")
        super().run()
        folder = Path(self.build_lib) / "jelly" / rules().FOLDER
        (folder / rules().STAMP).write_text(rules().stamp_of(str(ROOT / "jelly")), "ascii")


def extensions():
    """Return the extension modules that mypyc makes."""
    from mypyc.build import mypycify

    os.chdir(ROOT)
    # No configuration: the types were checked by ``make check``. The name of the library that all
    # share is one of the package jelly.
    options = ["--config-file=", "--ignore-missing-imports", "--always-true=_IS_COMPILED"]
    paths = [f"jelly/{name}" for name in rules().COMPILED]
    return mypycify([*options, *paths], opt_level="3", debug_level="0", group_name="jelly.all")


if os.environ.get("BROKER_COMPILE"):
    sys.path.insert(0, str(ROOT))
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
else:
    setup()
