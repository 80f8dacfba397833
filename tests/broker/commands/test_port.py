"""``pb port``: what it prints and writes, and the status that it ends with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.runner import Runner

from broker.commands import port as command
from broker.commands.port import port

MOVES = "from twisted.spread import pb\n"
LOOKS = "from twisted.internet import reactor, utils\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, list[str]]:
    """Run the command; return its status and the lines that it prints."""
    result = Runner().invoke(port, arguments)
    return result.exit_code, (result.stdout + result.stderr).splitlines()


def test_what_moves(here: Path) -> None:
    """A program of which all moves is told line by line, and the status is 0."""
    (here / "a.py").write_text(f"import os\n{MOVES}")
    (here / "b.py").write_text("import os\n")
    line = "a.py:2: moves: from twisted.spread import pb -> from broker import pb"
    assert run(".") == (0, [line, "1 import moves"])
    assert run("b.py") == (0, ["nothing of Twisted's is imported"])
    assert (here / "a.py").read_text() == f"import os\n{MOVES}"


@pytest.mark.parametrize(
    "text",
    [
        LOOKS,
        "from twisted.internet.defer import DeferredFilesystemLock\n",
        "print 'x'\n",
        f"{MOVES}isinstance(x, pb.nothing)\n",
    ],
)
def test_what_needs_a_hand(text: str, here: Path) -> None:
    """What has no home, cannot be read or must be looked at makes the status 1, written or not."""
    (here / "a.py").write_text(text)
    assert run("a.py")[0] == 1
    assert run("a.py", "--write")[0] == 1


def test_wrong_use() -> None:
    """No path, or one that is not there, is a wrong command line."""
    assert run()[0] == 2
    status, lines = run("nothing.py")
    assert status == 2
    assert "nothing.py" in lines[-1]


def test_writing(here: Path) -> None:
    """--write moves the imports, once; files where nothing moves are not touched."""
    (here / "a.py").write_text(LOOKS)
    (here / "b.py").write_text("from twisted.python import usage\n")
    (here / "c.py").write_text("print 'x'\n")
    before = os.stat("b.py"), os.stat("c.py")
    status, lines = run(".", "--write")
    assert (status, lines[-1]) == (1, "1 moved, 1 may stay, 1 to look at by hand, 1 not read")
    moved = "from broker import reactor\nfrom twisted.internet import utils\n"
    assert (here / "a.py").read_text() == moved
    assert (os.stat("b.py"), os.stat("c.py")) == before
    written = os.stat("a.py")
    assert run(".", "--write")[1][-1] == "1 may stay, 1 to look at by hand, 1 not read"
    assert os.stat("a.py") == written


def test_a_file_that_cannot_be_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written is told, and the others are written."""
    real = command.write

    def write(source: Any, text: str) -> None:
        if source.path.name == "a.py":
            raise PermissionError(13, "Permission denied")
        real(source, text)

    monkeypatch.setattr(command, "write", write)
    (here / "a.py").write_text(MOVES)
    (here / "b.py").write_text(MOVES)
    status, lines = run(".", "--write")
    assert status == 1
    assert "a.py: unread: cannot be written: Permission denied" in lines
    assert (here / "b.py").read_text() == "from broker import pb\n"


def test_the_reactor_stays(here: Path) -> None:
    """--keep-reactor moves what does not belong to a reactor, and nothing needs a hand."""
    (here / "a.py").write_text(f"{LOOKS}{MOVES}")
    status, lines = run("a.py", "--keep-reactor", "--write")
    assert (status, lines[-1]) == (0, "1 moved, 2 may stay")
    assert (here / "a.py").read_text() == f"{LOOKS}from broker import pb\n"


def test_json(here: Path) -> None:
    """--json prints the findings as a list."""
    (here / "a.py").write_text(MOVES)
    status, lines = run("a.py", "--json")
    text = "from twisted.spread import pb -> from broker import pb"
    assert status == 0
    assert json.loads("".join(lines)) == [
        {"path": "a.py", "line": 1, "kind": "moves", "text": text}
    ]
    (here / "b.py").write_text("")
    assert run("b.py", "--json") == (0, ["[]"])


def test_names_of_files_are_printable(here: Path) -> None:
    """A file's name cannot move the cursor, and is no markup."""
    (here / "a\x1b[31m[red].py").write_text(MOVES)
    _, lines = run(".")
    assert "\x1b" not in lines[0]
    assert "[red].py:1: moves: " in lines[0]
