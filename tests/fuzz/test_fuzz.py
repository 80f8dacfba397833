"""The fuzzer itself: it finds what is wrong, and what it found before stays right."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fuzz import page
from fuzz.bending import bent, pieces
from fuzz.dice import Dice
from fuzz.differences import DIFFERENCES, Outcome, difference
from fuzz.run import fuzz
from fuzz.targets import TARGETS
from fuzz.watch import Watch
from fuzz.worker import LAST_BYTES, Last
from support import programs

HERE = Path(__file__).parent
INPUTS = sorted((HERE / "regressions").glob("*/*.bin"))
REPLAY = """
import sys
from pathlib import Path
from fuzz import targets
from fuzz.watch import Watch

for target in targets.TARGETS:
    watch = Watch(targets.load(target), 20.0)
    inputs = [b"", bytes(40), bytes(range(256))]
    inputs += [path.read_bytes() for path in sorted((Path(sys.argv[1]) / target).glob("*.bin"))]
    for data in inputs:
        found = watch.find(data)
        if found is not None:
            print(target, data.hex()[:80], found)
"""


def test_regressions() -> None:
    """What found something once, and an input or two of each target, find nothing."""
    assert INPUTS
    assert {path.parent.name for path in INPUTS} <= set(TARGETS)
    # In a process of its own: a target has a log handler, and registers classes.
    command = [sys.executable, "-c", REPLAY, str(HERE / "regressions")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("target", ["handshake", "session-msgpack"])
def test_a_run(target: str, tmp_path: Path) -> None:
    """A worker runs inputs for its time, and says how many and what they found."""
    command = programs.command("fuzz.worker", target, "--seconds", "0.5")
    command += ["--found", str(tmp_path / "found"), "--corpus", str(tmp_path / "corpus")]
    command += ["--last", str(tmp_path / "last")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    result = json.loads(done.stdout)
    assert result["executions"] >= 64
    assert result["findings"] == {}
    assert list((tmp_path / "found").iterdir()) == []
    assert not (tmp_path / "last").exists()


class Dying:
    """Runs, in place of a worker, a process that dies in the middle of an input."""

    folder = Path("nowhere")
    compiler = "none"
    libraries = ()

    def __init__(self, said: str):
        self._said = said

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command line of a process that keeps an input, prints a text and dies."""
        last = arguments[arguments.index("--last") + 1]
        program = f"""
import os, sys
from pathlib import Path
from fuzz.worker import Last
last = Last(Path({last!r}))
last.write(b"the one before, which was longer")
last.write(b"the last one")
print({self._said!r}, file=sys.stderr, flush=True)
os._exit(9)"""
        return [sys.executable, "-c", program]

    environment = staticmethod(programs.environment)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("ERROR: AddressSanitizer: use-after-free on", "sanitizer: use-after-free"),
        ("ERROR: something else", "the process ended with status 9"),
    ],
)
def test_a_worker_that_dies(said: str, fault: str, tmp_path: Path) -> None:
    """The end of a worker in C code is a finding, and its last input is kept."""
    found = tmp_path / "found"
    found.mkdir()
    result = fuzz("banana", "random", 1.0, 1, tmp_path / "corpus", found, Dying(said))
    assert result["findings"] == {fault: 1}
    (kept,) = found.iterdir()
    assert kept.read_bytes() == b"the last one"


def test_no_input_has_begun(tmp_path: Path) -> None:
    """Before the first input, and where there is no file, there is no last input."""
    place = tmp_path / "last"
    assert Last.read(place) is None
    last = Last(place)
    assert Last.read(place) is None
    last.write(b"")
    assert Last.read(place) == b""
    last.write(bytes(LAST_BYTES))
    assert Last.read(place) == bytes(LAST_BYTES - 4)
    last.forget()
    assert Last.read(place) is None


def test_what_is_found() -> None:
    """Whatever is raised is a finding by its kind and place, and so is what takes too long."""

    def slow(data: bytes) -> None:
        ends = time.thread_time() + 0.06
        while time.thread_time() < ends:
            pass

    def wrong(data: bytes) -> None:
        if not data:
            raise AssertionError("no data")
        raise KeyError(data)

    watch = Watch(wrong)
    assert watch.find(b"") == "AssertionError: no data in test_fuzz.py, wrong"
    assert watch.find(b"1") == watch.find(b"2") == "KeyError in test_fuzz.py, wrong"
    assert Watch(slow).find(b"") == "slow: more than 50 ms of CPU"
    assert Watch(lambda data: None).find(b"") is None


def test_memory_is_found() -> None:
    """An input that asks for more memory than it may is a finding."""
    found = Watch(lambda data: None if data else [0] * (20 << 20)).find(b"")
    assert found in ("large: more than 64 MiB", "slow: more than 50 ms of CPU")


def test_the_same_bytes_make_the_same_choices() -> None:
    """An input is its bytes; where they end, each choice is the first one."""
    data = random.Random(1).randbytes(60)

    def choices(dice: Dice) -> list[Any]:
        made: list[Any] = [dice.below(7), dice.below(1000), dice.pick("abc"), dice.once_in(2)]
        return [*made, dice.octets(9), bent(dice, b"some bytes"), list(pieces(dice, b"more"))]

    assert choices(Dice(data)) == choices(Dice(data))
    empty = Dice(b"")
    assert empty.is_empty
    assert choices(empty) == [0, 0, "a", False, b"", b"some bytes", [b"more"]]


def test_pieces_are_the_whole() -> None:
    """Bytes that are cut into pieces are all there, in order."""
    for seed in range(50):
        dice = Dice(random.Random(seed).randbytes(40))
        assert b"".join(pieces(dice, b"0123456789" * 9)) == b"0123456789" * 9


def test_differences_have_names() -> None:
    """A difference is explained by a row of the table, or is none that is known."""
    same = Outcome("1", None)
    refused = Outcome(None, ValueError("reference 1 was never defined"))
    assert difference(refused, same, [b"dereference", 1]) == "reference never defined"
    assert difference(Outcome("1", None), Outcome("2", None), 5) is None
    assert len({row.name for row in DIFFERENCES}) == len(DIFFERENCES)


def test_the_page(tmp_path: Path) -> None:
    """Runs are summed up by target, and told one by one with what they found."""
    about = {"date": "2026-11-25T23:00:00+00:00", "commit": "0123456789", "command": "make fuzz"}
    for method, count in (("coverage", 1000), ("random", 5000)):
        run = {**about, "target": "jelly", "method": method, "seed": 7, "executions": count}
        run |= {"seconds": 2.4, "findings": {}, "differences": {"depth": 3}}
        page.append(tmp_path, run)
    page.write(tmp_path)
    text = (tmp_path / "fuzzing.md").read_text("utf-8")
    assert "## All runs together: 6,000 executions" in text
    assert "| `jelly` | 1,000 | 5,000 | 4 | 0 |" in text
    assert "| 2026-11-25 | `0123456789` | `make fuzz` | pure Python | 7 | 6,000 | none |" in text
    assert any(line.startswith("| depth |") and line.endswith("| 6 |") for line in text.split("\n"))


def _environment() -> dict[str, str]:
    """The order of sets decides what an input does, as it does in the runs."""
    return programs.environment(PYTHONHASHSEED="0")
