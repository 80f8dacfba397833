"""Build the wheel of a checkout with both kinds of compiled modules, and unpack it in a folder.

``make unpacked`` runs this. The folder is ``build/unpacked`` of the checkout, which an argument may
name. It has the packages, so it can be a variant of `bench.compare` and the other commands:
``new=build/unpacked+pb``. It needs a C compiler.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from field.environments import build_wheel
from support.folders import ROOT

__all__ = ["main", "unpack"]


def unpack(wheel: Path, folder: Path) -> None:
    """Replace a folder by what is in a wheel."""
    shutil.rmtree(folder, ignore_errors=True)
    with ZipFile(wheel) as archive:
        archive.extractall(folder)


def main(arguments: list[str]) -> int:
    """Build and unpack the checkout that the argument names, or this one.

    Raises:
        Failed: the wheel cannot be built.
    """
    checkout = Path(arguments[0]).resolve() if arguments else ROOT
    os.environ["BROKER_COMPILE"] = "1"
    with TemporaryDirectory(prefix="wheel-") as made:
        folder = checkout / "build" / "unpacked"
        unpack(build_wheel(checkout, Path(made)), folder)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
