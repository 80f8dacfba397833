"""Installs the programs of the system that `make system` needs, or says which are missing.

They are Debian's packages; root installs them by apt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

__all__ = ["PACKAGES", "main", "missing"]

PACKAGES = {"ip": "iproute2", "chromium": "chromium", "nc": "netcat-openbsd"}
"""The package of each program."""

# Chromium shows no text without a font.
WITH = {"chromium": ("fonts-dejavu-core",)}


def missing(
    packages: Mapping[str, str] = PACKAGES, which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """Return the packages of the programs that are not there."""
    return [package for program, package in packages.items() if which(program) is None]


def main() -> str | None:
    """Install what is missing; return what could not be installed, as a text for the user."""
    wanted = missing()
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        all_of_them = [*wanted, *(each for package in wanted for each in WITH.get(package, ()))]
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *all_of_them]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=environment, check=False)
        wanted = missing()
    if wanted:
        return f"make system needs these packages of Debian: {' '.join(wanted)}"
    return None


if __name__ == "__main__":
    sys.exit(main())
