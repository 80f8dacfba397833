"""Build the compiled form into an environment of its own, test it there, and compare both forms.

Run by ``make compiled``. It needs a C compiler. The compiled form has both kinds of compiled
modules: the one in C, and those of jelly that mypyc compiles. The environment takes the packages of
the one that runs this; its own perspective-broker is the compiled wheel.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from field.environments import build_wheel

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "build" / "compiled"

TESTS = [
    "tests/jelly",
    "tests/broker/core/wire",
    "tests/broker/core/objects",
    "tests/broker/test_acceleration.py",
    "tests/broker/test_native.py",
    "tests/properties",
    "tests/interop",
]
"""The tests of jelly, and of the dialect pb; ``make test`` runs all others with the module in C."""

WORKLOADS = {"w1": 2000, "w2": 5000, "w3": 100, "w5": 3}
"""Each workload of ``project.form_speed``, with its calls in a round."""


def main() -> None:
    """Build, test and compare.

    Raises:
        SystemExit: a test failed, or one kind of compiled modules is not in use.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the comparison")
    parser.add_argument("--only-speed", action="store_true", help="run no tests")
    chosen = parser.parse_args()
    python = environment()
    if not chosen.only_speed:
        for pure in ("", "1"):
            test(python, pure)
    for workload in WORKLOADS:
        compare(python, workload, chosen.rounds)


def environment(folder: Path = FOLDER) -> Path:
    """Make the environment anew; return its Python.

    Args:
        folder: where it is made, with the wheel. What is there is removed.

    Raises:
        Failed: the wheel cannot be built.
        SystemExit: one kind of compiled modules is not in use.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["BROKER_COMPILE"] = "1"
    try:
        wheel = build_wheel(ROOT, folder / "wheel")
    finally:
        del os.environ["BROKER_COMPILE"]
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", wheel]
    subprocess.run(install, check=True)
    place = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run(place, capture_output=True, text=True, check=True).stdout.strip()
    # Behind its own packages, so that its perspective-broker is the first.
    Path(found, "others.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", "utf-8"
    )
    said = run(python, "", "-c", "import broker.acceleration as a; print(a.describe())").strip()
    if said != "accelerated":
        sys.exit(f"not all compiled modules are in use: {said}")
    return python


def run(python: Path, pure: str, *arguments: str) -> str:
    """Run Python with ``BROKER_PURE`` set to a text; return what it printed."""
    settings = os.environ | {"BROKER_PURE": pure, "PYTHONSAFEPATH": "1"}
    settings["PYTHONPATH"] = str(ROOT / "tests" / "helpers")
    done = subprocess.run(
        [python, *arguments], cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def test(python: Path, pure: str) -> None:
    """Run the tests in one form.

    Raises:
        SystemExit: one failed.
    """
    print(f"tests with BROKER_PURE={pure!r}", flush=True)
    command = ["-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider"]
    try:
        print(run(python, pure, *command, *TESTS).splitlines()[-1], flush=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stdout}\nBROKER_PURE={pure!r}: tests failed")


def compare(python: Path, workload: str, rounds: int) -> None:
    """Print the processor time of a workload in both forms, and their ratio."""
    times: dict[str, list[float]] = {"1": [], "": []}
    calls = str(WORKLOADS[workload])
    for _ in range(rounds):
        for pure, found in times.items():
            found.append(float(run(python, pure, "-m", "project.form_speed", workload, calls)))
    slow, quick = times["1"], times[""]
    ratio = statistics.median(one / other for one, other in zip(slow, quick, strict=True))
    print(
        f"{workload.upper()}: Python {statistics.median(slow):.1f} µs, compiled"
        f" {statistics.median(quick):.1f} µs a call, ratio {ratio:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
