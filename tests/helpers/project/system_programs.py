"""Installs the programs of the system that `make system` needs, or says which are missing.

They are Debian's packages; root installs them by apt.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from ctypes.util import find_library

__all__ = ["LIBRARIES", "PACKAGES", "main", "missing", "missing_libraries"]

PACKAGES = {
    "ip": "iproute2",
    "chromium": "chromium",
    "nc": "netcat-openbsd",
    "Xvfb": "xvfb",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "tmux": "tmux",
    "systemd-socket-activate": "systemd",
}
"""The package of each program."""

LIBRARIES = {
    "EGL": "libegl1", "GL": "libgl1", "xkbcommon": "libxkbcommon0", "dbus-1": "libdbus-1-3",
    "fontconfig": "libfontconfig1", "glib-2.0": "libglib2.0-0",
}  # fmt: skip
"""The package of each library that Qt loads."""

# Chromium shows no text without a font.
WITH = {"chromium": ("fonts-dejavu-core",)}


def missing(
    packages: Mapping[str, str] = PACKAGES, which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """Return the packages of the programs that are not there."""
    return [package for program, package in packages.items() if which(program) is None]


def missing_libraries(
    packages: Mapping[str, str] = LIBRARIES, find: Callable[[str], str | None] = find_library
) -> list[str]:
    """Return the packages of the libraries that are not there, and Tk's if Python lacks it."""
    tk = [] if importlib.util.find_spec("_tkinter") else ["python3-tk"]
    return [package for name, package in packages.items() if find(name) is None] + tk


def main() -> str | None:
    """Install what is missing; return what could not be installed, as a text for the user."""
    wanted = [*missing(), *missing_libraries()]
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        all_of_them = [*wanted, *(each for package in wanted for each in WITH.get(package, ()))]
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *all_of_them]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, env=environment, check=False)
        wanted = [*missing(), *missing_libraries()]
    if wanted:
        return f"make system needs these packages of Debian: {' '.join(wanted)}"
    return None


if __name__ == "__main__":
    sys.exit(main())
