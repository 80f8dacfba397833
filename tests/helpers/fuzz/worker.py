"""Fuzz one target for some seconds, in a process of its own, and print what came of it as JSON.

``coverage`` lets atheris choose inputs by what code they reach, and keeps those that reached
something new in the corpus. ``random`` needs no atheris: half of its inputs are of the corpus, with
some bytes changed, and half are new. Inputs that found something are written into a folder, and
fuzzing goes on: each fault counts once.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import mmap
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz import targets, watch

INSTRUMENTED = frozenset({"broker", "jelly"})
# How many times as long code takes at most while its branches are recorded; tried, with room.
SLOWED = 4.0
SIZES = (8, 16, 40, 120)
# A conversation takes more choices than an expression.
LONG_SIZES = (40, 120, 300, 800)
SEEDS = 64
LAST_BYTES = 1 << 16


class Last:
    """The last input, in a file, where it is also after the end of the process in C code.

    Args:
        place: the file, which is made.
    """

    def __init__(self, place: Path):
        self._place = place
        place.write_bytes(bytes(LAST_BYTES))
        with place.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), LAST_BYTES)

    def write(self, data: bytes) -> None:
        """Keep an input in place of the one before; of a longer one than 64 KiB the beginning."""
        kept = data[: LAST_BYTES - 4]
        self._memory[: 4 + len(kept)] = (1 + len(kept)).to_bytes(4, "big") + kept

    def forget(self) -> None:
        """Delete the file."""
        self._place.unlink()

    @staticmethod
    def read(place: Path) -> bytes | None:
        """Return the input in a file; None if there is no file, or no input has begun."""
        content = place.read_bytes() if place.exists() else b""
        size = int.from_bytes(content[:4], "big")
        return content[4 : 3 + size] if size else None


class Run:
    """One run of one target.

    Args:
        name: of the target.
        seconds: how long.
        found: the folder for inputs that find something.
        output: where the result is written.
        last: the file of the last input.
        slowed: how many times as long code takes at most, because something else watches it.
    """

    def __init__(
        self, name: str, seconds: float, found: Path, output: Any, last: Path, slowed: float
    ):
        self.executions = 0
        self.findings: Counter[str] = Counter()
        self.name = name
        self.sizes = LONG_SIZES if name.startswith("session") else SIZES
        self.found = found
        self._output = output
        self._last = Last(last)
        self._slowed = slowed
        self._begin = time.monotonic()
        self._seconds = seconds
        self._watch: watch.Watch

    def load(self, allowance: float) -> None:
        """Import the target; ``allowance`` is of ``watch.Watch``."""
        self._watch = watch.Watch(targets.load(self.name), allowance * self._slowed)
        # What is there now is no garbage of an input's.
        gc.freeze()
        self._begin = time.monotonic()

    def one(self, data: bytes) -> None:
        """Run one input."""
        self.executions += 1
        self._last.write(data)
        fault = self._watch.find(data)
        if fault is not None:
            self.findings[fault] += 1
            if self.findings[fault] == 1:
                self._keep(data, fault)
        if not self.executions & 0x3F and time.monotonic() - self._begin > self._seconds:
            self.end()

    def end(self) -> None:
        """Print what came of it, and end the process, which a fuzzer would not."""
        seconds = time.monotonic() - self._begin
        result = {"executions": self.executions, "seconds": round(seconds, 1)}
        result["findings"] = dict(self.findings)  # type: ignore[assignment]
        result["differences"] = targets.noted()  # type: ignore[assignment]
        self._output.write(json.dumps(result) + "\n")
        self._output.flush()
        self._last.forget()
        os._exit(0)

    def _keep(self, data: bytes, fault: str) -> None:
        name = keep(data, self.found)
        print(f"{self.name}: {fault} ({name})", file=sys.stderr)


def keep(data: bytes, folder: Path) -> str:
    """Write an input that found something into a folder; return the name of its file."""
    name = f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    (folder / name).write_bytes(data)
    return name


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, required=True, help="where findings are kept")
    parser.add_argument("--method", choices=METHODS, default="random")
    parser.add_argument("--corpus", type=Path, required=True, help="inputs that reached something")
    parser.add_argument("--last", type=Path, required=True, help="a file for the last input")
    parser.add_argument("--slowed", type=float, default=1.0, help="how many times, by sanitizers")
    options = parser.parse_args()
    for folder in (options.found, options.corpus, options.last.parent):
        folder.mkdir(parents=True, exist_ok=True)
    # What a fuzzer prints is not ours to read: the result has a file of its own.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run = Run(options.target, options.seconds, options.found, output, options.last, options.slowed)
    METHODS[options.method](run, options.seed, options.corpus)


def _at_random(run: Run, seed: int, corpus: Path) -> None:
    run.load(1.0)
    dice = random.Random(seed)
    known = [path.read_bytes() for path in sorted(corpus.iterdir())] + targets.seeds(run.name)
    while True:
        if known and dice.randrange(2):
            data = bytearray(dice.choice(known) or b"\0")
            for _ in range(dice.randrange(1, 5)):
                at = dice.randrange(len(data))
                # Changed, put in, or exchanged for the rest of another input.
                match dice.randrange(3):
                    case 0:
                        data[at] = dice.randrange(256)
                    case 1:
                        data[at:at] = dice.randbytes(dice.randrange(1, 5))
                    case _:
                        data[at:] = dice.choice(known)[at:] or b"\0"
            run.one(bytes(data))
        else:
            run.one(dice.randbytes(dice.choice(run.sizes)))


def _by_coverage(run: Run, seed: int, corpus: Path) -> None:
    import atheris
    from atheris.import_hook import HookManager

    # Branches only: to record each comparison too makes the decoders six times as slow, and the
    # values that they compare with are among those that the generators pick.
    with HookManager(set(INSTRUMENTED), set(), False, trace_dataflow=False):
        run.load(SLOWED)
    dice = random.Random(seed)
    for number in range(SEEDS):
        (corpus / f"seed-{number}").write_bytes(dice.randbytes(dice.choice(run.sizes)))
    for number, data in enumerate(targets.seeds(run.name)):
        (corpus / f"begin-{number}").write_bytes(data)
    # libFuzzer takes 0 for a seed of its own choice.
    options = [f"-seed={seed + 1}", f"-max_len={max(run.sizes)}", "-len_control=0", "-verbosity=0"]
    options += ["-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={run.found}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], run.one)
    atheris.Fuzz()


METHODS: dict[str, Callable[[Run, int, Path], None]] = {
    "coverage": _by_coverage,
    "random": _at_random,
}

if __name__ == "__main__":
    main()
