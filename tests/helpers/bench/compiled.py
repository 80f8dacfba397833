"""Run the benchmark with the compiled form, if it can be built here.

``make bench`` runs this. If there is a C compiler, with the header files of Python, a wheel with
both kinds of compiled modules is installed into an environment of its own below ``build/bench``,
and `bench.run` runs there. If there is not, `bench.run` measures what is installed here, and the
page says which form that is. A build that fails in spite of the compiler is an error.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from project.compiled import environment
from support import programs
from support.folders import ROOT

__all__ = ["has_compiler", "main"]

FOLDER = ROOT / "build" / "bench"
_SOURCE = "#include <Python.h>\nint main(void) { return PY_MAJOR_VERSION - 3; }\n"


def has_compiler() -> bool:
    """Return whether the C compiler that a build would use compiles a file that needs Python."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = f"-I{sysconfig.get_path('include')}"
    with TemporaryDirectory(prefix="compiler-") as folder:
        Path(folder, "one.c").write_text(_SOURCE, "ascii")
        command = [*compiler, include, "-c", "one.c", "-o", "one.o"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        return Path(folder, "one.o").exists()


def main(arguments: list[str]) -> int:
    """Run the benchmark with these arguments; return its status."""
    command = programs.command("bench.run", *arguments)
    if has_compiler():
        print("building the compiled form", file=sys.stderr, flush=True)
        command[0] = str(environment(FOLDER))
    else:
        print("there is no C compiler: what is installed is measured", file=sys.stderr, flush=True)
    # Neither the current folder nor a folder of the caller may hide the package that is measured.
    there = programs.environment(PYTHONSAFEPATH="1", PYTHONPATH="")
    return subprocess.run(command, env=there, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
