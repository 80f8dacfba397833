"""Build the module in C with sanitizers, and run programs of the helpers with it.

A sanitizer is code that the compiler adds. The address sanitizer ends the process at the first
access to memory that is not the module's, and the sanitizer of undefined behaviour at the first
operation that the C standard does not define. Both print where that was. The module is built into
``build/sanitized``, and what is installed stays as it is.

``python -m project.sanitized FOLDER fuzz.worker …`` runs a helper with the module in a folder. It
needs the environment of :meth:`Build.environment`.
"""

from __future__ import annotations

import platform
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from support import programs
from support.folders import ROOT

__all__ = ["FOLDER", "SLOWED", "Build", "build", "fault_in"]

FOLDER = ROOT / "build" / "sanitized"
SLOWED = 6.0
"""How many times as long a program takes at most: measured 2 to 3, with room."""

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OPTIONS = [*SANITIZERS, "-fno-omit-frame-pointer", "-O1", "-g", "-shared", "-fPIC"]
# Python is not built with the sanitizers, so their libraries must be loaded before it. The one of
# C++ must be there when they start, since other extension modules raise exceptions of C++.
LIBRARIES = {
    "clang": [f"libclang_rt.asan-{platform.machine()}.so", "libstdc++.so.6"],
    "gcc": ["libasan.so", "libubsan.so", "libstdc++.so.6"],
}
EXTRA = {"clang": ["-shared-libasan"], "gcc": []}
VARIABLES = {
    # Python itself does not free everything at its end. What has been freed is kept for a while, to
    # find its later use, and must not be taken for memory of an input.
    "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # The sanitizer sees each object only if each is a block of the C library's.
    "PYTHONMALLOC": "malloc",
    "BROKER_PURE": "",
}
PROBE = "#include <Python.h>\nint probe(int number) { return number + 1; }\n"


@dataclass(frozen=True)
class Build:
    """A module that was built.

    Attributes:
        folder: where it is.
        compiler: what built it, such as ``gcc 12.2.0``.
        libraries: what is loaded before Python.
    """

    folder: Path
    compiler: str
    libraries: Sequence[str]

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command line that runs a helper with the module."""
        return programs.command("project.sanitized", str(self.folder), module, *arguments)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of that command; see ``support.programs.environment``."""
        preloaded = {"LD_PRELOAD": " ".join(self.libraries)}
        return programs.environment(**{**VARIABLES, **preloaded, **variables})


def build(folder: Path = FOLDER, sources: Sequence[Path] | None = None) -> Build | None:
    """Build the module; return None if no compiler here has sanitizers.

    Args:
        folder: where the module is put; what was there is deleted.
        sources: the C files, unless they are those in ``native``.

    Raises:
        RuntimeError: a compiler that has sanitizers does not compile the module.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = _compiler(folder)
    if found is None:
        return None
    kind, made = found
    files = sources if sources is not None else sorted((ROOT / "native").glob("*.c"))
    done = _compile(kind, files, folder / f"_lane{EXTENSION_SUFFIXES[0]}")
    if done.returncode:
        raise RuntimeError(f"{made.compiler} does not compile the module:\n{done.stderr}")
    return made


def _compiler(folder: Path) -> tuple[str, Build] | None:
    """Return the kind of compiler whose sanitizers work together with this Python."""
    scratch = folder / "probe"
    scratch.mkdir()
    source, output = scratch / "probe.c", scratch / "probe.so"
    source.write_text(PROBE, "ascii")
    for kind in LIBRARIES:
        if shutil.which(kind) is None or _compile(kind, [source], output).returncode:
            continue
        places = [_asked(kind, f"-print-file-name={name}") for name in LIBRARIES[kind]]
        name = f"{kind} {_asked(kind, '-dumpversion')}"
        made = Build(folder, name, [place for place in places if "/" in place])
        program = f"import ctypes; print(ctypes.CDLL({str(output)!r}).probe(1))"
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env=made.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.stdout == "2\n":
            return kind, made
    return None


def _compile(kind: str, sources: Sequence[Path], output: Path) -> subprocess.CompletedProcess[str]:
    headers = sysconfig.get_path("include")
    command = [kind, *OPTIONS, *EXTRA[kind], "-I", headers, *map(str, sources), "-o", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _asked(kind: str, question: str) -> str:
    done = subprocess.run([kind, question], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def fault_in(errors: str) -> str | None:
    """Return what a sanitizer found, and in which function of C, or None.

    Args:
        errors: the standard error of a process that ended.
    """
    said = re.search(r"AddressSanitizer: ([\w-]+)|runtime error: (.*)", errors)
    if said is None:
        return None
    where = re.search(r" in (\w+) \S*?([\w-]+\.[ch]):\d+", errors[said.start() :])
    place = f" in {where[2]}, {where[1]}" if where else ""
    return f"sanitizer: {said[1] or said[2]}{place}"


def main() -> None:
    """Run a helper: the command line has the folder of the module, and then its own command line.

    Raises:
        SystemExit: the module in C is not the one of the build.
    """
    import broker

    folder = sys.argv[1]
    broker.__path__.insert(0, folder)
    from broker.native import native

    if native is None or Path(str(native.__file__)).parent != Path(folder):
        sys.exit(f"the module in {folder} is not in use, but {native}")
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
