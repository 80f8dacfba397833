"""Virtual environments, one for each stranger's program, with this library in each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from field.processes import run

__all__ = ["Environment", "build_wheel"]

SECONDS_TO_INSTALL = 900.0


def build_wheel(root: Path, folder: Path) -> Path:
    """Return the wheel of this library, built anew from its sources in ``root``."""
    for old in folder.glob("*.whl"):
        old.unlink()
    # What setuptools has left there would go into the wheel, even if its source has gone.
    for left in root.glob("build/lib*"):
        shutil.rmtree(left, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, root]
    run("pip wheel", command, root, seconds=SECONDS_TO_INSTALL)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment with what a program asks for; made once, and kept.

    This library is installed anew each time, its sources may have changed. It is resolved together
    with the rest, so that a dependency that leaves no version for both is found.

    Args:
        folder: where the environment is, or is made.
        requirements: what is installed beside this library.
        wheel: this library.
    """

    def __init__(self, folder: Path, requirements: Sequence[str], wheel: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        done = folder / "installed.txt"
        wanted = "\n".join(requirements)
        if not done.exists() or done.read_text("utf-8") != wanted:
            command = [sys.executable, "-m", "venv", "--clear", folder]
            subprocess.run(command, check=True, timeout=SECONDS_TO_INSTALL)
            self.pip("install", *requirements, f"{wheel}[cli]")
            done.write_text(wanted, "utf-8")
        self.pip("install", "--force-reinstall", "--no-deps", str(wheel))

    def pip(self, *arguments: str) -> None:
        """Run pip in this environment.

        Raises:
            Failed: pip did.
        """
        command = [self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
        run("pip", command, self.folder, seconds=SECONDS_TO_INSTALL)

    def script(self, name: str) -> list[str | Path]:
        """Return the command that runs an installed program."""
        return [self.python, self.python.with_name(name)]

    def installed(self, name: str) -> Path:
        """Return the folder of an installed package."""
        code = "import sys, importlib.util as u; print(u.find_spec(sys.argv[1]).origin)"
        return Path(run("python", [self.python, "-c", code, name], self.folder).strip()).parent

    def versions(self, *names: str) -> str:
        """Return the versions of installed distributions, in one line."""
        code = "import sys, importlib.metadata as m\nfor n in sys.argv[1:]: print(n, m.version(n))"
        command = [self.python, "-c", code, *names]
        return ", ".join(run("python", command, self.folder).splitlines())
