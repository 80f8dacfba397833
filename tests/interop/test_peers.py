"""The programs of the tests are read line by line, and never outlive their test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import peers
from support.peers import Peer, PeerFailed

TELLS = "import json, sys\nprint(json.dumps([__name__, sys.argv[1:]]))\n"
STAYS = "import os, threading\nprint(os.getpid())\nthreading.Event().wait()\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The file that the test writes its program to."""
    return tmp_path / "program.py"


def is_running(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_is_main_and_its_lines_are_values(program: Path) -> None:
    """A program runs as __main__ with its arguments; its lines are returned as values."""
    program.write_text(TELLS)
    with Peer(program, "a", "b") as peer:
        assert peer.read_all() == [["__main__", ["a", "b"]]]


def test_a_program_imports_only_from_named_folders(program: Path, tmp_path: Path) -> None:
    """A program cannot import from its own folder, unless the folder is named."""
    (tmp_path / "beside.py").write_text("value = 1\n")
    program.write_text("import beside\nprint(beside.value)\n")
    with Peer(program, path=[tmp_path]) as peer:
        assert peer.read() == 1
    with pytest.raises(PeerFailed, match="ended with status 1"), Peer(program) as peer:
        peer.read_all()


def test_a_failure_shows_what_the_program_wrote(program: Path) -> None:
    """A program that fails fails the test, with its standard error as a note."""
    program.write_text("import sys\nsys.exit('out of luck')\n")
    with pytest.raises(PeerFailed, match="ended with status 1") as caught, Peer(program) as peer:
        peer.read_all()
    assert caught.value.__notes__ == ["standard error of program.py:\nout of luck\n"]


def test_a_silent_program_fails_in_time(program: Path) -> None:
    """The wait for a program without output ends at the deadline."""
    program.write_text(STAYS)
    with pytest.raises(PeerFailed, match="said nothing in time"), Peer(program) as peer:
        peer.read()
        peer.read(0.05)


def test_what_is_no_json_is_shown(program: Path) -> None:
    """A line that is not JSON fails the test and is quoted."""
    program.write_text("print('hello')\n")
    with pytest.raises(PeerFailed, match="printed b'hello"), Peer(program) as peer:
        peer.read()


def test_a_program_ends_with_the_block(program: Path) -> None:
    """A program that never ends is ended at the end of the block."""
    program.write_text(STAYS)
    with Peer(program) as peer:
        pid = peer.read()
        assert is_running(pid)
    assert not is_running(pid)


def test_a_program_ends_when_its_test_is_killed(program: Path) -> None:
    """A program ends even if the process that started it is killed and cannot clean up."""
    program.write_text(STAYS)
    with subprocess.Popen(
        [sys.executable, peers.__file__, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        # The kernel closes the pipe of a killed parent in this way.
        process.stdin.close()
        assert process.wait(5) == 0
